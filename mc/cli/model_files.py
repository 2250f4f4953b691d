"""``tnqbm model import`` and ``export``: models of other programs, read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mc.cli import options
from mc.cli.common import PATH, echo, number, parse_pairs, print_json
from mc.cli.inputs import named_model
from tnqbm.files.outputs import MODEL, check_output
from tnqbm.interop import load_model, save_model
from tnqbm.interop.models.saving import FILES

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = click.Choice(["bits", "spins"])
ROWS = click.Choice(["visible", "hidden"])

_names = click.option(
    "--names", multiple=True, metavar="KEY=NAME", help="Names of w, a and b there: w=weight,a=vb."
)


@click.command("import")
@click.argument("source", type=PATH, metavar="FILE")
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="MODEL.h5", help="Where.")
@click.option("--units", type=UNITS, help="What its units are; bits, if the file does not say.")
@click.option("--rows", type=ROWS, help="What the rows of its weights are, if they are square.")
@_names
@click.option("--update", type=int, help="Which checkpoint of rbms; default: the last.")
@options.as_json
def import_model(
    source: str,
    out: str,
    units: str | None,
    rows: str | None,
    names: tuple[str, ...],
    update: int | None,
    as_json: bool,
) -> None:
    """Write a model of another program as one with the Pauli set Z.

    FILE is a PyTorch state dict (.pt, .pth), three arrays (.npz), a MATLAB file with vishid,
    visbiases and hidbiases (.mat), or HDF5 (.h5, .hdf5) of the package rbms, of
    RestrictedBoltzmannMachines.jl, or with three arrays. Log weights there are those of the new
    model plus a constant, which is printed.

    \b
    Examples:
      tnqbm model import rbm.pt -o model.h5
      tnqbm model import training.h5 --update 1000 -o model.h5
      tnqbm model import arrays.npz --units spins --names w=J,a=h,b=c -o model.h5
    """
    check_output(out, MODEL, inputs=[source])
    found = load_model(source, units=units, rows=rows, names=_pairs(names), update=update)
    found.model.save(out)
    facts = {
        "source": source,
        "format": found.format,
        "units": found.units,
        "names": found.names,
        "update": found.update,
        "output": out,
        "paulis": found.model.paulis,
        "visible": found.model.n_visible,
        "hidden": found.model.n_hidden,
        "constant": found.constant,
    }
    if as_json:
        print_json(facts)
        return
    there = ", ".join(f"{key} = {name}" for key, name in found.names.items())
    echo(f"read        {source} ({found.format}, {found.units}; {there})")
    echo(f"written to  {out} (Z, n = {facts['visible']}, m = {facts['hidden']})")
    echo(f"constant    {number(found.constant, 10)} (log weights there minus those of the model)")


@click.command("export")
@options.named_model
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="NEW.npz|NEW.pt")
@click.option("--units", type=UNITS, default="bits", show_default=True, help="Of both layers.")
@click.option(
    "--rows", type=ROWS, default="visible", show_default=True, help="Of the matrix of weights."
)
@_names
@options.as_json
def export_model(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    out: str,
    units: str,
    rows: str,
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a model with the Pauli set Z for other programs.

    An .npz holds arrays W, v_bias and h_bias, a .pt or .pth the same as a PyTorch state dict.
    Probabilities are proportional to exp(v_bias.v + h_bias.h + v.W.h), hidden units summed over.

    \b
    Examples:
      tnqbm model export rbm.h5 -o rbm.npz
      tnqbm model export results.h5 paulis=Z hidden=8 seed=1 -o rbm.pt --names w=weight
    """
    check_output(out, FILES, inputs=[path])
    model = named_model(path, [*run, *more]).model
    arrays = save_model(model, out, units=units, rows=rows, names=_pairs(names))
    facts = {
        "model": path,
        "output": out,
        "units": units,
        "rows": rows,
        "visible": model.n_visible,
        "hidden": model.n_hidden,
        "constant": arrays.constant,
    }
    if as_json:
        print_json(facts)
        return
    shape = f"n = {model.n_visible}, m = {model.n_hidden}"
    echo(f"written to  {out} ({units}, rows of W: {rows} units, {shape})")
    echo(f"constant    {number(arrays.constant, 10)} (log weights there minus those of the model)")


def _pairs(texts: Sequence[str]) -> dict[str, str] | None:
    names = parse_pairs(texts)
    if several := [key for key, values in names.items() if len(values) > 1]:
        raise click.UsageError(f"--names has more than one name for {several[0]}")
    return {key: str(values[0]) for key, values in names.items()} or None
