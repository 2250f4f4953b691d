"""Figures of an archive: learning curves, final distance against m, least hidden units.

Every function takes a :class:`tnqbm.Archive` or several and returns ``(figure, axes)``, the axes
as a two-dimensional object array of panels. Figures are made without pyplot, so nothing global
changes and no window opens; :func:`save_figure` writes PNG, PDF or SVG. matplotlib is imported on
the first call (extra ``plot``; tnqbm.MissingExtraError without it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm import figures_layout as layout
from tnqbm.analysis import HiddenRatio, MinimumHidden, hidden_ratio_table, minimum_hidden_table
from tnqbm.atomic import atomic_write
from tnqbm.figures_layout import Axis, SeriesKey
from tnqbm.summaries import Select, as_archives, check_select, final_groups, matches, mean_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive

Styles = Mapping[SeriesKey, dict[str, Any]]

SUFFIXES = (".png", ".pdf", ".svg")
"""File name endings that :func:`save_figure` knows."""

_GREY = "#444444"
_DOTTED = (0, (1, 1.5))


def learning_curves(
    archives: Archive | Sequence[Archive],
    metric: str = "tvd",
    *,
    select: Select | None = None,
    max_hidden: int = 3,
) -> tuple[Figure, Axis]:
    """``metric`` against the number of updates: mean over seeds with a band of one std.

    One panel per data set (columns) and n (rows), a colour per Pauli set, a line style per number
    of hidden units. Of more than ``max_hidden`` values of m the smallest, the largest and those
    between at equal ratios are shown; ``select={"hidden": [3, 9]}`` asks for particular ones.
    Raises ValueError when the metric was not kept or no finished run matches.
    """
    layout.require_matplotlib()
    listed = as_archives(archives)
    hidden, available = _choose_hidden(listed, select, max_hidden)
    curves = mean_curves(listed, metric, select={**(select or {}), "hidden": hidden})
    styles = layout.series_styles(curves)
    with layout.style():
        figure, axes, panels = layout.panel_grid(curves)
        for curve in curves:
            axis = panels[curve.visible, curve.data]
            colour = styles[curve.paulis, curve.other]["color"]
            line = layout.LINES[hidden.index(curve.hidden) % len(layout.LINES)]
            below, above = curve.mean - curve.std, curve.mean + curve.std
            axis.fill_between(curve.step, below, above, color=colour, alpha=0.13, linewidth=0)
            axis.plot(curve.step, curve.mean, color=colour, linestyle=line)
        layout.updates_axis(panels.values(), max(int(curve.step[-1]) for curve in curves))
        _set_limits(panels.values(), metric)
        handles = layout.series_handles(styles, markers=False)
        title = f"{layout.LABELS[metric]} while training"
        if len(hidden) == 1:
            title += f", m = {hidden[0]}"
        else:
            handles += [
                layout.line_handle(f"m = {m}", _GREY, layout.LINES[k % len(layout.LINES)])
                for k, m in enumerate(hidden)
            ]
        seeds = layout.seeds_text(curve.runs for curve in curves)
        if len(hidden) < available:
            seeds += f"; {len(hidden)} of {available} values of m"
        layout.finish(
            figure,
            axes,
            title=title,
            note=seeds,
            x="Updates",
            y=layout.LABELS[metric],
            handles=handles,
        )
    return figure, axes


def tvd_vs_hidden(
    archives: Archive | Sequence[Archive],
    metric: str = "tvd",
    *,
    select: Select | None = None,
    threshold: float | None = 0.2,
) -> tuple[Figure, Axis]:
    """Final ``metric`` against the number of hidden units m, as in the paper's Figure 2.

    Mean over seeds with a band of one standard deviation; rows are n, columns data sets, colours
    Pauli sets. ``threshold`` draws the reference line (only for the total variation distance).
    Raises ValueError when the metric was not kept or no finished run matches.
    """
    layout.require_matplotlib()
    groups = [g for g in final_groups(archives, metric, select=select) if g.values.size]
    if not groups:
        raise ValueError(f"no finished run has a finite final {metric}")
    styles = layout.series_styles(groups)
    wide = max(g.hidden for g in groups) >= 8 * max(1, min(g.hidden for g in groups))
    with layout.style():
        figure, axes, panels = layout.panel_grid(groups)
        for (visible, data), axis in panels.items():
            for (paulis, other), entry in styles.items():
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
                colour = entry["color"]
                if len(here) > 1:
                    axis.fill_between(
                        m, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0
                    )
                else:  # a band over one point has no width
                    axis.errorbar(m, mean, std, color=colour, capsize=2.5, linestyle="")
                axis.plot(m, mean, **entry)
            layout.hidden_axis(axis, log=wide)
            if metric == "tvd" and threshold is not None:
                axis.axhline(threshold, color=_GREY, linestyle=_DOTTED, linewidth=1.0, zorder=1.5)
        _set_limits(panels.values(), metric)
        handles = layout.series_handles(styles)
        if metric == "tvd" and threshold is not None:
            handles.append(layout.line_handle(f"TVD = {threshold:g}", _GREY, _DOTTED))
        seeds = layout.seeds_text(len(group.seeds) for group in groups)
        layout.finish(
            figure,
            axes,
            title=f"{layout.LABELS[metric]} after training",
            note=seeds,
            x="Hidden units m",
            y=layout.LABELS[metric],
            handles=handles,
        )
    return figure, axes


def minimum_hidden(
    archives: Archive | Sequence[Archive],
    threshold: float = 0.2,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    select: Select | None = None,
) -> tuple[Figure, Axis]:
    """Least m with mean TVD below ``threshold`` against n, and its ratios (paper's Figure 3).

    One column per data set: the least m of every Pauli set above, the ratios m_RBM / m_sqRBM
    below with the predictions 2 and 3 (the number of Paulis) as lines. Error bars are central
    bootstrap intervals over seeds. Hollow triangles are bounds, pointing to where the true value
    may lie, because the threshold was not reached by the largest m tried or was met by the
    smallest. The same numbers: :func:`tnqbm.analysis.minimum_hidden_table`.
    """
    layout.require_matplotlib()
    options: dict[str, Any] = {
        "threshold": threshold,
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "select": select,
    }
    rows = minimum_hidden_table(archives, **options)
    ratios = hidden_ratio_table(archives, **options)
    styles = layout.series_styles(rows)
    datasets = layout.data_order(row.data for row in rows)
    visibles = sorted({row.visible for row in rows})
    bounds: set[str] = set()
    with layout.style():
        figure, axes = layout.grid(2 if ratios else 1, len(datasets), scale=1.1)
        for column, data in enumerate(datasets):
            axes[0, column].set_title(layout.data_title(data))
            here = [row for row in rows if row.data == data]
            bounds |= _draw_minima(axes[0, column], here, styles)
            if ratios:
                beside = [ratio for ratio in ratios if ratio.data == data]
                bounds |= _draw_ratios(axes[1, column], beside, styles)
        for axis in axes.flat:
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
        axes[0, 0].set_ylabel("Least hidden units m")
        handles = layout.series_handles(styles)
        handles += [
            layout.line_handle(f"prediction {count}", _GREY, layout.LINES[count - 1])
            for count in sorted({ratio.prediction for ratio in ratios})
        ]
        handles += [
            layout.hollow_handle({"^": "true value above", "v": "true value below"}[m], m)
            for m in sorted(bounds)
        ]
        note = layout.seeds_text((row.seeds for row in rows), band=False)
        if any(row.seeds > 1 for row in rows):
            note += f"; bars: {100 * confidence:g} % bootstrap intervals"
        layout.finish(
            figure,
            axes,
            title=f"Least hidden units for a mean TVD below {threshold:g}",
            note=note,
            x="Visible units n",
            y="",
            handles=handles,
        )
    return figure, axes


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a figure as PNG, PDF or SVG, chosen by the suffix; the file appears whole or not.

    The same figure gives the same bytes (no dates inside). Raises FileExistsError unless
    ``overwrite``, ValueError for another suffix, OSError if the folder cannot be written.
    """
    target = check_figure_path(path, overwrite=overwrite)
    suffix = target.suffix.lower()
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix)
    with atomic_write(target) as temporary, layout.style():
        figure.savefig(temporary, format=suffix[1:], metadata=metadata)
    return target


def check_figure_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path if a figure can be written there; raises as :func:`save_figure` does."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{target}: a figure's name must end in one of {', '.join(SUFFIXES)}, "
            f"not in {target.suffix or 'no suffix at all'}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give a file name")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; choose another name or ask to overwrite it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist; create it first")
    return target


def _choose_hidden(
    archives: Sequence[Archive], select: Select | None, most: int
) -> tuple[list[int], int]:
    """Values of m to draw, at most ``most`` unless asked for by ``select``, and how many exist."""
    groups = [group for archive in archives for group in archive.groups()]
    check_select(select, groups)
    wanted = {key: value for key, value in (select or {}).items() if key != "seed"}
    present = sorted({g["hidden"] for g in groups if g["finished"] and matches(wanted, g)})
    if not present:
        raise ValueError("there is no finished run to show" + (" that matches" if select else ""))
    if "hidden" in wanted or len(present) <= most:
        return present, len(present)
    ideal = np.geomspace(max(present[0], 0.5), present[-1], max(most, 2))
    nearest = {present[int(np.abs(np.log(np.maximum(present, 0.5) / m)).argmin())] for m in ideal}
    return sorted(nearest)[:most], len(present)


def _set_limits(axes: Iterable[Axes], metric: str) -> None:
    """Metrics but log Z are at least 0, the total variation at most 1; bands may not be."""
    if metric == "log_partition":
        return
    for axis in axes:
        top = axis.get_ylim()[1]
        axis.set_ylim(0.0, min(top, 1.0) if metric == "tvd" else top)


def _dodge(styles: Styles, key: SeriesKey) -> float:
    """Sideways shift of a series, so that error bars at the same n do not cover each other."""
    return min(0.24, 1.2 / len(styles)) * (list(styles).index(key) - 0.5 * (len(styles) - 1))


def _draw_minima(axis: Axes, rows: Sequence[MinimumHidden], styles: Styles) -> set[str]:
    """Least m against n; returns the directions of the hollow markers that were needed."""
    bounds: set[str] = set()
    for key, entry in styles.items():
        line = [row for row in rows if (row.paulis, row.other) == key]
        shift, colour = _dodge(styles, key), entry["color"]
        whole = [(r.visible + shift, r.m_min) for r in line if r.m_min and not r.at_smallest]
        axis.plot([x for x, _ in whole], [m for _, m in whole], color=colour)
        for row in line:
            x = row.visible + shift
            if row.m_min is None:
                bounds.add("^")
                axis.plot(x, row.tried[-1], "^", color=colour, mfc="white", zorder=3)
            elif row.at_smallest:
                bounds.add("v")
                axis.plot(x, row.m_min, "v", color=colour, mfc="white", zorder=3)
            else:
                low = row.m_min if row.low is None else row.low
                _point(axis, x, row.m_min, low, row.high, row.tried[-1], entry)
    return bounds


def _draw_ratios(axis: Axes, rows: Sequence[HiddenRatio], styles: Styles) -> set[str]:
    """Ratios against n with the predictions; returns the directions of the hollow markers."""
    bounds: set[str] = set()
    if not rows:
        layout.empty(axis, "no RBM to compare with")
        return bounds
    for count in sorted({row.prediction for row in rows}):
        axis.axhline(count, color=_GREY, linestyle=layout.LINES[count - 1], linewidth=1.0)
    for key, entry in styles.items():
        shift, colour = _dodge(styles, key), entry["color"]
        line = [row for row in rows if (row.paulis, row.other) == key]
        whole = [(r.visible + shift, r.ratio) for r in line if r.ratio and r.kind == "value"]
        axis.plot([x for x, _ in whole], [ratio for _, ratio in whole], color=colour)
        for row in line:
            x = row.visible + shift
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
