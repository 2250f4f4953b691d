"""Figure of the bias and the noise of gradients while models are trained.

Used through :mod:`tnqbm.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.archive.bias import BiasCurve, bias_curves
from tnqbm.archive.rows import Where
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import gradient_styles, paulis_name, paulis_order
from tnqbm.training.bias.measures import root_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive

SURE = 2.0
"""Standard errors that the square of a bias must be above zero to be drawn as one."""

ROUNDING = 1e-20
"""Squares, relative to the gradient's, that are rounding. Exact gradients have neither bias nor
noise, and are in the last panel alone."""

LABELS = ("Bias", "Noise of one estimate", "Cosine")


def gradient_bias(
    archives: Archive | Sequence[Archive], *, where: Where | None = None
) -> tuple[Figure, Axis]:
    """Bias, noise and direction of gradients against updates, a colour per gradient.

    A column of panels per Pauli set. Above the bias, the distance of the expected gradient from the
    exact one relative to its length, with its standard error; where it is not two standard errors
    away from zero, a hollow triangle marks the upper end of what it may be. In the middle the noise
    of one estimate, the root of its variance, and below the cosine between the estimate that steers
    and the exact gradient. Means over seeds; roots are taken of means of squares.

    Raises ValueError if no gradients were compared, or if there are several data sets, n, or m of
    one Pauli set; ``where`` chooses.
    """
    layout.require_matplotlib()
    curves = bias_curves(archives, where=where)
    _check_one_model(curves)
    paulis = paulis_order(curve.paulis for curve in curves)
    styles = gradient_styles(curves)
    with layout.style():
        figure, axes = layout.grid(len(LABELS), len(paulis), sharey="row", scale=1.15)
        for column, letters in enumerate(paulis):
            here = [curve for curve in curves if curve.paulis == letters]
            axes[0, column].set_title(f"{paulis_name(letters)}, m = {here[0].hidden}")
            for curve in here:
                _draw(axes[:, column], curve, styles[curve.other])
        for row in axes[:2]:
            for axis in row:
                if axis.has_data():
                    axis.set_yscale("log")
                else:
                    layout.empty(axis, "no replicates")
        layout.updates_axis(axes.flat, max(int(curve.step[-1]) for curve in curves))
        for axis, label in zip(axes[:, 0], LABELS, strict=True):
            axis.set_ylabel(label)
        handles = layout.series_handles(styles)
        handles.append(layout.hollow_handle("upper end of a bias near 0", "v"))
        seeds = layout.seeds_text((curve.runs for curve in curves), band=False)
        layout.finish(
            figure,
            axes,
            title=f"Bias and noise of gradients, {layout.data_label(curves[0].data)}, "
            f"n = {curves[0].visible}",
            note=f"relative to the exact gradient; {seeds}; bars: standard error from replicates",
            x="Updates",
            handles=handles,
        )
    return figure, axes


def _check_one_model(curves: Sequence[BiasCurve]) -> None:
    """ValueError unless there are one data set, one n, and one m for every Pauli set."""
    pairs = sorted({(curve.data, curve.visible) for curve in curves})
    if len(pairs) > 1:
        known = "; ".join(f"data = {data}, visible = {n}" for data, n in pairs)
        raise ValueError(f"the figure is of one data set and n; choose one of: {known}")
    for paulis in {curve.paulis for curve in curves}:
        sizes = sorted({curve.hidden for curve in curves if curve.paulis == paulis})
        if len(sizes) > 1:
            known = ", ".join(map(str, sizes))
            raise ValueError(f"the figure is of one m; choose one: hidden = {known}")


def _draw(axes: Axis, curve: BiasCurve, entry: dict[str, Any]) -> None:
    """One gradient in the three panels of a column."""
    look = {key: entry[key] for key in ("color", "linestyle", "marker")}
    known = curve.variance > ROUNDING
    if known.any():
        _draw_bias(axes[0], curve, look)
        axes[1].plot(curve.step[known], np.sqrt(curve.variance[known]), **look)
    axes[2].plot(curve.step, curve.cosine, **look)


def _draw_bias(axis: Axes, curve: BiasCurve, look: dict[str, Any]) -> None:
    square, error = curve.bias_squared, curve.bias_squared_error
    sure = square > np.maximum(SURE * error, ROUNDING)
    bias = np.where(sure, np.sqrt(np.maximum(square, 0.0)), np.nan)
    bars = np.array([root_error(*pair) for pair in zip(square, error, strict=True)])
    axis.errorbar(curve.step, bias, np.where(sure, bars, np.nan), elinewidth=0.9, capsize=1.5,
                  **look)  # fmt: skip
    near = ~sure & (error > ROUNDING)
    above = np.sqrt(np.maximum(square[near], 0.0) + SURE * error[near])
    axis.plot(curve.step[near], above, "v", mfc="white", color=look["color"], linestyle="")
