"""Arguments and options that several commands share: named and explained the same everywhere."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from mc.cli.common import PATH
from mc.cli.common import as_json as as_json
from tnqbm.datasets.preparation import Preparation

if TYPE_CHECKING:
    from mc.sampling.policies import Policy

P = TypeVar("P", bound="Policy")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

no_progress = click.option("--no-progress", is_flag=True, help="Show no progress bar.")
data_seed = click.option(
    "--data-seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of a random set, and of --binarise bernoulli.",
)
archives = click.argument("archives", type=PATH, nargs=-1, required=True, metavar="OUT.h5 ...")
where = click.option(
    "--where", multiple=True, metavar="KEY=VALUE", help="Only these runs. Repeatable."
)
figure = click.option(
    "-o", "--output", "out", type=PATH, metavar="FIGURE.png|.pdf|.svg", help="Draw it."
)
target_swap_rate = click.option(
    "--target-swap-rate", type=float, help="Of neighbours of the ladder. [default: 0.5]"
)
max_rungs = click.option(
    "--max-rungs", type=int, help="Models of a ladder of snapshots at most. [default: 64]"
)
max_bond = click.option("--max-bond", type=int, help="Of the tensor network. [default: 128]")
init = click.option(
    "--init", type=click.Choice(["random", "data"]), help="Where chains start. [default: random]"
)


def data(of: str) -> Decorator:
    """--data, the data to compare a model with, and what for."""
    return click.option("--data", metavar="NAME|FILE", help=of)


def shape(of: str) -> Decorator:
    """--shape, the height and width of a picture."""
    return click.option("--shape", metavar="HxW", help=of)


def threshold(of: str) -> Decorator:
    """--threshold, a TVD, and what it is for."""
    return click.option("--threshold", type=float, default=0.2, show_default=True, help=of)


def feed(of: str) -> Decorator:
    """--feed, where the states come from that a tensor network is fitted to."""
    return click.option("--feed", type=click.Choice(["chains", "tempered"]), help=of)


def seed(of: str = "Of all random numbers.") -> Decorator:
    """--seed, and what it is the seed of."""
    return click.option("--seed", type=int, default=0, show_default=True, help=of)


def overwrite(what: str = "the figure if it exists") -> Decorator:
    """--overwrite, and what it replaces."""
    return click.option("--overwrite", is_flag=True, help=f"Replace {what}.")


def named_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """What names a model, for :func:`mc.cli.inputs.named_model`: path, more and --run."""
    for decorate in (
        click.option("--run", multiple=True, metavar="KEY=VALUE", help="Which run of an archive."),
        click.argument("more", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("path", type=PATH, metavar="MODEL.h5|OUT.h5"),
    ):
        command = decorate(command)
    return command


_KINDS: dict[str, dict[str, Any]] = {
    "maximum": {"type": float},
    "columns": {"multiple": True},
    "drop": {"multiple": True},
    "header": {"default": None},
    "flatten": {"is_flag": True, "default": None},
    "data_seed": {"type": int},
}
"""Options of :func:`preparation` that are not single texts."""


def preparation(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what the values of a data file mean; ``command`` gets a ``preparation``."""
    return _with_preparation(command, [], lambda said: {"preparation": Preparation(**said)})


def of_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what the values of the file of --data mean, beside :data:`data_seed`;
    ``command`` gets those that are given as ``prepare``, a mapping."""

    def checked(said: dict[str, Any]) -> dict[str, Any]:
        Preparation(**said)
        return {"prepare": said}

    return _with_preparation(command, ["data_seed"], checked)


def _with_preparation(
    command: Callable[..., Any],
    without: Collection[str],
    keywords: Callable[[dict[str, Any]], dict[str, Any]],
) -> Callable[..., Any]:
    """A command with the options of Preparation, which gets the ``keywords`` made of their
    values; click.UsageError for a wrong value."""
    fields = {name: f for name, f in Preparation.model_fields.items() if name not in without}

    @functools.wraps(command)
    def call(*args: Any, **values: Any) -> Any:
        own = {name: values.pop(name) for name in fields}
        said = {name: value for name, value in own.items() if value not in (None, ())}
        try:
            made = keywords(said)
        except ValueError as error:
            raise click.UsageError(f"--{str(error).replace('_', '-', 1)}") from None
        return command(*args, **made, **values)

    decorated: Callable[..., Any] = call
    for name, field in reversed(fields.items()):
        flag = f"--{name.replace('_', '-')}"
        flag = f"{flag}/--no-{name}" if name == "header" else flag
        text = str(field.description).replace("`", "")
        decorated = click.option(flag, help=text, **_KINDS.get(name, {}))(decorated)
    return decorated


def given() -> dict[str, Any]:
    """The options that were given on the command line, by name."""
    context = click.get_current_context()
    default = ParameterSource.DEFAULT
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is not default
    }


def policy(methods: Mapping[str, P], method: str) -> P:
    """The policy of a method with the options given; UsageError for those of other methods only.

    An option belongs to the methods whose policies have a setting of its name.
    """
    from mc.sampling.policies import settings, with_settings

    values = {name: value for name, value in given().items() if name != "method"}
    for name in values:
        owners = [key for key, policy in methods.items() if name in settings(policy)]
        if owners and method not in owners:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is an option of --method {', '.join(owners)}, not of "
                f"--method {method}"
            )
    try:
        return with_settings(methods[method], values)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def sides(shape: str, n: int) -> tuple[int, int]:
    """Height and width of a picture of n units, from the text HxW."""
    height, times, width = shape.lower().partition("x")
    if not (times and height.isdecimal() and width.isdecimal()):
        raise click.UsageError(f"--shape: {shape!r} is not of the form HxW, for example 8x8")
    if int(height) * int(width) != n:
        raise click.UsageError(f"--shape {shape} has not as many pixels as visible units ({n})")
    return int(height), int(width)
