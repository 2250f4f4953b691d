"""``tnqbm bias``: how far an estimator's gradient at a model is from the exact one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from mc.cli import options
from mc.cli.common import number, print_json, print_lines, print_table
from mc.cli.inputs import NamedModel, named_model
from mc.studies.gradients import parse_label, unknown_label
from tnqbm.training.bias.offline import gradient_biases

if TYPE_CHECKING:
    from tnqbm.core.model import SqRBM
    from tnqbm.training import GradientBias


@click.command()
@options.named_model
@click.option("--gradient", default="cd-1", show_default=True, help="Estimator, as in studies.")
@click.option(
    "--bias-reference",
    default="exact",
    show_default=True,
    help="What it is compared with: exact, contraction or tensor.",
)
@click.option(
    "--bias-replicates",
    type=int,
    default=16,
    show_default=True,
    help="Independent estimators, whose mean has the bias.",
)
@click.option(
    "--updates",
    type=int,
    default=1,
    show_default=True,
    help="How often each is asked at a model; the last answer counts.",
)
@click.option("--chains", type=int, help="Of each estimator. [default: 100]")
@click.option("--kernel", help="What a sweep does. [default: auto]")
@click.option("--batch-size", type=int, help="Rows of data of a minibatch. [default: all data]")
@click.option(
    "--snapshots",
    is_flag=True,
    help="At all snapshots of the run, one after another, which persistent chains follow.",
)
@options.data("Data of the gradient. [default: the run's own]")
@options.data_seed
@options.of_data
@options.seed()
@options.as_json
def bias(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    gradient: str,
    snapshots: bool,
    data: str | None,
    data_seed: int,
    prepare: dict[str, Any],
    as_json: bool,
    **settings: Any,
) -> None:
    """Compare an estimator's gradient at a model with the exact one, bias apart from noise.

    The model is one saved with SqRBM.save, or the final model of an archive's run, whose data the
    gradient is of unless --data says otherwise. Everything is relative to the length of the exact
    gradient. Persistent chains start as fair bits and need many --updates to forget it; along
    --snapshots they follow the run, in fewer steps than the run took.

    \b
    Examples:
      tnqbm bias model.h5 --data bas --gradient cd-10
      tnqbm bias results.h5 --run paulis=XYZ seed=1 --gradient pcd-1 --updates 100
      tnqbm bias results.h5 --run paulis=XYZ seed=1 --gradient pcd-5 --snapshots
    """
    meant = parse_label(gradient)
    if meant is None:
        raise click.UsageError(f"--gradient: {gradient!r} {unknown_label(gradient, ())}")
    named = named_model(path, [*run, *more])
    target = named.target(data, data_seed, prepare)
    if target is None:
        raise click.UsageError(f"{path} is a saved model, which has no data; give --data")
    steps, models = _models(named, snapshots)
    given = {name: value for name, value in settings.items() if value is not None}
    found = gradient_biases(models, target, **meant, **given)
    if as_json:
        rows = [
            {
                "step": step,
                **dataclasses.asdict(one),
                "bias": one.bias,
                "bias_error": one.bias_error,
            }
            for step, one in zip(steps, found, strict=True)
        ]
        print_json({**named.facts(), "gradient": gradient, **given, "biases": rows})
    elif snapshots:
        _print_all(steps, found)
    else:
        _print(found[0])


def _models(named: NamedModel, snapshots: bool) -> tuple[list[int | None], list[SqRBM]]:
    """Numbers of updates (None for a final or saved model) and the models there."""
    if not snapshots:
        return [None], [named.model]
    if named.archive is None:
        raise click.UsageError(f"--snapshots are those of a run; {named.path} is a saved model")
    pairs = named.archive.run(**named.coordinates).snapshots
    if not pairs:
        raise ValueError(
            "this run has no snapshots; let the study keep some: snapshots = 20 in [output]"
        )
    return [step for step, _ in pairs], [model for _, model in pairs]


def _print(found: GradientBias) -> None:
    print_lines(
        {
            "norm of the exact gradient": number(found.exact_gradient_norm),
            "bias": _with_error(found.bias, found.bias_error),
            "noise of one estimate": number(found.gradient_variance**0.5),
            "cosine of one estimate": number(found.gradient_cosine),
            "  of the expected one": number(found.expected_cosine),
            "length of the expected one": number(found.expected_norm_ratio),
            "equal signs": number(found.gradient_sign_share),
            "squared bias, Fisher metric": _with_error(
                found.fisher_bias_squared, found.fisher_bias_squared_error
            ),
            "variance, Fisher metric": number(found.fisher_variance),
            "error of the reference": number(found.reference_error),
        }
    )


def _with_error(value: float, error: float) -> str:
    return f"{number(value)} ± {number(error)}"


def _print_all(steps: list[int | None], found: list[GradientBias]) -> None:
    head = ["updates", "exact norm", "bias", "±", "noise", "cosine"]
    rows = [
        [
            str(step),
            number(one.exact_gradient_norm),
            number(one.bias),
            number(one.bias_error),
            number(one.gradient_variance**0.5),
            number(one.gradient_cosine),
        ]
        for step, one in zip(steps, found, strict=True)
    ]
    print_table(head, rows, left=0)
