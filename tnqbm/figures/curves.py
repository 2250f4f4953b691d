"""Figures of archives: learning curves, and final distance against m.

Used through :mod:`tnqbm.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.archive.minimum_hidden import mean_interval
from tnqbm.archive.rows import Where, check_where, matches, nothing_matches, without_seed
from tnqbm.archive.summaries import (
    FinalGroup,
    LearningCurve,
    as_archives,
    default_metric,
    finite_groups,
    mean_curves,
)
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import GRADIENTS, Styles, gradient_styles, paulis_order, series_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive


Panel = tuple[int, str, str]
"""n, data set and Pauli set, which may each have been trained with other values of m."""

_RANKS = {1: ("",), 2: ("least", "greatest"), 3: ("least", "middle", "greatest")}


def learning_curves(
    archives: Archive | Sequence[Archive],
    metric: str | None = None,
    *,
    where: Where | None = None,
    max_hidden: int = 3,
) -> tuple[Figure, Axis]:
    """``metric`` against the number of updates: mean over seeds with a band of one std.

    By default it is :func:`tnqbm.archive.summaries.default_metric`: the TVD, or for samples the
    NLL. One panel per data set (columns) and n and gradient (rows), a colour per Pauli set, a line
    style per number of hidden units. Of more than ``max_hidden`` values of m the smallest, the
    largest and those between at equal ratios are shown, the same for all Pauli sets where they
    were tried with all, else of each its own; ``where={"hidden": [3, 9]}`` asks for particular
    ones. Raises ValueError when the metric was not kept, no finished run matches, or there are
    too many gradients and n for one figure.
    """
    layout.require_matplotlib()
    listed = as_archives(archives)
    metric = metric or default_metric(listed, where=where)
    tried = _tried(listed, where)
    shown, common = _choose_hidden(tried, max_hidden, asked="hidden" in (where or {}))
    wanted = sorted({m for values in shown.values() for m in values})
    curves = [
        curve
        for curve in mean_curves(listed, metric, where={**(where or {}), "hidden": wanted})
        if curve.hidden in shown[curve.visible, curve.data, curve.paulis]
    ]
    styles = series_styles(curves)
    with layout.style():
        figure, axes, panels = layout.panel_grid(curves, sharey=metric == "tvd")
        for curve in curves:
            axis = panels[curve.visible, curve.data, curve.other]
            of = common or shown[curve.visible, curve.data, curve.paulis]
            line = layout.LINES[of.index(curve.hidden) % len(layout.LINES)]
            colour = styles[curve.paulis]["color"]
            below, above = curve.mean - curve.std, curve.mean + curve.std
            axis.fill_between(curve.step, below, above, color=colour, alpha=0.13, linewidth=0)
            axis.plot(curve.step, curve.mean, color=colour, linestyle=line)
        layout.updates_axis(panels.values(), max(int(curve.step[-1]) for curve in curves))
        layout.set_limits(panels.values(), metric)
        handles = layout.series_handles(styles, markers=False)
        title = f"{layout.metric_title(metric)} while training"
        most = max(map(len, shown.values()))
        if common and len(common) == 1:
            title += f", m = {common[0]}"
        elif common:
            words = [f"m = {m}" for m in common]
        else:
            for (visible, data, _), axis in panels.items():
                _name_hidden(axis, [c for c in curves if (c.visible, c.data) == (visible, data)])
            words = [f"{rank} m".strip() for rank in _RANKS.get(most, map(str, range(1, most + 1)))]
        if not common or len(common) > 1:
            handles += [
                layout.line_handle(word, layout.GREY, layout.LINES[k % len(layout.LINES)])
                for k, word in enumerate(words)
            ]
        seeds = layout.seeds_text(curve.runs for curve in curves)
        all_hidden = {m for values in tried.values() for m in values}
        if common and len(common) < len(all_hidden):
            seeds += f"; {len(common)} of {len(all_hidden)} values of m"
        layout.finish(
            figure,
            axes,
            title=title,
            note=seeds,
            x="Updates",
            y=layout.metric_label(metric),
            handles=handles,
        )
    return figure, axes


def tvd_vs_hidden(
    archives: Archive | Sequence[Archive],
    metric: str | None = None,
    *,
    where: Where | None = None,
    threshold: float | None = 0.2,
) -> tuple[Figure, Axis]:
    """Final ``metric`` against the number of hidden units m, as in the paper's Figure 2.

    By default it is :func:`tnqbm.archive.summaries.default_metric`: the TVD, or for samples the
    NLL. Mean over seeds with a band of one standard deviation; rows are n and gradients, columns
    data sets, colours Pauli sets. ``threshold`` draws the reference line (only for the total
    variation distance). To compare gradients: :func:`gradients`. Raises ValueError when the metric
    was not kept, no finished run matches, or there are too many gradients and n for one figure.
    """
    layout.require_matplotlib()
    metric = metric or default_metric(archives, where=where)
    groups = finite_groups(archives, metric, where)
    styles = series_styles(groups)
    wide = {d: layout.is_wide(g for g in groups if g.data == d) for d in {g.data for g in groups}}
    with layout.style():
        figure, axes, panels = layout.panel_grid(groups, sharey=metric == "tvd")
        for (visible, data, other), axis in panels.items():
            for paulis, entry in styles.items():
                here = [
                    group
                    for group in groups
                    if (group.visible, group.data, group.paulis, group.other)
                    == (visible, data, paulis, other)
                ]
                if not here:
                    continue
                m = np.array([group.hidden for group in here])
                mean = np.array([group.mean for group in here])
                std = np.array([group.std for group in here])
                layout.band(axis, m, mean, mean - std, mean + std, entry["color"], alpha=0.15)
                axis.plot(m, mean, **entry, clip_on=metric != "tvd")  # a TVD of 1 in full
            layout.hidden_axis(axis, log=wide[data])
        handles = layout.series_handles(styles)
        handles += layout.threshold_line(panels.values(), metric, threshold)
        layout.set_limits(panels.values(), metric)
        seeds = layout.seeds_text(len(group.seeds) for group in groups)
        layout.finish(
            figure,
            axes,
            title=f"{layout.metric_title(metric)} after training",
            note=seeds,
            x="Hidden units m",
            y=layout.metric_label(metric),
            handles=handles,
        )
    return figure, axes


def _tried(archives: Sequence[Archive], where: Where | None) -> dict[Panel, list[int]]:
    """Values of m with finished runs, for every panel and Pauli set."""
    groups = [group for archive in archives for group in archive.seeds()]
    check_where(where, (group.coordinates for group in groups))
    tried: dict[Panel, set[int]] = {}
    for seeds in groups:
        if seeds.finished and matches(without_seed(where), seeds.coordinates):
            group = seeds.group
            key = (group.visible, group.data, group.paulis)
            tried.setdefault(key, set()).add(group.hidden)
    if not tried:
        raise nothing_matches(where)
    return {key: sorted(values) for key, values in tried.items()}


def _choose_hidden(
    tried: dict[Panel, list[int]], most: int, *, asked: bool
) -> tuple[dict[Panel, list[int]], list[int] | None]:
    """Values of m to draw of every series, and the same list for all if there is one."""
    all_hidden = sorted({m for values in tried.values() for m in values})
    common = all_hidden if asked else _spread(all_hidden, most)
    if asked or all(set(common) <= set(values) for values in tried.values()):
        return dict.fromkeys(tried, common), common
    return {series: _spread(values, most) for series, values in tried.items()}, None


def _spread(present: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of the values: the ends, and the nearest to equal ratios between them."""
    if len(present) <= most:
        return list(present)
    ideal = np.geomspace(max(present[0], 0.5), present[-1], max(most, 2))
    nearest = {present[int(np.abs(np.log(np.maximum(present, 0.5) / m)).argmin())] for m in ideal}
    return sorted(nearest)[:most]


def _name_hidden(axis: Axes, curves: Sequence[LearningCurve]) -> None:
    """Say which values of m the curves of a panel have, where Pauli sets differ in them."""
    for k, (paulis, entry) in enumerate(reversed(series_styles(curves).items())):
        values = sorted({curve.hidden for curve in curves if curve.paulis == paulis})
        axis.text(
            0.03,
            0.04 + 0.09 * k,
            f"m = {', '.join(map(str, values))}",
            transform=axis.transAxes,
            fontsize=7,
            color=entry["color"],
        )


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
