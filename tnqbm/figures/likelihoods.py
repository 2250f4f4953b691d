"""Figure of the likelihood of held-out data: while training, and in the end.

Used through :mod:`tnqbm.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.archive.rows import Where, variant_names
from tnqbm.archive.summaries import LikelihoodCurve, likelihood_curves
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import Styles, gradient_styles, paulis_name, paulis_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive

Model = tuple[str, int]

_REACH = 2.0  # times what training gained: how far below its end the axis may go
_SUMMARY = 2.5  # inches


def likelihood(
    archives: Archive | Sequence[Archive], *, where: Where | None = None
) -> tuple[Figure, Axis]:
    """Log-likelihood of test and training data against updates, and its final values.

    One panel per model: Pauli sets (columns), from the fewest hidden units (above) to the most; a
    colour and marker per gradient. Lines are means over seeds, solid for test and dashed for
    training data; bars are the standard errors that log Z gives them, 0 where it is exact. The
    panel below has the final values of all models, in the order of their numbers of parameters:
    filled for test, hollow for training data, dots for single seeds.

    Returns the axes (rows + 1, columns); the last row is the summary, once, and then None. Raises
    ValueError if the runs have no test data, nothing matches, or there are several data sets or n;
    ``where`` chooses.
    """
    layout.require_matplotlib()
    curves = likelihood_curves(archives, where=where)
    pairs = sorted({(curve.data, curve.visible) for curve in curves})
    if len(pairs) > 1:
        known = "; ".join(f"data = {data}, visible = {n}" for data, n in pairs)
        raise ValueError(f"the figure is of one data set and n; choose one of: {known}")
    data, visible = pairs[0]
    paulis = paulis_order(curve.paulis for curve in curves)
    sizes = {p: sorted({c.hidden for c in curves if c.paulis == p}) for p in paulis}
    count = max(map(len, sizes.values()))
    layout.check_rows(count, [])
    styles = gradient_styles(curves)
    with layout.style():
        figure, axes = _grid(count, len(paulis))
        for column, p in enumerate(paulis):
            for row in range(count):
                axis = axes[row, column]
                if row >= len(sizes[p]):
                    axis.set_visible(False)
                    axis.set_xticks([])
                    continue
                axis.set_title(f"{paulis_name(p)}, m = {sizes[p][row]}")
                for curve in curves:
                    if (curve.paulis, curve.hidden) == (p, sizes[p][row]):
                        _draw_curve(axis, curve, styles[curve.other])
        shown = [axis for axis in axes[:-1].flat if axis.get_visible()]
        layout.updates_axis(shown, max(int(curve.step[-1]) for curve in curves))
        low, high = _limits(curves)
        for axis in shown:
            axis.set_ylim(low, high)
        for row in axes[:-1]:
            row[0].set_ylabel("Log-likelihood (nats)")
        axes[-1, 0].set_ylabel("Final log-likelihood (nats)")
        below = _draw_summary(axes[-1, 0], curves, styles, low)
        handles = layout.series_handles({k: {**v, "linestyle": ""} for k, v in styles.items()})
        handles += [
            layout.line_handle("test data", layout.GREY, "-"),
            layout.line_handle("training data", layout.GREY, "--"),
        ]
        note = layout.seeds_text((curve.runs for curve in curves), band=False)
        if any(curve.error.any() for curve in curves):
            note += "; bars: standard error from log Z"
        if any(curve.runs > 1 for curve in curves):
            note += "; bands: std of test data"
        if below:
            note += f"; arrows: below {low:.3g}"
        layout.finish(
            figure,
            axes[:-1],
            title=f"Log-likelihood of {layout.data_label(data)}, n = {visible}",
            note=note,
            x="Updates",
            handles=handles,
        )
    return figure, axes


def _grid(rows: int, columns: int) -> tuple[Figure, Axis]:
    """Panels of curves (rows, columns) over one wide panel; (rows + 1, columns), None beside it."""
    figure, panels = layout.grid(rows, columns, sharey=True, scale=1.15)
    # Drawn anew on a grid with one row more, in which the last is a single wide panel.
    figure.clear()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + _SUMMARY)
    ratios = [height / rows] * rows + [_SUMMARY]
    spec = figure.add_gridspec(rows + 1, columns, height_ratios=ratios)
    axes = np.full((rows + 1, columns), None, dtype=np.object_)
    for row, column in np.ndindex(panels.shape):
        axis = figure.add_subplot(spec[row, column])
        axis.tick_params(labelleft=column == 0)
        axes[row, column] = axis
    axes[-1, 0] = figure.add_subplot(spec[-1, :])
    return figure, axes


def _draw_curve(axis: Axes, curve: LikelihoodCurve, entry: dict[str, Any]) -> None:
    colour = entry["color"]
    bars: dict[str, Any] = {"color": colour, "elinewidth": 0.9, "capsize": 1.5}
    if curve.runs > 1:
        low, high = curve.test - curve.test_std, curve.test + curve.test_std
        axis.fill_between(curve.step, low, high, color=colour, alpha=0.12, linewidth=0)
    axis.errorbar(curve.step, curve.train, curve.error, linestyle="--", linewidth=1.0, **bars)
    axis.errorbar(curve.step, curve.test, curve.error, marker=entry["marker"], ms=3.5, **bars)


def _limits(curves: Sequence[LikelihoodCurve]) -> tuple[float, float]:
    """Ends of the vertical axis: all values, unless some fall far below where they started."""
    train, test = (np.concatenate([getattr(c, k) for c in curves]) for k in ("train", "test"))
    values = np.concatenate([train, test])
    values = values[np.isfinite(values)]
    best, start = float(values.max()), float(np.median([curve.test[0] for curve in curves]))
    lowest = max(float(values.min()), best - _REACH * max(best - start, 1.0))
    room = 0.05 * max(best - lowest, 0.1)
    return lowest - room, best + room


def _draw_summary(
    axis: Axes, curves: Sequence[LikelihoodCurve], styles: Styles, low: float
) -> bool:
    """Final values by model and gradient; whether some lie below ``low`` and became arrows."""
    sizes = {(c.paulis, c.hidden): _parameters(c) for c in curves}
    models = sorted(sizes, key=lambda model: (sizes[model], model))
    variants = list(variant_names(curve.other for curve in curves))
    below = False
    for curve in curves:
        entry = styles[curve.other]
        spread = min(0.16, 0.8 / len(variants))
        place = models.index((curve.paulis, curve.hidden))
        x = place + spread * (variants.index(curve.other) - 0.5 * (len(variants) - 1))
        look: dict[str, Any] = {"color": entry["color"], "marker": entry["marker"], "capsize": 2.5}
        for values, mean, face in (
            (curve.final_train, curve.train[-1], "white"),
            (curve.final_test, curve.test[-1], entry["color"]),
        ):
            if mean < low:
                below = True
                foot = axis.get_xaxis_transform()
                axis.plot(x, 0.03, "v", transform=foot, color=entry["color"], mfc=face)
                continue
            if values.size > 1:
                axis.plot([x + 0.28 * spread] * values.size, values, ".", color="#777777", ms=3)
            axis.errorbar(x, mean, curve.error[-1], mfc=face, linestyle="", **look)
    axis.set_xlim(-0.6, len(models) - 0.4)
    names = [f"{p}, m = {m}\n{sizes[p, m]} par." for p, m in models]
    axis.set_xticks(range(len(models)), names)
    axis.tick_params("x", labelsize=8 if len(models) <= 7 else 6)
    axis.grid(visible=False, axis="x")
    for k in range(1, len(models)):
        axis.axvline(k - 0.5, color="#e4e4e4", linewidth=0.6)
    finals = np.concatenate([ends for c in curves for ends in (c.final_train, c.final_test)])
    finals = finals[np.isfinite(finals) & (finals >= low)]
    if finals.size:
        room = 0.1 * max(float(np.ptp(finals)), 0.5)
        axis.set_ylim(float(finals.min()) - room, float(finals.max()) + room)
    return below


def _parameters(curve: LikelihoodCurve) -> int:
    """Number of parameters of the model, n + P m (n + 1)."""
    return curve.visible + len(curve.paulis) * curve.hidden * (curve.visible + 1)
