"""Figure of the spread of gradients over random parameters.

The numbers are those of :mod:`spread`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spread import KindSpread

from tnqbm.archive.rows import Other
from tnqbm.figures import layout
from tnqbm.figures.layout import GREY, Axis
from tnqbm.figures.styles import series_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS = {"": "-", "Z": "-", "X": "--", "Y": ":"}
"""Line of the components that belong to a Pauli matrix."""

KINDS = {"a": "visible fields a", "b": "hidden fields b", "w": "couplings w"}


@dataclass(frozen=True)
class SpreadPoint:
    """The spread of one kind of components for one model and data set."""

    data: str
    visible: int
    hidden: int
    paulis: str
    spread: KindSpread
    other: Other = ()


def spread_figure(
    points: Sequence[SpreadPoint], *, against: str = "visible", note: str = ""
) -> tuple[Figure, Axis]:
    """Standard deviation of the gradient's components against n or m, on a logarithmic scale.

    ``against`` is "visible" or "hidden"; the other one must be the same for all points. Rows are
    kinds of parameters, columns data sets, colours Pauli sets, and the line says to which Pauli
    matrix a component belongs. Bars are 2 standard errors. ``note`` goes under the title. Raises
    ValueError if there is no point or the other size differs.
    """
    if against not in ("visible", "hidden"):
        raise ValueError(f'against must be "visible" or "hidden", got {against!r}')
    if not points:
        raise ValueError("there is no spread to show")
    fixed = "hidden" if against == "visible" else "visible"
    sizes = sorted({int(getattr(point, fixed)) for point in points})
    if len(sizes) > 1:
        raise ValueError(f"points with {fixed} = {', '.join(map(str, sizes))}; choose one of them")
    layout.require_matplotlib()
    styles = series_styles(points)
    datasets = layout.data_order(point.data for point in points)
    with layout.style():
        figure, axes = layout.grid(len(KINDS), len(datasets), sharey=True)
        for row, (kind, name) in enumerate(KINDS.items()):
            for column, data in enumerate(datasets):
                axis = axes[row, column]
                axis.set_title(layout.data_label(data) if row == 0 else "")
                here = [p for p in points if (p.data, p.spread.kind) == (data, kind)]
                _draw(axis, here, styles, against)
            axes[row, 0].set_ylabel(f"Std, {name}")
        _scale(axes, points, against)
        letters = sorted({p.spread.pauli for p in points if p.spread.pauli}, reverse=True)
        handles = layout.series_handles(styles)
        handles += [layout.line_handle(f"{p} component", GREY, LETTERS[p]) for p in letters]
        layout.finish(
            figure,
            axes,
            title="Spread of gradient components at random parameters",
            note=f"{'m' if fixed == 'hidden' else 'n'} = {sizes[0]}{'; ' * bool(note)}{note}",
            x="Visible units n" if against == "visible" else "Hidden units m",
            y="",
            handles=handles,
        )
    return figure, axes


def _draw(axis: Axes, points: Sequence[SpreadPoint], styles: Any, against: str) -> None:
    for paulis, entry in styles.items():
        for letter, line in LETTERS.items():
            series = sorted(
                (int(getattr(p, against)), p.spread.std, p.spread.error / p.spread.std)
                for p in points
                if (p.paulis, p.spread.pauli) == (paulis, letter)
            )
            if not series:
                continue
            x, std, error = zip(*series, strict=True)
            # Of a standard deviation: half the variance's, divided by the standard deviation.
            axis.errorbar(
                x,
                std,
                error,
                color=entry["color"],
                marker=entry["marker"],
                linestyle=line,
                markersize=3.5,
                elinewidth=1.0,
            )


def _scale(axes: Axis, points: Sequence[SpreadPoint], against: str) -> None:
    """Logarithmic vertical axes that span a decade at least, whole numbers below."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    values = [point.spread.std for point in points]
    low, high = min(values), max(values)
    for axis in axes.flat:
        axis.set_yscale("log")
        axis.set_ylim(min(0.8 * low, 0.15 * high), 1.3 * high)
        ticks = [c * 10.0**k for k in range(-12, 3) for c in (1, 2, 5)]
        axis.yaxis.set_major_locator(FixedLocator(ticks))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.set_xticks(sorted({int(getattr(point, against)) for point in points}))
