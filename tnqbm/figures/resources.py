"""Figure of resources: qubits, two-qubit gates and shots against the number of visible units.

Takes estimates of :func:`tnqbm.quantum.resources.estimate` and returns ``(figure, axes)``, the axes
as a two-dimensional object array; tnqbm.figures.save_figure writes files. matplotlib is imported on
the first call (extra ``plot``; tnqbm.MissingExtraError without it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import COLOURS, MARKERS, letters
from tnqbm.quantum.resources import Resources

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure"]

_WIDE = 1.35
_LINES: dict[str, Any] = {"imaginary-time": "-", "thermal": (0, (3.5, 1.5))}


def figure(resources: Mapping[str, Sequence[Resources]]) -> tuple[Figure, Axis]:
    """Three panels over the number of visible units, one line for each name.

    Qubits; CX gates of one circuit after decomposition, swaps included; shots for one gradient.
    Hollow markers are upper bounds of the shots, from lower bounds on log Z. A circuit without
    two-qubit gates has no point in their panel. Raises ValueError if there is nothing to draw,
    TypeError on anything but Resources.
    """
    named = {name: sorted(rows, key=lambda row: row.n_visible) for name, rows in resources.items()}
    if not any(named.values()):
        raise ValueError("there is nothing to draw: no resources were given")
    for name, rows in named.items():
        for row in rows:
            if not isinstance(row, Resources):
                raise TypeError(f"{name!r} must hold Resources, got {type(row).__name__}")
    layout.require_matplotlib()
    named = {name: rows for name, rows in named.items() if rows}
    all_rows = [row for rows in named.values() for row in rows]
    styles = _styles(named)
    with layout.style():
        drawn, axes = layout.grid(1, 3, scale=_WIDE)
        engine: Any = drawn.get_layout_engine()
        engine.set(w_pad=0.1)  # inches: labels of a panel stand clear of its neighbour
        qubits, gates, shots = axes[0]
        for name, rows in named.items():
            _line(qubits, [(row.n_visible, row.qubits) for row in rows], styles[name])
            with_gates = [(row.n_visible, row.cx_gates) for row in rows if row.cx_gates]
            _line(gates, with_gates, styles[name])
            _line(shots, [(row.n_visible, row.log10_shots) for row in rows], styles[name])
            bounds = [row for row in rows if row.log_partition_kind == "lower bound"]
            hollow = {**styles[name], "linestyle": "", "markerfacecolor": "white"}
            _line(shots, [(row.n_visible, row.log10_shots) for row in bounds], hollow)
        for axis, title in zip(
            (qubits, gates, shots), ("Qubits", "CX gates of one circuit", "Shots"), strict=True
        ):
            axis.set_title(title)
            _units(axis, all_rows)
        layout.whole_axis(qubits)
        if any(row.cx_gates for row in all_rows):
            _logarithmic(gates)
        else:
            layout.empty(gates, "no two-qubit gates")
        _powers(shots)
        handles = [layout.handle(name, **style) for name, style in styles.items()]
        if any(row.log_partition_kind == "lower bound" for row in all_rows):
            handles.append(layout.hollow_handle("upper bound", "o"))
        layout.finish(
            drawn,
            axes,
            title="What one gradient takes on a quantum computer",
            note=_note(all_rows),
            x="Visible units n",
            handles=handles,
        )
    return drawn, axes


def _styles(named: Mapping[str, Sequence[Resources]]) -> dict[str, dict[str, Any]]:
    """Colours of Pauli sets, then spare ones; line and marker say the strategy."""
    styles: dict[str, dict[str, Any]] = {}
    used: set[tuple[str, str]] = set()
    for name, rows in named.items():
        paulis, strategy = letters(rows[0].paulis), rows[0].strategy
        colour = COLOURS[paulis]
        if (colour, strategy) in used:
            colour = next((c for c in layout.SPARE if (c, strategy) not in used), "#8A6D3B")
        used.add((colour, strategy))
        marker = "x" if strategy == "thermal" else MARKERS[paulis]
        styles[name] = {"color": colour, "linestyle": _LINES[strategy], "marker": marker}
    return styles


def _line(axis: Axes, points: Sequence[tuple[int, float]], style: Mapping[str, Any]) -> None:
    if points:
        x, y = zip(*points, strict=True)
        axis.plot(x, y, linewidth=1.3, markersize=4.0, **style)


def _units(axis: Axes, all_rows: Sequence[Resources]) -> None:
    least, most = (f(row.n_visible for row in all_rows) for f in (min, max))
    room = max(0.06 * (most - least), 0.8 if most > least else 2.0)
    axis.set_xlim(least - room, most + room)
    layout.whole_ticks(axis.xaxis)


def _logarithmic(axis: Axes) -> None:
    """Decades, at least one of them whole, or 1, 2 and 5 of each where fewer than two are seen."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    if high / low < 20.0:
        axis.set_ylim(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)))
    low, high = axis.get_ylim()
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) >= 1:
        axis.yaxis.set_major_locator(LogLocator(numticks=8))
    else:
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.yaxis.set_minor_locator(NullLocator())


def _powers(axis: Axes) -> None:
    """Labels of an axis of logarithms: shots may be more than floats can hold."""
    from matplotlib.ticker import FuncFormatter

    low, high = axis.get_ylim()
    if high - low < 2.0:
        axis.set_ylim(math.floor(low), math.ceil(high))
    layout.whole_ticks(axis.yaxis, most=7)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"10$^{{{x:.0f}}}$"))


def _note(all_rows: Sequence[Resources]) -> str:
    """What all estimates share."""

    def values(name: str, given: Sequence[Resources] = all_rows) -> str:
        distinct = sorted({getattr(row, name) for row in given})
        return ", ".join(f"{x:g}" if isinstance(x, float) else str(x) for x in distinct)

    parts = [f"m = {values('n_hidden')}"]
    steps = [row for row in all_rows if row.trotter_steps]
    if steps:
        parts.append(f"Trotter steps: {values('trotter_steps', steps)}")
    parts += [f"standard error {values('target_error')}", f"coupling map {values('coupling_map')}"]
    return "; ".join(parts)
