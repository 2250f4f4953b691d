"""Figure of structure reports: Schmidt spectra of hidden factors, entanglement along the chain.

Takes reports made by :func:`tnqbm.model_tools.structure.report` and returns ``(figure, axes)``, the
axes as a two-dimensional object array; tnqbm.figures.save_figure writes files. matplotlib is
imported on the first call (extra ``plot``; tnqbm.MissingExtraError without it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import COLOURS, MARKERS, letters, paulis_name, plain_label
from tnqbm.model_tools.structure import StructureReport, numerical_bond

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.model_tools.structure import ChainStructure

__all__ = ["figure"]

Reports = StructureReport | Mapping[str, StructureReport]

_FLOOR = 1e-13  # Schmidt values below are rounding
_WIDE = 1.55  # panels of this figure are larger than those of archives'
_TWIN: Any = (0, (3.5, 1.5))
_AMPLITUDE = r"$\sqrt{\tilde{p}}$"


def figure(reports: Reports, *, precision: float = 1e-4) -> tuple[Figure, Axis]:
    """Three panels: hidden factors' Schmidt spectra; entropies and bond dimensions of the whole.

    Left: Schmidt values at the middle cut of each hidden unit's factor 2cosh|Phi_j|, one line a
    unit, relative to the largest; dotted lines stand at the bond dimension 2^P of P classical
    hidden units. Middle: entanglement entropy (nats) of the amplitude sqrt(p~) at every cut of the
    chain. Right: its bond dimension for a relative error ``precision`` in the norm, or, where a
    fit does not resolve that, for the next round number that all reports resolve (said in the
    title).

    ``reports`` is one report or several by name. Raises ValueError if there is nothing to draw.
    """
    named = _named(reports)
    if not 0.0 < precision < 1.0:
        raise ValueError(f"precision must be between 0 and 1, got {precision!r}")
    layout.require_matplotlib()
    styles = _styles(named)
    chains = {
        name: report.amplitude for name, report in named.items() if report.amplitude is not None
    }
    resolved = _resolved(precision, chains)
    with layout.style():
        drawn, axes = layout.grid(1, 3 if chains else 1, scale=_WIDE)
        engine: Any = drawn.get_layout_engine()
        engine.set(w_pad=0.1)  # inches: labels of a panel stand clear of its neighbour
        _draw_spectra(axes[0, 0], named, styles)
        if chains:
            _draw_entropies(axes[0, 1], chains, styles)
            _draw_bonds(axes[0, 2], chains, styles, resolved)
        layout.finish(
            drawn,
            axes,
            title="Entanglement of hidden factors" + (" and whole models" if chains else ""),
            note=_sizes(named),
            handles=[
                *(_handle(name, styles[name]) for name in named),
                layout.line_handle("$2^P$: P classical units", layout.GREY, layout.REFERENCE),
            ],
        )
        axes[0, 0].set_xlabel("Index of Schmidt value")
        for axis in axes[0, 1:]:
            axis.set_xlabel("Cut after visible units")
    return drawn, axes


def _draw_spectra(
    axis: Axes, named: Mapping[str, StructureReport], styles: Mapping[str, dict[str, Any]]
) -> None:
    axis.set_title("Schmidt values of hidden factors")
    most = 2
    marks: dict[int, str] = {}
    for name, report in named.items():
        style = styles[name]
        for unit in report.units:
            if not unit.spectra:
                continue
            values = unit.spectrum[unit.spectrum >= _FLOOR * unit.spectrum[0]]
            most = max(most, values.size)
            axis.plot(
                np.arange(1, values.size + 1),
                values / values[0],
                color=style["color"],
                linestyle=style["linestyle"],
                linewidth=1.3 if len(report.units) == 1 else 0.9,
                alpha=1.0 if len(report.units) == 1 else 0.6,
                marker=style["marker"] if values.size <= 8 else "",
                markersize=3.5,
            )
            marks.setdefault(unit.classical, style["color"])
    if not marks:
        _empty(axis, "no hidden unit has\nmore than one neighbour")
        return
    axis.set_yscale("log")
    axis.set_ylim(0.3 * _FLOOR, 3.0)
    layout.fixed_ticks(axis.yaxis, (10.0**-k for k in range(0, 13, 2)), plain=False)
    axis.set_xscale("log", base=2)
    axis.set_xlim(0.9, max(1.15 * most, 10.0))
    powers = math.ceil(math.log2(max(most, 8))) + 1
    layout.fixed_ticks(axis.xaxis, (2.0**k for k in range(powers)))
    for place, colour in marks.items():
        axis.axvline(place, color=colour, linestyle=layout.REFERENCE, linewidth=1.2, zorder=1.5)
    axis.set_ylabel("Schmidt value / largest")


def _draw_entropies(
    axis: Axes, chains: Mapping[str, ChainStructure], styles: Mapping[str, dict[str, Any]]
) -> None:
    axis.set_title(f"Entropy of {_AMPLITUDE}")
    for name, chain in chains.items():
        _line(axis, chain.entropies, styles[name])
    if not _cuts(axis, chains):
        return
    axis.set_ylim(0.0, max(1.08 * axis.get_ylim()[1], 1e-3))
    axis.set_ylabel("Entropy (nats)")


def _draw_bonds(
    axis: Axes,
    chains: Mapping[str, ChainStructure],
    styles: Mapping[str, dict[str, Any]],
    precision: float,
) -> None:
    exponent = math.log10(precision)
    digits = f"10$^{{{round(exponent)}}}$" if abs(exponent - round(exponent)) < 1e-9 else precision
    axis.set_title(f"Bond dimension of {_AMPLITUDE} to {digits}")
    most = 2
    for name, chain in chains.items():
        bonds = np.array([numerical_bond(s, precision) for s in chain.spectra])
        most = max(most, int(bonds.max(initial=1)))
        _line(axis, bonds, styles[name])
    if not _cuts(axis, chains):
        return
    axis.set_yscale("log", base=2)
    axis.set_ylim(0.9, 1.4 * most)
    steps = math.ceil(math.log2(most)) + 1
    layout.fixed_ticks(axis.yaxis, (2.0**k for k in range(0, steps, 1 + steps // 9)))
    axis.set_ylabel("Bond dimension")


def _line(axis: Axes, values: Any, style: Mapping[str, Any]) -> None:
    cuts = np.arange(1, len(values) + 1)
    look = {key: style[key] for key in ("color", "linestyle", "marker")}
    if len(values) > 24:
        look["marker"] = ""
    axis.plot(cuts, values, markersize=3.2, linewidth=1.3, **look)


def _cuts(axis: Axes, chains: Mapping[str, ChainStructure]) -> bool:
    """Horizontal axis of cuts, to the last of the longest chain; False if there is none."""
    last = max(len(chain.spectra) for chain in chains.values())
    if last == 0:
        _empty(axis, "one visible unit has no cut")
        return False
    axis.set_xlim(0.0, last + 1.0)
    layout.whole_ticks(axis.xaxis, most=7)
    return True


def _empty(axis: Axes, text: str) -> None:
    layout.empty(axis, text)
    axis.set_yticks([])


def _styles(named: Mapping[str, StructureReport]) -> dict[str, dict[str, Any]]:
    """The Pauli set's colour for its first report, then colours not yet taken, dashed."""
    styles: dict[str, dict[str, Any]] = {}
    wanted = {COLOURS[letters(report.paulis)] for report in named.values()}
    spare = [colour for colour in layout.SPARE if colour not in wanted]
    for name, report in named.items():
        colour = COLOURS[letters(report.paulis)]
        first = all(style["color"] != colour for style in styles.values())
        if not first:
            colour = spare[len(styles) % len(spare)]
        styles[name] = {
            "color": colour,
            "linestyle": "-" if first else _TWIN,
            "marker": MARKERS[letters(report.paulis)] if first else "x",
        }
    return styles


def _handle(name: str, style: Mapping[str, Any]) -> Any:
    return layout.line_handle(plain_label(name), style["color"], style["linestyle"])


def _resolved(precision: float, chains: Mapping[str, ChainStructure]) -> float:
    """``precision``, or the next of 1, 2, 5 times a power of ten that all chains resolve."""
    resolution = max((chain.resolution for chain in chains.values()), default=0.0)
    if precision >= resolution:
        return precision
    power = math.floor(math.log10(resolution))
    steps = [float(f"{digit}e{power}") for digit in (1, 2, 5, 10)]
    return min(next(step for step in steps if step >= resolution * (1 - 1e-9)), 0.5)


def _named(reports: Reports) -> dict[str, StructureReport]:
    if isinstance(reports, StructureReport):
        reports = {paulis_name(reports.paulis): reports}
    named = dict(reports)
    if not named:
        raise ValueError("there is nothing to draw: no report was given")
    for name, report in named.items():
        if not isinstance(report, StructureReport):
            raise TypeError(f"{name!r} must be a StructureReport, got {type(report).__name__}")
    if not any(report.units or report.amplitude for report in named.values()):
        raise ValueError("there is nothing to draw: the reports hold no hidden unit and no chain")
    return named


def _sizes(named: Mapping[str, StructureReport]) -> str:
    """Sizes of the models, once if they share them."""

    def values(name: str) -> str:
        distinct = sorted({getattr(report, name) for report in named.values()})
        few = len(distinct) <= 4
        return ", ".join(map(str, distinct)) if few else f"{distinct[0]} to {distinct[-1]}"

    fitted = any(report.amplitude and report.amplitude.source == "mps" for report in named.values())
    text = f"n = {values('n_visible')}, m = {values('n_hidden')}"
    return text + ("; amplitudes of fitted matrix product states" if fitted else "")
