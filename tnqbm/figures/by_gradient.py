"""Figure that compares estimators of the gradient: what each reaches with m hidden units.

Used through :mod:`tnqbm.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.archive.minimum_hidden import mean_interval
from tnqbm.archive.rows import Where
from tnqbm.archive.summaries import FinalGroup, default_metric, finite_groups
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import GRADIENTS, Styles, gradient_styles, paulis_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive

BANDS = ("std", "bootstrap")
_NAMED = 7  # values of m that all get a tick

CONFIDENCE = 0.95
"""Of the bootstrap intervals."""


def gradients(
    archives: Archive | Sequence[Archive],
    metric: str | None = None,
    *,
    where: Where | None = None,
    band: str = "std",
    threshold: float | None = 0.2,
) -> tuple[Figure, Axis]:
    """Final ``metric`` against m, a line per gradient: mean over seeds with a band.

    By default it is :func:`tnqbm.archive.summaries.default_metric`: the TVD, or for samples the
    NLL. A panel per data set and n (rows) and Pauli set (columns). The colour says the method, line
    and marker the number of sweeps; exact gradients are black. ``band`` is "std", one standard
    deviation over seeds, or "bootstrap", the central 95 % interval of the mean over seeds drawn
    anew. Where only one m was tried the gradients stand side by side. ``threshold`` draws the
    reference line (only for the total variation distance). Raises ValueError when the metric was
    not kept, no finished run matches, or there are too many data sets and n for one figure.
    """
    if band not in BANDS:
        raise ValueError(f"unknown band {band!r}; known: {', '.join(BANDS)}")
    layout.require_matplotlib()
    metric = metric or default_metric(archives, where=where)
    groups = finite_groups(archives, metric, where)
    styles = gradient_styles(groups)
    columns = paulis_order(group.paulis for group in groups)
    visibles = sorted({group.visible for group in groups})
    present = {(group.data, group.visible) for group in groups}
    rows = [
        (data, n)
        for data in layout.data_order(data for data, _ in present)
        for n in visibles
        if (data, n) in present
    ]
    layout.check_rows(len(rows), [])
    with layout.style():
        shared = True if metric == "tvd" else "row"
        figure, axes = layout.grid(len(rows), len(columns), sharey=shared, scale=1.15)
        for i, (data, n) in enumerate(rows):
            for k, paulis in enumerate(columns):
                axis = axes[i, k]
                title = f"{layout.data_label(data)}, {paulis}"
                axis.set_title(title if len(visibles) == 1 else f"{title}, n = {n}")
                here = [g for g in groups if (g.data, g.visible, g.paulis) == (data, n, paulis)]
                if not here:
                    layout.empty(axis, "no runs")
                    continue
                _draw(axis, here, styles, metric, band)
        drawn = [axis for axis in axes.flat if axis.has_data()]
        handles = layout.series_handles(styles)
        handles += layout.threshold_line(drawn, metric, threshold)
        layout.set_limits(drawn, metric)
        counts = [len(group.seeds) for group in groups]
        if band == "std" or max(counts) == 1:
            note = layout.seeds_text(counts)
        else:
            note = f"{layout.seeds_text(counts, band=False)}, 95 % bootstrap intervals"
        layout.finish(
            figure,
            axes,
            title=f"{layout.metric_title(metric)} by gradient"
            + (f", n = {visibles[0]}" if len(visibles) == 1 else ""),
            note=note,
            x="Hidden units m",
            y=layout.metric_label(metric),
            handles=handles,
        )
    return figure, axes


def _draw(axis: Axes, groups: Sequence[FinalGroup], styles: Styles, metric: str, band: str) -> None:
    """Lines with bands, or points with bars side by side where there is only one m."""
    present = [other for other in styles if any(group.other == other for group in groups)]
    alone = len({group.hidden for group in groups}) == 1
    for k, other in enumerate(present):
        entry: dict[str, Any] = styles[other]
        here = [group for group in groups if group.other == other]
        m = np.array([group.hidden for group in here], dtype=np.float64)
        mean = np.array([group.mean for group in here])
        ends = np.array([_ends(group, band) for group in here])
        front = 3.0 if entry["color"] == GRADIENTS["exact"] else 2.0
        if alone:
            m += 1.4 * ((k + 0.5) / len(present) - 0.5)
        low, high = ends.T
        layout.band(axis, m, mean, low, high, entry["color"], alpha=0.1)
        axis.plot(m, mean, **entry, zorder=front, clip_on=metric != "tvd")  # a TVD of 1 in full
    tried = sorted({group.hidden for group in groups})
    wide = layout.is_wide(groups)
    layout.hidden_axis(axis, log=not alone and wide)
    if len(tried) <= _NAMED and not wide:
        axis.set_xticks(tried)
    if alone:
        axis.set_xlim(tried[0] - 1, tried[0] + 1)


def _ends(group: FinalGroup, band: str) -> tuple[float, float]:
    if band == "std":
        return group.mean - group.std, group.mean + group.std
    return mean_interval(group, CONFIDENCE)
