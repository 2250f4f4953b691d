"""``tnqbm resources``: what training on a quantum computer takes, without running anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from mc.cli import options
from mc.cli.common import echo, number, print_json, print_table
from tnqbm import SqBM, figures
from tnqbm.figures.layout import require_matplotlib
from tnqbm.figures.resources import figure
from tnqbm.figures.styles import paulis_name
from tnqbm.model_tools.structure import classical_twin
from tnqbm.quantum.resources import RandomModel, estimate

if TYPE_CHECKING:
    from tnqbm import SqRBM
    from tnqbm.quantum.resources import Resources


def _numbers(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> list[int]:
    """Whole numbers from texts like ``4``, ``4,6,8`` or ``4 6 8``, each once."""
    units: list[int] = []
    for text in texts:
        try:
            numbers = [int(piece) for piece in text.replace(",", " ").split()]
        except ValueError:
            numbers = []
        if not numbers:
            raise click.BadParameter(f"{text!r} is no list of whole numbers such as 4,6,8")
        units += numbers
    return list(dict.fromkeys(units))


@click.command(context_settings={"show_default": True})
@click.option(
    "--visible",
    callback=_numbers,
    multiple=True,
    required=True,
    metavar="N[,N...]",
    help="Units: one number or several. Repeatable.",
)
@click.option("--hidden", type=int, required=True, metavar="M", help="Hidden qubits.")
@click.option("--paulis", default="XYZ", metavar="LETTERS", help="X, Y, Z.")
@click.option("--against-rbm", is_flag=True, help="Beside the RBM with as many parameters.")
@click.option(
    "--strategy",
    type=click.Choice(["imaginary-time", "thermal", "both"]),
    default="imaginary-time",
    help="Gibbs state of all qubits, or hidden qubits given classical samples.",
)
@click.option("--trotter-steps", default=4, help="Trotter steps.")
@click.option("--order", default=2, help="Of the formula: 1 or 2.")
@click.option(
    "--target-error",
    default=0.01,
    help="Standard error of each entry of the gradient.",
)
@click.option(
    "--coupling-map",
    type=click.Choice(["all-to-all", "line", "grid"]),
    default="all-to-all",
    help="Which qubits of the device have gates.",
)
@click.option("--connectivity", default="dense", help="Of the model, e.g. line-4.")
@click.option(
    "--visible-edges", metavar="NAME", help="Couplings of visible units, e.g. all or line: an sqBM."
)
@click.option(
    "--hidden-edges", metavar="NAME", help="Couplings of hidden qubits, e.g. groups-2: an sqBM."
)
@click.option(
    "--scale",
    default=1.0,
    help="Parameters are drawn from [-scale, scale].",
)
@options.seed("Of the parameters.")
@click.option(
    "--closed-form", is_flag=True, help="Measure visible bits only, calculate hidden averages."
)
@options.figure
@options.overwrite()
@options.as_json
def resources(
    visible: list[int],
    hidden: int,
    paulis: str,
    against_rbm: bool,
    strategy: str,
    trotter_steps: int,
    order: int,
    target_error: float,
    coupling_map: str,
    connectivity: str,
    visible_edges: str | None,
    hidden_edges: str | None,
    scale: float,
    seed: int,
    closed_form: bool,
    out: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Estimate qubits, gates, depth and shots for one gradient of an sqRBM or sqBM.

    Gates are counted as the circuits have them; CX after decomposition, swaps for the coupling
    map included. The share of shots that are kept comes from log Z of a model with random
    parameters: exact where that takes seconds, a lower bound otherwise (then shots are an upper
    bound, marked <=). The positive phase needs no quantum computer.

    \b
    Examples:
      tnqbm resources --visible 8 --hidden 2 --scale 0.1
      tnqbm resources --visible 4,8,16 --hidden 4 --against-rbm -o needs.png
      tnqbm resources --visible 8 --hidden 2 --strategy both --coupling-map line --json
      tnqbm resources --visible 8 --hidden 4 --hidden-edges groups-2 --scale 0.1 --strategy both
    """
    lateral = visible_edges is not None or hidden_edges is not None
    if lateral and (against_rbm or closed_form):
        raise click.UsageError("--against-rbm and --closed-form are for models without edges")
    if against_rbm and len(paulis) == 1:
        raise click.UsageError(
            f"with one Pauli ({paulis}) the model is classical already; leave --against-rbm out"
        )
    if closed_form and strategy != "imaginary-time":
        raise click.UsageError("--closed-form is for --strategy imaginary-time only")
    if out is not None:
        require_matplotlib()
        figures.check_figure_path(out, overwrite=overwrite)
    strategies = ["imaginary-time", "thermal"] if strategy == "both" else [strategy]
    estimates: dict[str, list[Resources]] = {}
    for n in visible:
        model = RandomModel(n, hidden, paulis, scale, seed, connectivity).draw()
        models: dict[str, SqRBM | SqBM] = {paulis_name(paulis): model}
        if lateral:
            models = {
                f"sqBM {paulis}": SqBM(
                    n,
                    hidden,
                    visible_edges=visible_edges,
                    hidden_edges=hidden_edges,
                    paulis=paulis,
                    mask=model.mask,
                    scale=scale,
                    seed=seed,
                )
            }
        if against_rbm:
            models["RBM, same parameters"] = classical_twin(model)
        for name, one in models.items():
            for kind in strategies:
                label = f"{name}, {kind}" if len(strategies) > 1 else name
                estimates.setdefault(label, []).append(
                    estimate(
                        one,
                        strategy=kind,  # type: ignore[arg-type]
                        trotter_steps=trotter_steps,
                        order=order,
                        target_error=target_error,
                        coupling_map=coupling_map,
                        readout="closed form" if closed_form else "measured",
                    )
                )
    if out is not None:
        figures.save_figure(figure(estimates)[0], out, overwrite=overwrite)
    if as_json:
        print_json(
            {
                "scale": scale,
                "seed": seed,
                "connectivity": connectivity,
                "visible_edges": visible_edges,
                "hidden_edges": hidden_edges,
                "resources": {
                    name: [one.as_dict() for one in row] for name, row in estimates.items()
                },
                "figure": out,
            }
        )
        return
    _print(estimates)
    if out is not None:
        echo(f"figure: {out}")


def _print(estimates: dict[str, list[Resources]]) -> None:
    rows = [
        (
            name,
            str(each.n_visible),
            str(each.n_hidden),
            str(each.n_parameters),
            str(each.qubits),
            str(each.cx_gates),
            str(each.swaps),
            str(each.depth),
            _share(each),
            _shots(each),
        )
        for name, row in estimates.items()
        for each in row
    ]
    first = next(iter(estimates.values()))[0]
    print_table(
        ("model", "n", "m", "parameters", "qubits", "CX", "swaps", "depth", "kept", "shots"),
        rows,
        left=1,
        title=f"One gradient, each entry to {first.target_error:g}",
    )


def _power(log10: float) -> str:
    """A positive number given by its logarithm, which may be beyond floats."""
    if -3.0 <= log10 < 4.0:
        return number(10.0**log10, 3)
    exponent = math.floor(log10)
    digits = f"{10.0 ** (log10 - exponent):.1f}"
    if digits == "10.0":
        digits, exponent = "1.0", exponent + 1
    return f"{digits}e{exponent:+03d}"


def _share(resources: Resources) -> str:
    bound = ">= " if resources.log_partition_kind == "lower bound" else ""
    return bound + _power(resources.log_success / math.log(10.0))


def _shots(resources: Resources) -> str:
    bound = "<= " if resources.log_partition_kind == "lower bound" else ""
    return bound + _power(resources.log10_shots)
