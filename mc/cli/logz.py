"""``tnqbm logz``: log Z of a model of any size with an error bar, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from mc.cli import options
from mc.cli.common import echo, print_json, print_lines, warnings_as_messages
from mc.cli.estimates import (
    compare,
    comparison_lines,
    one_by_one,
    print_estimates,
    print_gaps,
    print_snapshots,
)
from mc.cli.inputs import NamedModel, named_model
from mc.sampling.log_z.estimate import EstimateWarning, gaps_of
from mc.sampling.log_z.policies import ESTIMATORS, All, Exact, Multistate
from mc.sampling.partition import log_partition
from mc.sampling.partitions import log_partitions
from tnqbm import exact
from tnqbm.core.model import SqRBM
from tnqbm.hamiltonian.group_contraction import forecasts
from tnqbm.hamiltonian.grouped import SqBM

if TYPE_CHECKING:
    from mc.sampling.log_z.estimate import Estimate, Gap
    from tnqbm.base.forecast import Forecasts
    from tnqbm.hamiltonian.kinds import Model


@click.command()
@options.named_model
@click.option(
    "--method",
    type=click.Choice(list(ESTIMATORS)),
    default="auto",
    show_default=True,
    help="How; auto: exact if that is quick, else ais, else tensor; exact: the fastest exact way; "
    "all: every way there is, compared.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "quimb", "compiled"]),
    help="What contracts the factor graph, for contraction and exact. [default: the faster one]",
)
@click.option(
    "--chains",
    type=int,
    help="Annealed; of visited and mbar, tempered chains. [default: 500; 20; 100]",
)
@click.option("--betas", type=int, help="Inverse temperatures. [default: 1000]")
@click.option(
    "--kernel",
    help="block, bloch, thermal, collapsed, measured. [default: block for one Pauli, else "
    "collapsed]",
)
@click.option(
    "--samples",
    type=int,
    help="Of the tensor network, or of each chain of visited or mbar. [default: 4000; 1000; 80]",
)
@click.option(
    "--snapshots", is_flag=True, help="log Z of all snapshots of the run at once, by mbar."
)
@options.target_swap_rate
@options.max_rungs
@options.max_bond
@options.feed("Where the states come from that the tensor network is fitted to. [default: chains]")
@options.seed()
@options.data("Data for NLL and TVD. [default: the run's own]")
@options.data_seed
@options.of_data
@click.option(
    "--reference/--no-reference",
    default=True,
    help="Start annealing at the data's first moments, and chains of the network at the data, if "
    "there are any. [default: do]",
)
@options.no_progress
@options.as_json
def logz(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    method: str,
    seed: int,
    data: str | None,
    data_seed: int,
    prepare: dict[str, Any],
    reference: bool,
    snapshots: bool,
    no_progress: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Estimate log Z (in nats) with an error bar; with data, also NLL and TVD.

    "auto" is exact where that takes less than half a minute, else anneals, and asks the network
    where annealing is not to be trusted. Annealed importance sampling takes any number of visible
    units, forwards ("ais"), backwards, or "both". "tensor" weighs perfect samples of a matrix
    product state (unbiased for Z), and checks them with Markov chains. "visited" weighs the states
    that tempered chains have seen, for models that are sharp enough. "mbar" weighs chains on a
    ladder along the run's snapshots, if it has any, else one of temperatures; --snapshots gives log
    Z of each of them. "exact" takes the
    fastest of enumeration, contraction of a tensor network and quadrature, if one is within
    reach, and shows what each would cost; contraction is done by quimb or by a program compiled
    for it (--engine). Every estimate is held against a lower bound of log Z that always holds, and
    against the modes of the model. The model is one saved with SqRBM.save, or the final model of an
    archive's run, which is compared with the data it was trained on unless --data says otherwise. A
    warning names estimates not to be relied on.

    \b
    Examples:
      tnqbm logz model.h5 --method both
      tnqbm logz results.h5 --run paulis=XYZ visible=64 hidden=32 seed=1 --data digits
      tnqbm logz model.h5 --method tensor --max-bond 64
      tnqbm logz model.h5 --method contraction --engine quimb
      tnqbm logz results.h5 --run hidden=8 seed=1 --snapshots
      tnqbm logz model.h5 --method all --data bas --json
    """
    if snapshots and method == "auto":
        method = "mbar"
    policy = options.policy(ESTIMATORS, method)
    if snapshots and not isinstance(policy, Multistate):
        raise click.UsageError(f"--snapshots goes with --method mbar, not with {method}")
    named = named_model(path, [*run, *more])
    model = named.any_model
    if isinstance(policy, Multistate) and named.archive is not None:
        models = [model for _, model in named.snapshots(0)]
        policy = replace(policy, snapshots=replace(policy.snapshots, models=models))
    target = named.target(data, data_seed, prepare)
    if snapshots and isinstance(policy, Multistate):
        kept = named.snapshots(2)
        with warnings_as_messages(EstimateWarning):
            every = log_partitions(
                [model for _, model in kept],
                policy,
                data=target if reference else None,
                seed=seed,
                progress=not no_progress,
            )
        _print_snapshots(named, [step for step, _ in kept], every, seed, as_json)
        return
    costs = None
    if isinstance(policy, Exact | All):
        costs = _costs(model, getattr(policy, "engine", "auto"))
    with warnings_as_messages(EstimateWarning):
        estimate = log_partition(
            model,
            policy,
            data=target if reference else None,
            seed=seed,
            progress=not no_progress,
        )
    rows = one_by_one(estimate)
    result: dict[str, Any] = {
        **named.facts(),
        "seed": seed,
        "log_z": estimate.value,
        "log_z_error": estimate.standard_error,
        "method": estimate.method,
        "lower_bound": estimate.lower_bound,
        "lower": estimate.lower,
        "upper": estimate.upper,
        "trusted": estimate.trusted,
        "agree": _agree(estimate),
        "gaps": [asdict(gap) for gap in estimate.gaps],
        "warnings": estimate.warnings,
        "estimates": [row.as_dict() for row in rows],
        "forecasts": [asdict(forecast) for forecast in costs or ()],
    }
    if target is not None:
        result |= {"data": data or named.own_source(), **compare(model, target, estimate)}
    if as_json:
        print_json(result)
    else:
        _print(result, rows, estimate.gaps, costs)


def _print_snapshots(
    named: NamedModel, steps: Sequence[int], found: Sequence[Estimate], seed: int, as_json: bool
) -> None:
    """log Z of all snapshots of a run, as a table or as JSON."""
    if as_json:
        rows = [{"step": s, **one.as_dict()} for s, one in zip(steps, found, strict=True)]
        print_json({**named.facts(), "seed": seed, "method": "mbar", "snapshots": rows})
    else:
        print_snapshots(steps, found)


def _agree(estimate: Estimate) -> bool | None:
    """Whether all estimates that stand for themselves agree; None if there is but one."""
    gaps = estimate.gaps or gaps_of([estimate])
    return all(gap.agree for gap in gaps) if gaps else None


def _costs(model: Model, engine: str) -> Forecasts | None:
    if isinstance(model, SqRBM):
        return exact.forecasts(model, engine=engine)
    return forecasts(model, engine) if isinstance(model, SqBM) else None


def _print(
    result: dict[str, Any], rows: list[Estimate], gaps: Sequence[Gap], costs: Forecasts | None
) -> None:
    if costs:
        echo(f"What exact evaluation takes, on one core:\n{costs}\n")
    print_estimates(rows)
    print_gaps(gaps)
    lines: dict[str, str] = {}
    if result["lower_bound"] is not None:
        lines["log Z is at least"] = (
            f"{result['lower_bound']:.10g}  (always: states that were seen)"
        )
    if result["agree"] is not None:
        lines["estimates agree"] = "yes" if result["agree"] else "no"
    if "nll" in result:
        lines |= comparison_lines(result)
    print_lines(lines)
