"""Arguments and options that several commands share: named and explained the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mc.cli.common import PATH

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
no_progress = click.option("--no-progress", is_flag=True, help="Show no progress bar.")
data_seed = click.option(
    "--data-seed", type=int, default=0, show_default=True, help="Seed of a random set."
)


def seed(of: str = "Of all random numbers.") -> Decorator:
    """--seed, and what it is the seed of."""
    return click.option("--seed", type=int, default=0, show_default=True, help=of)


def overwrite(what: str = "the figure if it exists") -> Decorator:
    """--overwrite, and what it replaces."""
    return click.option("--overwrite", is_flag=True, help=f"Replace {what}.")


def named_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """What names a model, for :func:`mc.cli.which_model.named_model`: path, more and --run."""
    for decorate in (
        click.option("--run", multiple=True, metavar="KEY=VALUE", help="Which run of an archive."),
        click.argument("more", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("path", type=PATH, metavar="MODEL.h5|OUT.h5"),
    ):
        command = decorate(command)
    return command
