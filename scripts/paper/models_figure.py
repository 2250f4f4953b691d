"""Figure that compares models by name: a final value against m, a line for each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.figures import layout
from tnqbm.figures.layout import GREY, REFERENCE, Axis
from tnqbm.figures.styles import COLOURS, MARKERS, letters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MORE = (("#56B4E9", "v", "--"), ("#CC79A7", "D", "-."), ("#8A6D3B", "P", ":"))
"""Colour, marker and line of models that are no Pauli set, in order."""


@short_repr
@dataclass(frozen=True)
class ModelValues:
    """Final values (S,) over seeds of one model with ``hidden`` hidden units on one data set."""

    model: str
    data: str
    visible: int
    hidden: int
    values: NDArray[np.float64]


def models_vs_hidden(
    items: Sequence[ModelValues],
    names: Mapping[str, str],
    *,
    metric: str = "tvd",
    title: str = "",
    threshold: float | None = 0.2,
) -> tuple[Figure, Axis]:
    """Mean over seeds against m with a band of one standard deviation, a line per model.

    Rows are n, columns data sets; ``names`` gives the legend's words for every model, in its order.
    Models named by a Pauli set look as in the other figures. ``threshold`` draws the reference
    line. Raises ValueError if there is nothing to draw, a model has no name, or there are more than
    three of other names.
    """
    if not items:
        raise ValueError("there is no value to show")
    if strange := sorted({item.model for item in items} - set(names)):
        raise ValueError(f"no name for {', '.join(strange)}")
    styles = _styles(names)
    layout.require_matplotlib()
    visibles = sorted({item.visible for item in items})
    datasets = layout.data_order(item.data for item in items)
    with layout.style():
        figure, axes = layout.grid(len(visibles), len(datasets), sharey=metric == "tvd")
        panels = itertools.product(enumerate(visibles), enumerate(datasets))
        for (i, n), (k, data) in panels:
            axis = axes[i, k]
            axis.set_title(f"{layout.data_label(data)}, n = {n}")
            here = [item for item in items if (item.data, item.visible) == (data, n)]
            if not here:
                layout.empty(axis, "no runs")
                continue
            for model, entry in styles.items():
                series = sorted(
                    (item.hidden, float(item.values.mean()), float(item.values.std()))
                    for item in here
                    if item.model == model
                )
                if not series:
                    continue
                m, mean, std = np.array(series).T
                axis.fill_between(
                    m, mean - std, mean + std, color=entry["color"], alpha=0.12, linewidth=0
                )
                axis.plot(m, mean, **entry, clip_on=metric != "tvd")
            layout.hidden_axis(axis, log=False)
            tried = sorted({item.hidden for item in here})
            if tried[-1] - tried[0] <= 2:
                axis.set_xlim(tried[0] - 0.4, tried[-1] + 0.4)
                axis.set_xticks(tried)
            if threshold is not None:
                layout.reference_line(axis, threshold)
        layout.set_limits([axis for axis in axes.flat if axis.has_data()], metric)
        handles = layout.series_handles(styles)
        if threshold is not None:
            handles.append(layout.line_handle(f"{metric.upper()} = {threshold:g}", GREY, REFERENCE))
        layout.finish(
            figure,
            axes,
            title=title or f"{layout.metric_title(metric)} after training",
            note=layout.seeds_text(item.values.size for item in items),
            x="Hidden units m",
            y=layout.metric_label(metric),
            handles=handles,
        )
    return figure, axes


def _styles(names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour, marker, line and label of every model."""
    strange = [model for model in names if letters(model) not in COLOURS]
    if len(strange) > len(_MORE):
        raise ValueError(f"at most {len(_MORE)} models beside Pauli sets, got {len(strange)}")
    looks = {
        letters(model): (COLOURS[letters(model)], MARKERS[letters(model)], "-")
        for model in names
        if model not in strange
    }
    looks |= {letters(model): look for model, look in zip(strange, _MORE, strict=False)}
    return {
        model: dict(
            zip(("color", "marker", "linestyle"), looks[letters(model)], strict=True), label=label
        )
        for model, label in names.items()
    }
