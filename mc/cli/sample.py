"""``tnqbm sample``: samples of a saved model or of a run's final model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from mc.cli import options
from mc.cli.common import PATH, number, print_json, print_lines, print_table, warnings_as_messages
from mc.cli.inputs import NamedModel, named_model
from mc.cli.samples_file import parse_clamp, read_clamp, write_with_facts
from mc.sampling.info import (
    ChainsInfo,
    EnumerationInfo,
    MixingWarning,
    PerfectInfo,
    SnapshotsInfo,
    TemperedInfo,
)
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.policies import SAMPLERS, Enumeration, Perfect, Snapshots
from mc.sampling.sample import sample as draw
from mc.sampling.samples_file import check_samples_path
from tnqbm import figures
from tnqbm.figures import layout
from tnqbm.figures import samples as figures_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mc.sampling.chains.mixing import Mixing
    from mc.sampling.chains.pilot import Pilot
    from mc.sampling.info import Info


PICTURES = 100
"""Most samples in a picture."""


@click.command()
@options.named_model
@click.option(
    "--method",
    type=click.Choice(list(SAMPLERS)),
    default="chains",
    show_default=True,
    help="Markov chains, parallel tempering, tempering along the run's snapshots, independent "
    "weighted samples of a tensor network, or independent samples from the probabilities of all "
    "states (models of any family).",
)
@click.option(
    "-n",
    "--samples",
    type=int,
    help="Per chain; perfect, enumeration: in all. [default: 100; these: 4000]",
)
@click.option(
    "--chains", type=int, help="Independent chains. [default: 100; tempered, snapshots: 10]"
)
@click.option(
    "--kernel",
    help="block, bloch, thermal, collapsed, measured, pauli, pauli-exact; tensor: collapsed with "
    "global moves. [default: auto, the fastest here of the first five; tempered: block or "
    "collapsed]",
)
@click.option(
    "--temperatures", type=int, help="Of tempering, evenly spaced. [default: as many as it takes]"
)
@options.target_swap_rate
@options.max_rungs
@options.max_bond
@options.feed("Where the states come from that the network of --method perfect is fitted to.")
@click.option("--resample", is_flag=True, help="Perfect samples that count alike, but fewer.")
@click.option("--burn-in", type=int, help="Sweeps left out. [default: found out]")
@click.option("--thin", type=int, help="Sweeps per kept sample. [default: found out]")
@click.option("--clamp", metavar="UNIT=BIT,...", help="Hold units fixed; the first is 0.")
@click.option("--clamp-file", type=PATH, help="One row of 0, 1 and -1 (free), .csv or .npy.")
@options.init
@options.data("What the model was trained on. [default, if needed: the run's own]")
@options.data_seed
@options.of_data
@click.option(
    "--precision",
    type=click.Choice(["double", "single"]),
    help="Arithmetic in the kernels. [default: double]",
)
@click.option("--inertia", type=float, help="Of kernel thermal. [default: 0]")
@click.option(
    "--basis",
    type=click.Choice(["random", "each", "X", "Y", "Z"]),
    help="Of kernels pauli and pauli-exact: what qubits are measured in. [default: random]",
)
@options.seed()
@click.option("-o", "--output", "out", type=PATH, metavar="SAMPLES.h5|.npy|.csv")
@click.option("--picture", type=PATH, metavar="FILE.png|.pdf|.svg", help="Draw some of them.")
@options.shape("Height and width of a picture. [default: the squarest]")
@options.overwrite("files that exist")
@options.no_progress
@options.as_json
def sample(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    method: str,
    samples: int | None,
    clamp: str | None,
    clamp_file: str | None,
    init: str | None,
    data: str | None,
    data_seed: int,
    prepare: dict[str, Any],
    seed: int,
    out: str | None,
    picture: str | None,
    shape: str | None,
    overwrite: bool,
    no_progress: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Draw samples of p(v), or complete partly given ones, and say whether the chains mixed.

    The model is one saved with SqRBM.save, or the final model of an archive's run. Row
    c * SAMPLES + k of the file is sample k of chain c. --clamp holds visible units fixed and
    samples the others from their conditional distribution. The same seed and kernel give the
    same samples; "auto" measures time, and says what it took.

    --method perfect draws independent samples of a matrix product state that approximates the
    model. Their log weights are written beside them (dataset log_weights), unless --resample
    turns them into fewer that count alike.

    \b
    Examples:
      tnqbm sample model.h5 -n 100 --chains 100 -o samples.h5
      tnqbm sample results.h5 --run paulis=XYZ hidden=2 seed=1 --clamp 0=1,5=0 -o samples.csv
      tnqbm sample model.h5 --method tempered --chains 20 -o samples.h5
      tnqbm sample results.h5 --method snapshots --run hidden=8 seed=1 -o samples.h5
      tnqbm sample model.h5 --kernel tensor --max-bond 64 -o samples.h5
      tnqbm sample model.h5 --method perfect -n 10000 --resample -o samples.npy
      tnqbm sample results.h5 --run family=sqbm seed=1 --method enumeration -o samples.npy
      tnqbm sample digits.h5 --init data --data digits --picture digits.png --shape 8x8
    """
    if clamp and clamp_file:
        raise click.UsageError("--clamp and --clamp-file exclude each other")
    if shape and not picture:
        raise click.UsageError("--shape is about --picture, which is missing")
    policy = options.policy(SAMPLERS, method)
    named = named_model(path, [*run, *more])
    if isinstance(policy, Snapshots):
        policy = replace(policy, models=[model for _, model in named.snapshots(2)])
    source = _data_source(named, data) if init == "data" or data is not None else None
    inputs = [file for file in (path, clamp_file, source) if file is not None]
    if out is not None:
        weighted = method == "perfect" and not settings["resample"]
        check_samples_path(out, overwrite=overwrite, weighted=weighted, inputs=inputs)
    if picture is not None:
        layout.require_matplotlib()
        figures.check_figure_path(picture, overwrite=overwrite, inputs=inputs)
    n = named.any_model.n_visible
    sides = options.sides(shape, n) if shape else None
    held = parse_clamp(clamp) if clamp else read_clamp(clamp_file) if clamp_file else None
    if samples is None:
        samples = 4000 if isinstance(policy, Perfect | Enumeration) else 100
    with warnings_as_messages(MixingWarning, EstimateWarning):
        states, info = draw(
            named.any_model,
            samples,
            policy,
            data=None if source is None else named.target(data, data_seed, prepare),
            clamp=held,
            seed=seed,
            progress=not no_progress,
        )
    log_weights = None
    if states.ndim == 2:
        states = states[None]
    if isinstance(info, PerfectInfo):
        log_weights = None if info.resampled else info.log_weights
    arithmetic = ("precision", "inertia", "basis")
    result: dict[str, Any] = {
        **named.facts(),
        "method": method,
        "chains": states.shape[0],
        "samples_per_chain": states.shape[1],
        "seed": seed,
        "init": getattr(policy, "init", None),
        "data": source,
        "clamp": clamp or clamp_file,
        **{name: getattr(policy, name) for name in arithmetic if hasattr(policy, name)},
        **info.as_dict(),
    }
    if out is not None:
        write_with_facts(out, states, log_weights, result, overwrite)
    if picture is not None:
        _draw(picture, states, sides, overwrite)
    result |= {"samples": out, "picture": picture}
    if as_json:
        print_json(result)
    else:
        print_samples(result, info)


def _data_source(named: NamedModel, data: str | None) -> str:
    """Name or file of the data that the model was trained on."""
    if data is None and named.data is None:
        raise click.UsageError("--init data needs --data: a saved model does not know its data")
    return named.own_source() if data is None else data


def _draw(
    picture: str, states: NDArray[np.uint8], sides: tuple[int, int] | None, overwrite: bool
) -> None:
    """The last samples of all chains, as many as there is room for."""
    chains, kept, n = states.shape
    each = max(1, min(kept, PICTURES // chains))
    rows = states[:PICTURES, kept - each :].reshape(-1, n)
    figure, _ = figures_samples.grid(rows, sides, count=len(rows))
    figures.save_figure(figure, picture, overwrite=overwrite)


def print_samples(result: dict[str, Any], info: Info) -> None:
    """What is known of samples, whatever the method."""
    if isinstance(info, ChainsInfo):
        if info.pilots:
            _print_pilots(info.pilots, info.kernel)
        lines = _of_chains(result, info)
    elif isinstance(info, TemperedInfo):
        lines = _of_tempering(result, info)
    elif isinstance(info, SnapshotsInfo):
        lines = _of_snapshots(result, info)
    elif isinstance(info, EnumerationInfo):
        lines = {"samples": f"{result['samples_per_chain']}, independent, of {info.states} states"}
    else:
        lines = _of_network(result, info)  # type: ignore[arg-type]
    lines |= {
        "seconds": f"{info.seconds:.1f}",
        "samples written": result["samples"],
        "picture written": result["picture"],
    }
    print_lines(lines, 20)
    for note in info.warnings:
        print_lines({"note": note}, 20)


def _print_pilots(pilots: Sequence[Pilot], chosen: str) -> None:
    print_table(
        ("pilot", "sweeps", "tau energy", "tau visible", "acceptance", "ESS/s", "note"),
        [
            (
                pilot.kernel,
                str(pilot.sweeps),
                number(pilot.time_energy, 2),
                number(pilot.time_visible, 2),
                number(pilot.acceptance, 3),
                "–" if math.isnan(pilot.ess_per_second) else f"{pilot.ess_per_second:.3g}",
                ("chosen" if pilot.kernel == chosen else "")
                + ("" if pilot.settled else " too short"),
            )
            for pilot in pilots
        ],
        left=1,
    )


def _of_chains(result: dict[str, Any], info: ChainsInfo) -> dict[str, str | None]:
    return {
        "kernel": info.kernel,
        "samples": f"{result['chains']} chains x {result['samples_per_chain']}",
        "sweeps per chain": f"{info.sweeps}, burn-in {info.burn_in}, thin {info.thin}",
        "acceptance": f"{info.acceptance:.3f}, least {info.acceptance_min:.3f}",
        **_of_mixing(info.mixing),
        "mixed": "yes" if info.mixed else "no",
    }


def _of_tempering(result: dict[str, Any], info: TemperedInfo) -> dict[str, str | None]:
    swaps = f", least swap rate {info.swap_rates.min():.2f}" if info.swap_rates.size else ""
    return {
        "kernel": info.kernel,
        "samples": f"{result['chains']} chains x {result['samples_per_chain']}",
        "sweeps per chain": f"{info.sweeps}, ladder {info.ladder_sweeps}, burn-in {info.burn_in}, "
        f"thin {info.thin}",
        "temperatures": f"{info.betas.size}{swaps}",
        "round trips": str(int(info.round_trips.sum())),
        **_of_mixing(info.mixing),
        "mixed": "yes" if info.mixed else "no",
    }


def _of_snapshots(result: dict[str, Any], info: SnapshotsInfo) -> dict[str, str | None]:
    return {
        "kernel": info.kernel,
        "samples": f"{result['chains']} chains x {result['samples_per_chain']}",
        "sweeps per chain": f"{info.sweeps}, burn-in {info.burn_in}, thin {info.thin}",
        "rungs": f"{info.places.size}, least swap rate {info.swap_rates.min():.2f}",
        "round trips": str(int(info.round_trips.sum())),
        **_of_mixing(info.mixing),
        "mixed": "yes" if info.mixed else "no",
    }


def _of_mixing(mixing: Mixing) -> dict[str, str | None]:
    return {
        "effective samples": f"energy {_count(mixing.ess_energy)}, "
        f"slowest visible mean {_count(mixing.ess_visible)}, modes {_count(mixing.ess_modes)}",
        "R-hat": f"energy {number(mixing.rhat_energy, 3)}, "
        f"largest visible {number(mixing.rhat_visible, 3)}, modes {number(mixing.rhat_modes, 3)}",
    }


def _of_network(result: dict[str, Any], info: PerfectInfo) -> dict[str, str | None]:
    """Weights of perfect samples, and the verdict on them."""
    count = result["samples_per_chain"]
    return {
        "samples": f"{count} of {info.drawn} drawn" if info.resampled else str(count),
        "bond dimension": None if info.max_bond is None else str(info.max_bond),
        "effective samples": f"{_count(info.ess)} ({info.ess / info.drawn:.2f} of those drawn)",
        "tail of the weights": number(info.pareto_k, 2),
        "log Z": f"{info.log_partition:.10g} +- {info.standard_error:.2g}"
        + (" (given the clamped units)" if result["clamp"] else ""),
        "reliable": "yes" if info.trusted else "no",
    }


def _count(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0f}"
