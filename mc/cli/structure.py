"""``tnqbm structure``: bond dimensions and entropies of a model, hidden unit by hidden unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from mc.cli import options
from mc.cli.common import echo, number, print_json, print_table
from mc.cli.inputs import named_model
from tnqbm import figures
from tnqbm.figures.layout import require_matplotlib
from tnqbm.figures.structure import figure
from tnqbm.figures.styles import paulis_name
from tnqbm.model_tools import structure as measure

if TYPE_CHECKING:
    from tnqbm.model_tools.structure import StructureReport


TWIN = "RBM, same parameters"
_ROWS = 12  # hidden units of one model with a line of their own


@click.command(context_settings={"show_default": True})
@options.named_model
@click.option(
    "--hidden",
    type=int,
    multiple=True,
    metavar="J",
    help="Hidden unit, from 0. Repeatable. [default: up to 8, evenly spread]",
)
@click.option(
    "--precision",
    "precisions",
    type=float,
    multiple=True,
    default=(1e-4, 1e-8, 1e-12),
    help="Relative error allowed to bond dimensions. Repeatable.",
)
@click.option("--whole/--no-whole", default=True, help="Also the whole model.")
@click.option("--twin", is_flag=True, help="Beside the RBM of P m units with the same numbers.")
@click.option("--max-bond", default=128, help="Of the fit, above 22 units.")
@options.seed("Of the fit.")
@options.figure
@options.overwrite()
@options.as_json
def structure(
    path: str,
    more: tuple[str, ...],
    run: tuple[str, ...],
    hidden: tuple[int, ...],
    precisions: tuple[float, ...],
    whole: bool,
    twin: bool,
    max_bond: int,
    seed: int,
    out: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show bond dimensions of hidden units and of the whole, along the visible units.

    A hidden unit of an RBM has bond dimension 2, P of them 2^P. One qubit with P Paulis needs more
    the finer the precision: it is not P classical bits. The whole model is the amplitude sqrt(p~)
    and the weight p~, from all 2^n states up to n = 22 and from a fitted matrix product state
    (amplitude only) above. The model is one saved with SqRBM.save, or the final model of an
    archive's run.

    \b
    Examples:
      tnqbm structure model.h5
      tnqbm structure model.h5 --twin -o structure.png
      tnqbm structure results.h5 --run paulis=XYZ visible=8 hidden=3 data=bas seed=1 --json
    """
    if out is not None:
        require_matplotlib()
        figures.check_figure_path(out, overwrite=overwrite, inputs=[path])
    named = named_model(path, [*run, *more])
    model = named.model
    models = {paulis_name(model.paulis): (model, list(hidden) or None)}
    if twin:
        if len(model.paulis) == 1:
            raise click.UsageError(
                f"the model has one Pauli ({model.paulis}), so its units are classical already; "
                "leave --twin out"
            )
        m = model.n_hidden
        rows = [p * m + j for j in hidden for p in range(len(model.paulis))]
        models[TWIN] = (measure.classical_twin(model), rows or None)
    reports = {
        name: measure.report(
            model,
            precisions=precisions,
            hidden=chosen,
            whole=whole,
            max_bond=max_bond,
            seed=seed,
        )
        for name, (model, chosen) in models.items()
    }
    if out is not None:
        figures.save_figure(figure(reports, precision=max(precisions))[0], out, overwrite=overwrite)
    if as_json:
        print_json(
            {
                "model": path,
                "run": named.coordinates or None,
                "reports": {name: report.as_dict() for name, report in reports.items()},
                "figure": out,
            }
        )
        return
    _print_units(reports)
    _print_chains(reports)
    if out is not None:
        echo(f"figure: {out}")


def _print_units(reports: dict[str, StructureReport]) -> None:
    rows: list[tuple[str, ...]] = []
    for name, report in reports.items():
        if not report.units:
            continue
        lines = [(f"unit {u.hidden}", u) for u in report.units]
        if len(lines) > _ROWS:
            ranked = sorted(report.units, key=lambda u: u.ranks.tolist())
            words = {"least": 0, "median": len(ranked) // 2, "most": -1}
            lines = [(f"{word} of {len(ranked)}", ranked[k]) for word, k in words.items()]
        rows += [
            (name, line, str(u.neighbours.size), str(u.classical), *map(str, u.ranks))
            for line, u in lines
        ]
    if rows:
        print_table(
            ("model", "hidden", "neighbours", "classical", *_precisions(reports)),
            rows,
            left=2,
            title="Bond dimension of hidden units, at the precision",
        )


def _print_chains(reports: dict[str, StructureReport]) -> None:
    rows: list[tuple[str, ...]] = []
    for name, report in reports.items():
        for chain in (report.amplitude, report.weight):
            if chain is None:
                continue
            most = chain.bonds.max(axis=1, initial=0)
            if not chain.spectra:  # one visible unit
                most = most + 1
            rows.append(
                (
                    name,
                    {"amplitude": "amplitude sqrt(p~)", "weight": "weight p~"}[chain.quantity],
                    {"exact": "exact", "mps": "fitted MPS"}[chain.source],
                    number(float(chain.entropies.max(initial=0.0))),
                    *(str(chi) if chi else "–" for chi in most),
                )
            )
    if rows:
        print_table(
            ("model", "of", "from", "entropy (nats)", *_precisions(reports)),
            rows,
            left=3,
            title="Whole model: the largest over all cuts",
        )


def _precisions(reports: dict[str, StructureReport]) -> list[str]:
    first = next(iter(reports.values()))
    return [np.format_float_scientific(p, trim="-", exp_digits=1) for p in first.precisions]
