"""``tnqbm certify``: an interval of log Z and of what follows from it, or why there is none."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mc.cli import options
from mc.cli.common import echo, print_json, print_lines, warnings_as_messages
from mc.cli.estimates import compare, one_by_one, print_estimates, print_gaps
from mc.cli.inputs import named_model
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.log_z.policies import ESTIMATORS, Certified
from mc.sampling.partition import log_partition

if TYPE_CHECKING:
    from mc.sampling.log_z.estimate import Estimate


@click.command()
@options.named_model
@click.option(
    "--width",
    type=float,
    default=Certified().width,
    show_default=True,
    help="Of the interval of log Z, in nats, from three standard errors below to three above.",
)
@click.option(
    "--rounds",
    type=int,
    default=Certified().rounds,
    show_default=True,
    help="At most; each takes about four times as long as the one before.",
)
@options.seed()
@options.data("Data for NLL, KL and TVD. [default: the run's own]")
@options.data_seed
@options.of_data
@options.no_progress
@options.as_json
def certify(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    width: float,
    rounds: int,
    seed: int,
    data: str | None,
    data_seed: int,
    prepare: dict[str, Any],
    no_progress: bool,
    as_json: bool,
) -> None:
    """Bound log Z, and NLL, KL and TVD on data, from below and from above.

    Exactly where that takes less than half a minute. Else annealing in both directions, the weight
    of visited states and a tensor network, as far as they can help with the model, are tried with
    more and more effort, until one that can be trusted is as narrow as --width and no other
    contradicts it. From below, all states that any of them has visited, and the rows of the data,
    give a bound that always holds. The exit status is 0 if log Z is certified and 1 if it is not;
    the verdict says why. A mode of the model that nothing has visited is in no interval.

    \b
    Examples:
      tnqbm certify model.h5 --data mine.csv
      tnqbm certify results.h5 --run paulis=XYZ hidden=12 seed=1 --width 0.05 --json
    """
    policy = options.policy(ESTIMATORS, "certified")
    named = named_model(path, [*run, *more])
    model = named.any_model
    target = named.target(data, data_seed, prepare)
    with warnings_as_messages(EstimateWarning):
        found = log_partition(model, policy, data=target, seed=seed, progress=not no_progress)
    reasons = _reasons(found, width)
    result: dict[str, Any] = {
        **named.facts(),
        "seed": seed,
        "certified": not reasons,
        "reasons": reasons,
        "log_z": found.value,
        "log_z_error": found.standard_error,
        "lower": found.lower,
        "upper": found.upper,
        "lower_bound": found.lower_bound,
        "method": found.method,
        "estimates": [row.as_dict() for row in one_by_one(found)],
        "gaps": [asdict(gap) for gap in found.gaps],
    }
    if target is not None:
        result |= {"data": data or named.own_source(), **compare(model, target, found)}
    if as_json:
        print_json(result)
    else:
        _print(result, found)
    if reasons:
        raise SystemExit(1)


def _reasons(found: Estimate, width: float) -> list[str]:
    """Why log Z is not certified; none if it is."""
    reasons = list(found.warnings) if not found.trusted else []
    if not found.two_sided:
        reasons.append("nothing bounds log Z from above")
    elif not found.width <= width:
        reasons.append(
            f"the interval is {found.width:.3g} nats wide, wider than {width:g}: raise --rounds"
        )
    return reasons


def _print(result: dict[str, Any], found: Estimate) -> None:
    print_estimates(one_by_one(found))
    print_gaps(found.gaps)
    lines = {"log Z (nats)": _between(found.lower, found.upper)}
    if "nll" in result:
        lines["data"] = str(result["data"])
        for name, label in (
            ("nll", "negative log-likelihood (nats)"),
            ("kl", "KL divergence (nats)"),
            ("tvd", "total variation distance"),
        ):
            lines[label] = _between(result[f"{name}_lower"], result[f"{name}_upper"])
    print_lines(lines)
    echo("")
    if not result["certified"]:
        echo("Not certified:")
        for reason in result["reasons"]:
            echo(f"- {reason}")
    elif found.standard_error == 0:
        echo(f"Certified: log Z is exact, by {found.method}.")
    else:
        others = sorted({one.method for one in found.parts if one.trusted} - {found.method})
        agree = f"; {' and '.join(others)} agree" if others else ""
        echo(f"Certified to {found.width:.2g} nats, by {found.method}{agree}.")


def _between(lower: float, upper: float) -> str:
    if math.isinf(upper):
        return f"at least {lower:.6f}"
    low, high = f"{lower:.6f}", f"{upper:.6f}"
    return low if low == high else f"{low} to {high}"
