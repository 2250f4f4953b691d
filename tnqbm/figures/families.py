"""Figure of archives: families of models at equal numbers of parameters.

Used through :mod:`tnqbm.figures`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.archive.rows import Group, Other, Where, variant_names
from tnqbm.archive.summaries import default_metric, finite_groups
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import paulis_name, plain_label
from tnqbm.training.families import n_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive

Line = tuple[str, Other]
"""Pauli set, and all further coordinates but the gradient."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_WIDE = 8  # ratio of numbers of parameters beyond which their axis is logarithmic
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def families(
    archives: Archive | Sequence[Archive],
    metric: str | None = None,
    *,
    where: Where | None = None,
    threshold: float | None = 0.2,
) -> tuple[Figure, Axis]:
    """Final ``metric`` against the number of trained parameters, a line per family of models.

    By default it is :func:`tnqbm.archive.summaries.default_metric`: the TVD, or for samples the
    NLL. Mean over seeds with a band of one standard deviation; rows are n and gradients, columns
    data sets. Models of one family with other Pauli matrices, settings or connectivity are lines
    of their own. ``threshold`` draws the reference line (only for the total variation distance).
    Raises ValueError when the metric was not kept, no finished run matches, or there are too many
    gradients and n for one figure.
    """
    layout.require_matplotlib()
    metric = metric or default_metric(archives, where=where)
    groups = finite_groups(archives, metric, where)
    styles = _styles(groups)
    rows = sorted({(group.visible, _gradient(group)) for group in groups})
    layout.check_rows(len(rows), [(("gradient", gradient),) for _, gradient in rows])
    columns = layout.data_order(group.data for group in groups)
    counts = [n_parameters(group.coordinates) for group in groups]
    wide = max(counts) > _WIDE * min(counts)
    with layout.style():
        shared: bool | str = True if metric == "tvd" else "col"
        figure, axes = layout.grid(len(rows), len(columns), sharey=shared)
        for (row, (n, gradient)), (column, data) in itertools.product(
            enumerate(rows), enumerate(columns)
        ):
            axis = axes[row, column]
            title = f"{layout.data_label(data)}, n = {n}"
            several = len({name for _, name in rows}) > 1
            axis.set_title(f"{title}, {plain_label(gradient)}" if several else title)
            panel = (n, data, gradient)
            here = [g for g in groups if (g.visible, g.data, _gradient(g)) == panel]
            if not here:
                layout.empty(axis, "no runs")
                continue
            for line, entry in styles.items():
                points = sorted(
                    (n_parameters(group.coordinates), group.mean, group.std)
                    for group in here
                    if _line(group) == line
                )
                if not points:
                    continue
                x, mean, std = np.array(points).T
                layout.band(axis, x, mean, mean - std, mean + std, entry["color"], alpha=0.13)
                axis.plot(x, mean, **entry, clip_on=metric != "tvd")  # a TVD of 1 in full
            if wide:
                axis.set_xscale("log")
        drawn = [axis for axis in axes.flat if axis.has_data()]
        handles = layout.series_handles(styles)
        handles += layout.threshold_line(drawn, metric, threshold)
        layout.set_limits(drawn, metric)
        layout.finish(
            figure,
            axes,
            title=f"{layout.metric_title(metric)} at equal numbers of parameters",
            note=layout.seeds_text(len(group.seeds) for group in groups),
            x="Parameters",
            y=layout.metric_label(metric),
            handles=handles,
        )
    return figure, axes


def _gradient(group: Group) -> str:
    return str(dict(group.other).get("gradient", ""))


def _line(group: Group) -> Line:
    return group.paulis, tuple(pair for pair in group.other if pair[0] != "gradient")


def _styles(groups: Sequence[Group]) -> dict[Line, dict[str, Any]]:
    """Colour, marker and label of every line, in the order of the legend."""
    lines = list(dict.fromkeys(_line(group) for group in groups))
    names = variant_names(other for _, other in lines)
    lines.sort(key=lambda line: ("family" in dict(line[1]), names[line[1]], len(line[0]), line[0]))
    styles = {}
    for k, (paulis, other) in enumerate(lines):
        # sqRBMs with all couplings have no further coordinates.
        name = f"{names[other]}, {paulis}" if other else paulis_name(paulis)
        styles[paulis, other] = {
            "color": _COLOURS[k % len(_COLOURS)],
            "marker": _MARKERS[k % len(_MARKERS)],
            "linestyle": ("-", "--", ":")[k // len(_COLOURS) % 3],
            "label": plain_label(name),
        }
    return styles
