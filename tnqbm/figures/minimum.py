"""Figure of the hidden units at which the mean distance falls to a threshold, and of their ratios.

Used through :mod:`tnqbm.figures`; the numbers are :mod:`tnqbm.archive.minimum_hidden`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tnqbm.archive.minimum_hidden import (
    HiddenRatio,
    MinimumHidden,
    minimum_hidden_tables,
)
from tnqbm.archive.rows import Other, Where, variant_names
from tnqbm.figures import layout
from tnqbm.figures.layout import GREY, Axis
from tnqbm.figures.styles import Styles, plain_label, series_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive

Row = MinimumHidden | HiddenRatio
Place = Callable[[Row], float]
"""Where on the horizontal axis a result stands, before series are shifted apart."""


def minimum_hidden(
    archives: Archive | Sequence[Archive],
    threshold: float = 0.2,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    where: Where | None = None,
) -> tuple[Figure, Axis]:
    """The m at which the mean TVD falls to ``threshold``, and its ratios (paper's Figure 3).

    One column per data set: the m of every Pauli set against n above, interpolated between those
    tried, and the ratios m_RBM / m_sqRBM below with the predictions 2 and 3 (the number of Paulis)
    as lines. Runs of several gradients
    and one n stand side by side, by gradient instead of n. Error bars are central bootstrap
    intervals over seeds. Hollow triangles are bounds, pointing to where the true value
    may lie, because the threshold was not reached by the largest m tried or was met by the
    smallest. The same numbers: :func:`tnqbm.archive.minimum_hidden.minimum_hidden_table`. Raises
    ValueError if there are several gradients and several n; ``where`` chooses.
    """
    layout.require_matplotlib()
    options: dict[str, Any] = {
        "threshold": threshold,
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "where": where,
    }
    rows, ratios = minimum_hidden_tables(archives, **options)
    styles = series_styles(rows)
    variants = variant_names(row.other for row in rows)
    visibles = sorted({row.visible for row in rows})
    if len(variants) > 1 and len(visibles) > 1:
        raise ValueError(
            f"there are several gradients ({', '.join(variants.values())}) and several n "
            f"({', '.join(map(str, visibles))}), but the figure has one horizontal axis; choose "
            f"one of them, for example visible = {visibles[-1]} or gradient = "
            f"{next(iter(variants.values()))}"
        )
    place = _by_variant(list(variants)) if len(variants) > 1 else _by_visible
    datasets = layout.data_order(row.data for row in rows)
    bounds: set[str] = set()
    with layout.style():
        figure, axes = layout.grid(2 if ratios else 1, len(datasets), scale=1.1)
        for column, data in enumerate(datasets):
            axes[0, column].set_title(layout.data_label(data))
            here = [row for row in rows if row.data == data]
            bounds |= _draw_minima(axes[0, column], here, styles, place)
            if ratios:
                beside = [ratio for ratio in ratios if ratio.data == data]
                bounds |= _draw_ratios(axes[1, column], beside, styles, place)
        for axis in axes.flat:
            if len(variants) > 1:
                axis.set_xlim(-0.6, len(variants) - 0.4)
                axis.grid(visible=False, axis="x")
                if axis.has_data():
                    axis.set_xticks(
                        range(len(variants)), [plain_label(name) for name in variants.values()]
                    )
                    axis.tick_params("x", rotation=90)
                    axis.tick_params("x", labelbottom=axis in axes[-1])
                continue
            axis.set_xlim(visibles[0] - 1, visibles[-1] + 1)
            if axis.has_data():
                axis.set_xticks(visibles)
        for axis in axes[0]:
            layout.whole_axis(axis)
        if ratios:
            top = max(axis.get_ylim()[1] for axis in axes[1])
            for axis in axes[1]:
                axis.set_ylim(0.0, top)
            axes[1, 0].set_ylabel("Ratio m(RBM) / m(sqRBM)")
        axes[0, 0].set_ylabel("Hidden units m")
        handles = layout.series_handles(styles)
        handles += [
            layout.line_handle(f"prediction {count}", GREY, layout.LINES[count - 1])
            for count in sorted({ratio.prediction for ratio in ratios})
        ]
        handles += [
            layout.hollow_handle({"^": "true value above", "v": "true value below"}[m], m)
            for m in sorted(bounds)
        ]
        note = layout.seeds_text((row.seeds for row in rows), band=False)
        if any(row.seeds > 1 for row in rows):
            note += f"; bars: {100 * confidence:g} % bootstrap intervals"
        if len(variants) > 1:
            note = f"n = {visibles[0]}; {note}"
        layout.finish(
            figure,
            axes,
            title=f"Hidden units for a mean TVD of {threshold:g}",
            note=note,
            x="Gradient" if len(variants) > 1 else "Visible units n",
            handles=handles,
        )
    return figure, axes


def _by_visible(row: Row) -> float:
    return row.visible


def _by_variant(variants: Sequence[Other]) -> Place:
    return lambda row: variants.index(row.other)


def _dodge(styles: Styles, paulis: str) -> float:
    """Sideways shift of a series, so that error bars at the same n do not cover each other."""
    return min(0.24, 1.2 / len(styles)) * (list(styles).index(paulis) - 0.5 * (len(styles) - 1))


def _draw_minima(
    axis: Axes, rows: Sequence[MinimumHidden], styles: Styles, place: Place
) -> set[str]:
    """Crossings against n or gradient; returns the directions of the hollow markers needed."""
    bounds: set[str] = set()
    for paulis, entry in styles.items():
        line = [row for row in rows if row.paulis == paulis]
        shift, colour = _dodge(styles, paulis), entry["color"]
        known = [(place(r) + shift, r.crossing) for r in line if r.crossing and not r.at_smallest]
        if place is _by_visible:  # gradients are no scale
            axis.plot([x for x, _ in known], [m for _, m in known], color=colour)
        for row in line:
            x = place(row) + shift
            if row.crossing is None:
                bounds.add("^")
                axis.plot(x, row.tried[-1], "^", color=colour, mfc="white", zorder=3)
            elif row.at_smallest:
                bounds.add("v")
                axis.plot(x, row.crossing, "v", color=colour, mfc="white", zorder=3)
            else:
                low = row.tried[0] if row.low is None else row.low
                _point(axis, x, row.crossing, low, row.high, row.tried[-1], entry)
    return bounds


def _draw_ratios(axis: Axes, rows: Sequence[HiddenRatio], styles: Styles, place: Place) -> set[str]:
    """Ratios and predictions against n or gradient; the directions of the hollow markers."""
    bounds: set[str] = set()
    if not rows:
        layout.empty(axis, "no RBM to compare with")
        return bounds
    for count in sorted({row.prediction for row in rows}):
        axis.axhline(count, color=GREY, linestyle=layout.LINES[count - 1], linewidth=1.0)
    for paulis, entry in styles.items():
        shift, colour = _dodge(styles, paulis), entry["color"]
        line = [row for row in rows if row.paulis == paulis]
        known = [(place(r) + shift, r.ratio) for r in line if r.ratio and r.kind == "value"]
        if place is _by_visible:
            axis.plot([x for x, _ in known], [ratio for _, ratio in known], color=colour)
        for row in line:
            x = place(row) + shift
            if row.ratio is None:
                continue
            if row.kind == "value":
                low = row.ratio if row.low is None else row.low
                _point(axis, x, row.ratio, low, row.high, 1.2 * row.ratio, entry)
            else:
                marker = "^" if row.kind == "at least" else "v"
                bounds.add(marker)
                axis.plot(x, row.ratio, marker, color=colour, mfc="white", zorder=3)
    if all(row.ratio is None for row in rows):
        where: dict[str, Any] = {"transform": axis.transAxes, "ha": "center", "color": "#888888"}
        where["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axis.text(0.5, 0.2, "neither model's minimum\nis among the m tried", **where)
    axis.set_ylim(0.0, max(1.05 * axis.get_ylim()[1], 1.15 * max(row.prediction for row in rows)))
    return bounds


def _point(
    axis: Axes, x: float, y: float, low: float, high: float | None, far: float, entry: Any
) -> None:
    """A point with its interval; an interval open above ends in an arrow at ``far``."""
    top = 1.12 * max(far, y) if high is None else max(high, y)
    axis.errorbar(
        x,
        y,
        [[y - min(low, y)], [top - y]],
        color=entry["color"],
        marker=entry["marker"],
        capsize=2.5,
        elinewidth=1.1,
        linestyle="",
    )
    if high is None:
        axis.plot(x, top, marker=10, color=entry["color"])
