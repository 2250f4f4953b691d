"""Figures of the equivalence audit: best fits, scaling with the weights, ratios of hidden units.

Take the file of an audit (:mod:`results`) or rows of :mod:`ratios` and
return ``(figure, axes)``, the axes as a two-dimensional object array; tnqbm.figures.save_figure
writes files. matplotlib is imported on the first call (extra ``plot``; tnqbm.MissingExtraError
without it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ratios import RatioRow
from results import AuditFile
from summary import SMALL, FitSummary, fit_summaries, select

from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import COLOURS, letters, paulis_order
from tnqbm.model_tools.expansion import slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["fits", "ratios", "scaling"]

_WIDE = 1.5  # panels of these figures are larger than those of archives'
_SCALES = ("#9ECAE1", "#4292C6", "#08519C", "#000000")  # light to dark, weak to strong weights
_MARKERS = ("o", "s", "^", "D")
_LOWEST = 1e-13  # KL drawn at the bottom where a fit is exact
_DATA = {"bas": "o", "on2": "s", "cardinality": "^", "parity": "D"}


def fits(file: AuditFile, *, n: int = 6) -> tuple[Figure, Axis]:
    """KL of best fits of RBMs to one qubit, and of qubits to an RBM, against hidden units.

    A column for each Pauli set with more than one letter: above, RBM_{n,k} fitted to random
    sqRBM_{n,1} against k; below, sqRBM_{n,m} fitted to random RBM_{n,P} against m, where m = P is
    exact by construction and not drawn. Points are medians over targets, bars quartiles, one line
    for each scale of the weights; open markers the classical twin of the paper's counting, with the
    target's own numbers. Raises ValueError if the file has no such fits.
    """
    rows = [row for row in fit_summaries(file) if row.n == n]
    above = [row for row in rows if row.paulis == "Z" and row.target != "Z" and row.m == 1]
    below = [row for row in rows if row.target == "Z" and row.m == len(row.paulis)]
    sets = paulis_order({row.target for row in above} & {row.paulis for row in below})
    if not sets:
        raise ValueError(f"the audit has no fits in both directions for n = {n}")
    layout.require_matplotlib()
    scales = sorted({row.scale for row in above + below})
    with layout.style():
        drawn, axes = layout.grid(2, len(sets), sharey=True, scale=_WIDE)
        for column, paulis in enumerate(sets):
            p = len(paulis)
            upper, lower = axes[:, column]
            upper.set_title(f"RBM with k units fitted to one qubit {paulis}")
            lower.set_title(f"m qubits {paulis} fitted to an RBM with {p} units")
            for row_axis, chosen in (
                (upper, select(above, target=paulis)),
                (lower, select(below, paulis=paulis)),
            ):
                _kl_lines(row_axis, chosen, scales)
                _whole(row_axis, [row.k for row in chosen])
            upper.axvline(p, color=layout.GREY, linestyle=layout.REFERENCE, zorder=1.5)
            upper.set_xlabel("Classical hidden units k")
        handles = [_handle(f"parameters in [-{c:g}, {c:g}]", k) for k, c in enumerate(scales)] + [
            layout.hollow_handle("same numbers (twin)", "o"),
            layout.line_handle("k = P", layout.GREY, layout.REFERENCE),
        ]
        layout.finish(
            drawn,
            axes,
            title=f"What the best fit leaves, n = {n}",
            note="medians and quartiles over random targets; best of all restarts",
            x="",
            y="KL divergence (nats)",
            handles=handles,
        )
        for axis in axes[1]:
            axis.set_xlabel("Hidden qubits m")
    return drawn, axes


def scaling(file: AuditFile) -> tuple[Figure, Axis]:
    """KL of the classical twin and of the best RBM against the strength of the weights.

    A panel for each Pauli set, every target a thin line; the dotted line has slope 8, at which
    fourth-order differences of log p show. Raises ValueError if the file has no such cells.
    """
    cells = list(file.rows("scaling"))
    if not cells:
        raise ValueError("the audit has no cells of the kind 'scaling'")
    layout.require_matplotlib()
    sets = paulis_order(cell["paulis"] for cell, _ in cells)
    with layout.style():
        drawn, axes = layout.grid(1, len(sets), sharey=True, scale=_WIDE)
        for axis, paulis in zip(axes[0], sets, strict=True):
            slopes: dict[str, list[float]] = {"naive": [], "best": []}
            guide = 0.0
            for cell, result in cells:
                if cell["paulis"] != paulis:
                    continue
                c = np.array(result["strengths"])
                for name, line in (("naive", "-"), ("best", "--")):
                    kl = np.array(result[name])
                    axis.plot(
                        c,
                        kl,
                        color=COLOURS[letters(paulis)],
                        linestyle=line,
                        linewidth=1.0,
                        marker="o" if name == "naive" else "s",
                        markersize=3.2,
                        markerfacecolor="white" if name == "naive" else None,
                    )
                    small = c <= SMALL * (1 + 1e-9)
                    slopes[name].append(slope(c[small], kl[small]))
                guide = max(guide, float(result["naive"][-1]) / c[-1] ** 8)
            ends = np.array([0.025, 0.25])
            axis.plot(ends, 30 * guide * ends**8, color=layout.GREY, linestyle=layout.REFERENCE)
            axis.set_xscale("log")
            axis.set_yscale("log")
            _strengths(axis, sorted({c for _, one in cells for c in one["strengths"]}))
            text = ", ".join(
                f"{word} {min(slopes[name]):.2f} to {max(slopes[name]):.2f}"
                for name, word in (("naive", "twin"), ("best", "best fit"))
            )
            axis.set_title(f"One qubit {paulis}\nslopes: {text}", fontsize=8.5)
        layout.finish(
            drawn,
            axes,
            title="One qubit against P classical units as weights shrink",
            note=f"parameters uniform in [-1, 1], times c; slopes from c ≤ {SMALL:g}",
            x="Strength of the parameters c",
            y="KL divergence (nats)",
            handles=[
                _line("classical twin (same numbers)", "-", "o", "white"),
                _line("best RBM with P units", "--", "s", layout.GREY),
                layout.line_handle("slope 8", layout.GREY, layout.REFERENCE),
            ],
        )
    return drawn, axes


def ratios(rows: Sequence[RatioRow]) -> tuple[Figure, Axis]:
    """Measured ratios of least hidden units beside both laws, a panel for each Pauli set.

    Points with bootstrap intervals, one marker for each data set; the dashed line is P, the full
    line the ratio of effective parameters.
    Raises ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("there is nothing to draw: no ratio was measured")
    layout.require_matplotlib()
    sets = paulis_order({row.paulis for row in rows})
    names = layout.data_order({row.data for row in rows})
    sizes = sorted({row.visible for row in rows})
    with layout.style():
        drawn, axes = layout.grid(1, len(sets), sharey=True, scale=_WIDE)
        for axis, paulis in zip(axes[0], sets, strict=True):
            colour = COLOURS[letters(paulis)]
            for place, data in enumerate(names):
                shift = 0.32 * (place - 0.5 * (len(names) - 1))
                for row in (r for r in rows if r.paulis == paulis and r.data == data):
                    _ratio(axis, row, row.visible + shift, colour, _DATA.get(data, "v"))
            grid = np.linspace(min(sizes) - 0.8, max(sizes) + 0.8, 50)
            p = len(paulis)
            law = p - p * (p - 1) / (2 * (grid + 1))
            axis.plot(grid, law, color=layout.GREY, linewidth=1.3, zorder=1.6)
            axis.axhline(p, color=layout.GREY, linestyle="--", linewidth=1.0, zorder=1.5)
            axis.set_xticks(sizes)
            axis.set_xlim(min(sizes) - 0.9, max(sizes) + 0.9)
            axis.set_title(f"RBM / sqRBM {paulis}")
        handles = [
            *(layout.hollow_handle(layout.data_label(d), _DATA.get(d, "v")) for d in names),
            layout.line_handle("P", layout.GREY, "--"),
            layout.line_handle("effective parameters", layout.GREY, "-"),
        ]
        axes[0, 0].set_ylim(bottom=1.0)
        layout.finish(
            drawn,
            axes,
            title="Hidden units for a mean TVD of 0.2, RBM over sqRBM",
            note="interpolated between the m tried; bars: 95 % bootstrap intervals over seeds",
            x="Visible units n",
            y="Ratio",
            handles=handles,
        )
    return drawn, axes


def _ratio(axis: Axes, row: RatioRow, x: float, colour: str, marker: str) -> None:
    if row.low is not None and row.high is not None:
        axis.plot([x, x], [row.low, row.high], color=colour, linewidth=1.1)
    axis.plot(
        [x],
        [row.ratio],
        color=colour,
        marker=marker,
        markersize=4.5,
        markerfacecolor="white",
        linestyle="",
    )


def _kl_lines(axis: Axes, rows: Sequence[FitSummary], scales: Sequence[float]) -> None:
    for k, scale in enumerate(scales):
        chosen = [row for row in rows if row.scale == scale]
        if not chosen:
            continue
        x = np.array([row.k for row in chosen]) + 0.06 * (k - 0.5 * (len(scales) - 1))
        middle = np.maximum([row.median for row in chosen], _LOWEST)
        low = np.maximum([row.quartiles[0] for row in chosen], _LOWEST)
        high = np.maximum([row.quartiles[1] for row in chosen], _LOWEST)
        colour = _SCALES[k % len(_SCALES)]
        axis.errorbar(
            x,
            middle,
            yerr=[np.maximum(middle - low, 0.0), np.maximum(high - middle, 0.0)],
            color=colour,
            marker=_MARKERS[k % len(_MARKERS)],
            markersize=3.8,
            linewidth=1.2,
            elinewidth=0.9,
        )
        for place, row in zip(x, chosen, strict=True):
            if row.naive is not None:
                axis.plot(
                    [place],
                    [row.naive],
                    color=colour,
                    marker=_MARKERS[k % len(_MARKERS)],
                    markerfacecolor="white",
                    markersize=4.5,
                    linestyle="",
                )
    axis.set_yscale("log")


def _strengths(axis: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.xaxis.set_major_locator(FixedLocator(list(values)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _whole(axis: Axes, values: Sequence[int]) -> None:
    axis.set_xticks(sorted(set(values)))
    axis.set_xlim(min(values) - 0.5, max(values) + 0.5)


def _handle(label: str, k: int) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=_SCALES[k % 4], marker=_MARKERS[k % 4], markersize=3.8, label=label)


def _line(label: str, line: str, marker: str, face: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        color=layout.GREY,
        linestyle=line,
        marker=marker,
        markersize=3.8,
        markerfacecolor=face,
        label=label,
    )
