"""``tnqbm report``: one HTML page about an archive or several."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import click

from mc.cli import options
from mc.cli.common import PATH, echo, parse_pairs, print_json
from mc.sampling.chains.sample import FALLBACK
from mc.sampling.info import MixingWarning
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.log_z.policies import Annealing
from mc.sampling.partition import log_partition
from mc.sampling.policies import Chains
from mc.sampling.sample import sample
from tnqbm.report import Draw, LogZ, write
from tnqbm.report.samples import CHAINS, DRAWS

if TYPE_CHECKING:
    from tnqbm.datasets import Target
    from tnqbm.hamiltonian.kinds import Model
    from tnqbm.report import Report


BURN_IN, THIN = 1000, 40
"""Sweeps: fixed, so that a model whose chains hardly mix takes no longer than any other."""

AIS_CHAINS, AIS_BETAS = 100, 500
"""Effort of the fresh estimate of log Z of a model that is sampled."""


@click.command()
@options.archives
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="REPORT.html")
@options.overwrite("the report if it exists")
@click.option("--title", help="Title of the report.  [default: the studies' names]")
@options.where
@options.threshold("Mean TVD that the least number of hidden units has to reach.")
@click.option("--no-samples", is_flag=True, help="Draw no samples of final models.")
@options.seed("Of the samples.")
@options.as_json
def report(
    archives: tuple[str, ...],
    out: str,
    overwrite: bool,
    title: str | None,
    where: tuple[str, ...],
    threshold: float,
    no_samples: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Write an HTML report of an archive or several: one file that needs nothing else.

    It has warnings (damage, missing runs, diverged trainings, doubtful log Z, chains that have not
    mixed, too few seeds), figures, tables over seeds, samples beside data where visible units are
    pixels, and the study with what it was run on. Every checksum is verified. Works while the
    study is running.

    \b
    Examples:
      tnqbm report results.h5 -o report.html
      tnqbm report results.h5 --where data=bas,visible=6,8 --no-samples -o bas.html
      tnqbm report part1.h5 part2.h5 --title "All sizes" -o report.html
    """
    written = write(
        archives,
        out,
        title=title,
        where=parse_pairs(where) or None,
        threshold=threshold,
        samples=not no_samples,
        sampler=draw,
        seed=seed,
        overwrite=overwrite,
    )
    if as_json:
        print_json(_summary(written, out))
        return
    echo(f"report written: {out}")
    echo(f"{written.finished} of {written.planned} runs finished")
    for finding in written.findings:
        if finding.level != "note":
            echo(f"{finding.level}: {finding.title}")


def draw(model: Model, target: Target, seed: int) -> Draw:
    """Samples of a model of any size by Markov chains, how they mixed, and log Z by annealing.

    The chains are of the kernel "collapsed", which is exact for every model, from random states.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # told by the report itself
        policy = Chains(chains=CHAINS, kernel=FALLBACK, burn_in=BURN_IN, thin=THIN)
        states, info = sample(model, DRAWS, policy, seed=seed)
    return Draw(
        samples=states,
        method=f"{states.shape[0]} chains of kernel {info.kernel}, {info.sweeps} sweeps",
        rhat_energy=info.mixing.rhat_energy,
        rhat_visible=info.mixing.rhat_visible,
        ess_energy=info.mixing.ess_energy,
        ess_visible=info.mixing.ess_visible,
        acceptance=info.acceptance,
        mixed=info.mixed,
        warnings=info.warnings,
        log_z=_log_z(model, target, seed),
    )


def _log_z(model: Model, target: Target, seed: int) -> LogZ:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimateWarning)
        policy = Annealing(chains=AIS_CHAINS, betas=AIS_BETAS)
        estimate = log_partition(model, policy, data=target, seed=seed)
    return LogZ(
        estimate.value,
        estimate.standard_error,
        estimate.method,
        estimate.trusted,
        tuple(estimate.warnings),
    )


def _summary(written: Report, out: str) -> dict[str, object]:
    """What a script may want to know of a report."""
    return {
        "report": out,
        "title": written.title,
        "archives": [archive.path for archive in written.archives],
        "runs": {"finished": written.finished, "planned": written.planned},
        "groups": len(written.groups),
        "findings": [
            {
                "level": finding.level,
                "title": finding.title,
                "detail": finding.detail,
                "items": finding.items,
                "more": finding.more,
            }
            for finding in written.findings
        ],
        "omitted": [{"what": skipped.what, "why": skipped.why} for skipped in written.skipped],
    }
