"""``tnqbm quality``: how good a model's samples are, compared with data, and where they fail."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mc.cli import options
from mc.cli.common import PATH, echo, print_json, print_lines, print_table, warnings_as_messages
from mc.cli.inputs import NamedModel, QualityData, States, data_reader, named_model, read_chains
from mc.sampling.info import MixingWarning
from mc.sampling.policies import Chains, Tempered
from mc.sampling.sample import sample
from tnqbm import figures
from tnqbm.figures import layout
from tnqbm.figures import samples as figures_samples
from tnqbm.quality import Measure, assess

if TYPE_CHECKING:
    from tnqbm.quality import Quality


FIGURES = ("moments", "energies", "adversarial", "coverage", "grid")
SAMPLES = 100
"""Samples kept of each chain unless another number is asked for."""

_SAMPLING = ("method", "chains", "samples", "sweeps", "kernel", "init")


@click.command()
@options.named_model
@options.data("What to compare with. [default: the run's own]")
@options.data_seed
@options.of_data
@click.option("--test", type=PATH, metavar="FILE", help="Held-out rows in a file of their own.")
@click.option(
    "--test-fraction",
    type=float,
    help="Share of rows held out. [default: as the run's study, or 0]",
)
@click.option("--split-seed", type=int, help="Of the split. [default: the run's study's, or 0]")
@click.option("--samples-file", type=PATH, metavar="SAMPLES.h5", help="Take these samples.")
@click.option(
    "--method",
    type=click.Choice(["chains", "tempered"]),
    default="chains",
    show_default=True,
    help="How to sample: Markov chains, or parallel tempering.",
)
@click.option("--chains", type=int, help="Chains to sample. [default: 100; tempered: 20]")
@click.option("-n", "--samples", type=int, help="Samples kept of each chain. [default: 100]")
@click.option(
    "--sweeps", type=int, help="Of each chain; half are left out. [default: from a pilot run]"
)
@click.option(
    "--kernel",
    help="block, bloch, thermal, collapsed, measured. [default: auto, the fastest here; tempered: "
    "block or collapsed]",
)
@options.init
@options.seed()
@click.option(
    "--bandwidths", metavar="SIGMA,...", help="Of the MMD's kernels. [default: from the distances]"
)
@click.option("-o", "--output", "prefix", type=PATH, metavar="PREFIX", help="Draw PREFIX-*.png.")
@options.shape("Of the pictures. [default: the squarest]")
@options.overwrite("figures that exist")
@options.no_progress
@options.as_json
def quality(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    data: str | None,
    data_seed: int,
    prepare: dict[str, Any],
    test: str | None,
    test_fraction: float | None,
    split_seed: int | None,
    samples_file: str | None,
    method: str,
    samples: int | None,
    sweeps: int | None,
    init: str | None,
    seed: int,
    bandwidths: str | None,
    prefix: str | None,
    shape: str | None,
    overwrite: bool,
    no_progress: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compare a model's samples with data: what they get right and wrong, beyond log Z.

    First and second moments, squared maximum mean discrepancy, energies under the model,
    nearest-neighbour adversarial accuracy, with held-out rows the privacy loss, and for data known
    exactly the coverage of their support, each with a standard error and with what perfect samples
    of the same number would show. Samples are drawn here, or taken from a file of tnqbm sample.
    Data known exactly are represented by as many rows drawn from them as there are samples.

    Figures: PREFIX-moments.png, -energies, -adversarial, -grid and, for known data, -coverage.

    \b
    Examples:
      tnqbm quality model.h5 --data digits --test-fraction 0.2 -o digits
      tnqbm quality results.h5 --run paulis=XYZ hidden=64 seed=1 --method tempered
      tnqbm quality model.h5 --data bas --samples-file samples.h5 --json
    """
    if samples_file is not None and (asked := [key for key in options.given() if key in _SAMPLING]):
        words = ", ".join(f"--{name}" for name in asked)
        raise click.UsageError(f"--samples-file has samples already; leave {words} away")
    if shape and prefix is None:
        raise click.UsageError("--shape is about the figures; say where they go: -o PREFIX")
    sigmas = None if bandwidths is None else _bandwidths(bandwidths)
    policy = _policy(method, samples or SAMPLES, sweeps)
    if seed < 0 or data_seed < 0 or (split_seed or 0) < 0:
        raise click.UsageError("seeds must be 0 or more")
    if prefix is not None:
        read = [name for name in (path, samples_file, data, test) if name is not None]
        _check_figures(prefix, overwrite, read)
    named = named_model(path, [*run, *more])
    n = named.model.n_visible
    sides = options.sides(shape, n) if shape else None
    take = data_reader(
        named, data, data_seed, test_fraction, split_seed, test=test, options=prepare
    )
    if samples_file is not None:
        states, how = read_chains(samples_file, n)
    else:
        states, how = _draw_samples(
            named,
            samples or SAMPLES,
            policy,
            start=take(None) if init == "data" or method == "tempered" else None,
            seed=seed,
            progress=not no_progress,
        )
    compared = take((math.prod(states.shape[:-1]), seed))

    found = assess(
        states,
        compared.rows,
        test=compared.test,
        model=named.model,
        target=compared.target,
        bandwidths=sigmas,
        seed=seed,
    )
    figures = [] if prefix is None else _draw_figures(prefix, found, states, compared, sides)
    result: dict[str, Any] = {
        **named.facts(),
        "data": compared.name,
        "data_rows_drawn": compared.drawn,
        "seed": seed,
        "samples": how,
        "quality": found.as_dict(),
        "figures": figures,
    }
    if as_json:
        print_json(result)
    else:
        _print(result, found)


def _check_figures(prefix: str, overwrite: bool, inputs: list[str]) -> None:
    """All figures' names, before any work: which of them there will be is not known yet."""
    layout.require_matplotlib()
    if Path(prefix).name in ("", "..") or prefix.endswith("/"):
        raise click.UsageError(f"-o {prefix!r} is no prefix of file names; for example -o digits")
    for name in FIGURES:
        figures.check_figure_path(f"{prefix}-{name}.png", overwrite=overwrite, inputs=inputs)


def _bandwidths(text: str) -> tuple[float, ...]:
    try:
        sigmas = tuple(float(word) for word in text.split(","))
    except ValueError:
        sigmas = ()
    if not sigmas or not all(math.isfinite(sigma) and sigma > 0 for sigma in sigmas):
        raise click.UsageError(f"--bandwidths {text!r}: give positive numbers, as in 0.5,1,2")
    return sigmas


def _policy(method: str, samples: int, sweeps: int | None) -> Chains | Tempered:
    """How to sample, from the options; a number of sweeps is divided into halves."""
    for name, value in (("samples", samples), ("sweeps", sweeps)):
        if value is not None and value < 1:
            raise click.UsageError(f"--{name} must be at least 1, got {value}")
    methods: dict[str, Chains | Tempered] = {"chains": Chains(), "tempered": Tempered(chains=20)}
    policy = options.policy(methods, method)
    if sweeps is None:
        return policy
    if sweeps < samples:
        raise click.UsageError(f"--sweeps {sweeps} are too few for {samples} samples per chain")
    thin = max(1, (sweeps - sweeps // 2) // samples)
    return replace(policy, burn_in=sweeps - thin * samples, thin=thin)


def _draw_samples(
    named: NamedModel,
    samples: int,
    policy: Chains | Tempered,
    *,
    start: QualityData | None,
    seed: int,
    progress: bool,
) -> tuple[States, dict[str, Any]]:
    """Samples (chains, samples, n) and how they came about; warnings go to standard error."""
    tempered = isinstance(policy, Tempered)
    data = None if start is None else (start.target if tempered else None) or start.rows
    with warnings_as_messages(MixingWarning):
        states, info = sample(named.model, samples, policy, data=data, seed=seed, progress=progress)
    how = {"file": None, "chains": policy.chains, "samples_per_chain": samples}
    return states, {**how, **info.as_dict(), "tempered": tempered}


def _draw_figures(
    prefix: str, found: Quality, states: States, data: QualityData, sides: tuple[int, int] | None
) -> list[str]:
    drawn = {
        "moments": figures_samples.moments(found),
        "energies": figures_samples.energies(found),
        "adversarial": figures_samples.adversarial(found),
        "grid": figures_samples.grid(
            states,
            sides,
            data=data.rows,
            neighbours=not data.drawn,
            title=f"Samples and {data.name}",
        ),
    }
    if found.coverage is not None:
        drawn["coverage"] = figures_samples.coverage(found)
    # Names were free, or to be overwritten, before the work began.
    return [
        str(figures.save_figure(drawn[name][0], f"{prefix}-{name}.png", overwrite=True))
        for name in FIGURES
        if name in drawn
    ]


def _print(result: dict[str, Any], found: Quality) -> None:
    how = result["samples"]
    source = how["file"] or (
        f"parallel tempering, {how['kernel']}" if how["tempered"] else f"kernel {how['kernel']}"
    )
    held = "" if found.n_test is None else f", {found.n_test} held out"
    drawn = " drawn from it" if result["data_rows_drawn"] else ""
    of = f" of {found.n_chains} chains" if found.n_chains else ""
    lines = {
        "samples": f"{found.n_samples}{of} ({source})",
        "data": f"{result['data']}, {found.n_data} rows{drawn}{held}",
    }
    if how.get("mixed") is not None:
        lines["mixed"] = "yes" if how["mixed"] else "no"
    print_lines(lines, 10)
    print_table(("measure", "value", "±", "perfect", "±"), _rows(found), left=1)
    if found.n_samples and found.adversarial.n_points < min(found.n_samples, found.n_data):
        echo(f"nearest neighbours among {found.adversarial.n_points} rows of each set")
    for name in result["figures"]:
        echo(f"figure written: {name}")


def _rows(found: Quality) -> list[tuple[str, str, str, str, str]]:
    """The table: every measure with its error, and what perfect samples would show with theirs."""

    def row(name: str, measure: Measure, ideal: Measure | float) -> tuple[str, str, str, str, str]:
        perfect = ideal if isinstance(ideal, Measure) else Measure(ideal, math.nan)
        return (name, *_texts(measure), *_texts(perfect))

    none = math.nan
    rows = []
    for name, part in (("means", found.first), ("correlations", found.second)):
        rows.append(row(f"{name}: RMS difference", part.rms, part.floor))
        rows.append(row(f"{name}: Pearson's r", part.correlation, 1.0))
    mmd = found.discrepancy
    for sigma, squared, floor in zip(mmd.bandwidths, mmd.squared, mmd.floor, strict=True):
        rows.append(row(f"squared MMD, bandwidth {sigma:.3g}", squared, floor))
    adversarial = found.adversarial
    rows.append(row("adversarial accuracy, of data", adversarial.truth, 0.5))
    rows.append(row("adversarial accuracy, of samples", adversarial.syn, 0.5))
    if found.privacy is not None:
        rows.append(row("privacy loss", found.privacy.loss, 0.0))
    if (energies := found.energies) is not None:
        sets = {"data": energies.to_data, "held-out data": energies.to_test}
        for name, distance in sets.items():
            if distance is not None:
                rows.append(row(f"energy less that of {name} (nats)", distance.difference, 0.0))
                rows.append(row(f"energy, KS to {name}", distance.ks, energies.ks_floor))
                rows.append(
                    row(
                        f"energy, Wasserstein to {name} (nats)",
                        distance.wasserstein,
                        energies.wasserstein_floor,
                    )
                )
    if (covered := found.coverage) is not None:
        rows.append(row("support visited", Measure(covered.visited, none), covered.visited_floor))
        rows.append(row("samples inside the support", covered.inside, 1.0))
        rows.append(row("TVD of frequencies", covered.tvd, covered.tvd_floor))
    return rows


def _texts(measure: Any) -> tuple[str, str]:
    """Value and error as text, the value to the error's second digit; dashes for what is none."""
    value, error = measure
    if not math.isfinite(value):
        return "–", "–"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g}", "–" if not math.isfinite(error) else "0"
    digits = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{digits}f}", f"{error:.{digits}f}"
