"""One look for all figures: colours, panels, legends, titles. Used by :mod:`tnqbm.figures` only.

matplotlib is imported inside the functions, never with the module.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive.rows import Other, variant_names
from tnqbm.base.errors import MissingExtraError
from tnqbm.figures.styles import Labelled, Styles, plain_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Axis = NDArray[Any]
"""An object array of matplotlib axes, one for every panel (rows, columns)."""

LABELS = {
    "kl": "KL divergence (nats)",
    "tvd": "Total variation distance",
    "nll": "Negative log-likelihood (nats)",
    "gradient_norm": "Gradient norm",
    "log_partition": "log Z",
    "log_partition_error": "Standard error of log Z",
    "test_nll": "Negative log-likelihood of test data (nats)",
    "valid_nll": "Negative log-likelihood of validation data (nats)",
    "log_partition_bound": "Lower bound of log Z",
}

TITLES = {
    "bas": "bars and stripes",
    "on2": "n² random strings",
    "cardinality": "cardinality",
    "parity": "parity",
    "gaussian": "Gaussian",
}

_ROUNDING = 1e-9
"""A KL divergence this far below 0 is none."""

_AXIS_LABELS = {
    "nll": "NLL (nats)",
    "test_nll": "Test NLL (nats)",
    "valid_nll": "Validation NLL (nats)",
}  # a panel is not high

GREY = "#444444"
SPARE = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of further series beside those of Pauli sets."""
REFERENCE = (0, (1, 1.5))
"""Line of a reference value."""

LINES = ("-", "--", ":", "-.")
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlepad": 7.0,
    "axes.labelsize": 9,
    "figure.titlesize": 11,
    "legend.fontsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "tnqbm",
    "savefig.dpi": 200,
}
_PANEL = (2.35, 1.9)  # inches
_SINGLE = (4.6, 3.2)
_MARGIN = (0.6, 0.45)  # axis labels at the left and bottom
_NARROWEST = 5.2
_MOST_ROWS = 12


def require_matplotlib() -> None:
    """Raise MissingExtraError if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot", "drawing figures") from error


@contextmanager
def style() -> Iterator[None]:
    """The common settings, whatever the user's own matplotlib settings are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def metric_title(metric: str) -> str:
    """A metric in words, without its unit."""
    return LABELS[metric].removesuffix(" (nats)")


def metric_label(metric: str) -> str:
    """A metric and its unit, as short as an axis needs."""
    return _AXIS_LABELS.get(metric, LABELS[metric])


def data_title(data: str) -> str:
    """Title of a data set: the known ones in words, a file by its name, shortened if long."""
    name = TITLES.get(data, Path(data).name)
    return name if len(name) <= 24 else name[:11] + "…" + name[-12:]


def data_label(data: str) -> str:
    """:func:`data_title` for matplotlib."""
    return plain_label(data_title(data))


def data_order(names: Iterable[str]) -> list[str]:
    """Data sets in the paper's order, then a user's own by name."""
    known = list(TITLES)
    return sorted(set(names), key=lambda d: (known.index(d) if d in known else len(known), d))


Panels = dict[tuple[int, str, Other], "Axes"]
"""Panels with runs by n, data set and variant."""


def panel_grid(items: Sequence[Labelled], *, sharey: bool) -> tuple[Figure, Axis, Panels]:
    """A panel for every n and variant (rows) and data set (columns); those without runs say so.

    All panels share the vertical axis, or those of a data set do. Raises ValueError if there
    would be too many rows to look at.
    """
    names = variant_names(item.other for item in items)
    rows = [(n, other) for n in sorted({item.visible for item in items}) for other in names]
    check_rows(len(rows), [item.other for item in items])
    datasets = data_order(item.data for item in items)
    present = {(item.visible, item.data, item.other) for item in items}
    figure, axes = grid(len(rows), len(datasets), sharey=True if sharey else "col")
    panels = {}
    for row, (visible, other) in enumerate(rows):
        for column, data in enumerate(datasets):
            axis = axes[row, column]
            title = f"{data_label(data)}, n = {visible}"
            if len(names) > 1:  # one line would be too long
                title = f"{data_label(data)}\nn = {visible}, {plain_label(names[other])}"
            axis.set_title(title)
            if (visible, data, other) in present:
                panels[visible, data, other] = axis
            else:
                empty(axis, "no runs")
    return figure, axes, panels


def check_rows(count: int, others: Iterable[Other]) -> None:
    """Raise ValueError, saying how to choose, if a figure would have too many rows of panels."""
    if count <= _MOST_ROWS:
        return
    names = list(variant_names(others).values())
    choice = f"gradient (there are {', '.join(names)}) or visible" if len(names) > 1 else "visible"
    raise ValueError(
        f"the figure would have {count} rows of panels, more than {_MOST_ROWS}; choose fewer "
        f"values of {choice}"
    )


def grid(
    rows: int, columns: int, *, sharey: bool | str = False, scale: float = 1.0
) -> tuple[Figure, Axis]:
    """An empty figure of rows x columns panels of the common size, and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    single = rows * columns == 1
    width, height = _SINGLE if single else (columns * _PANEL[0] * scale, rows * _PANEL[1] * scale)
    size = (max(_NARROWEST, width + _MARGIN[0]), height + _MARGIN[1])
    figure = Figure(figsize=size, layout="constrained")
    shared: Any = sharey
    axes = figure.subplots(rows, columns, squeeze=False, sharey=shared)
    return figure, np.asarray(axes, dtype=np.object_)


def empty(axis: Axes, text: str) -> None:
    """Mark a panel that has nothing to show."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color="#888888")
    axis.set_xticks([])
    axis.tick_params(left=False)
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_color("#cccccc")


def handle(label: str, **look: Any) -> Any:
    """Legend entry of a line or a marker that looks as ``plot`` draws it."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **{**look, "label": label})


def series_handles(styles: Styles, *, markers: bool = True) -> list[Any]:
    """Legend entries of the series."""
    hidden = {} if markers else {"marker": ""}
    return [handle(**{**entry, **hidden}) for entry in styles.values()]


def line_handle(label: str, colour: str, line: Any) -> Any:
    """Legend entry of a reference line or a line style."""
    return handle(label, color=colour, linestyle=line)


def hollow_handle(label: str, marker: str) -> Any:
    """Legend entry of a hollow marker."""
    return handle(label, color=GREY, linestyle="", marker=marker, mfc="white")


def patch_handle(label: str, colour: str, *, alpha: float = 1.0, hollow: bool = False) -> Any:
    """Legend entry of an area."""
    from matplotlib.patches import Patch

    if hollow:
        return Patch(facecolor="white", edgecolor=colour, linewidth=1.2, label=label)
    return Patch(facecolor=colour, alpha=alpha, linewidth=0, label=label)


def band(
    axis: Axes, x: Any, middle: Any, low: Any, high: Any, colour: str, *, alpha: float
) -> None:
    """A band between ``low`` and ``high``; an error bar where there is one point only."""
    if len(x) > 1:
        axis.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)
    else:  # a band over one point has no width
        ends = [np.abs(middle - low), np.abs(high - middle)]
        axis.errorbar(x, middle, ends, color=colour, capsize=2.5, linestyle="")


def threshold_line(axes: Iterable[Axes], metric: str, threshold: float | None) -> list[Any]:
    """A reference line in panels of the total variation distance; its legend entries."""
    if metric != "tvd" or threshold is None:
        return []
    for axis in axes:
        reference_line(axis, threshold)
    return [line_handle(f"TVD = {threshold:g}", GREY, REFERENCE)]


def whole_ticks(axis: Any, *, most: int = 6) -> None:
    """At most so many ticks at whole numbers on a matplotlib axis (``xaxis`` or ``yaxis``)."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, integer=True, steps=[1, 2, 5, 10]))


def fixed_ticks(axis: Any, ticks: Iterable[float], *, plain: bool = True) -> None:
    """Ticks at these values and nowhere between, ``plain``: as numbers, not powers of ten."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    if plain:
        axis.set_major_formatter(ScalarFormatter())


def updates_axis(axes: Iterable[Axes], last: int) -> None:
    """Logarithmic axis of updates from the start (0, put at the left end) to ``last``."""
    from matplotlib.ticker import FuncFormatter

    decades = [0.0, *(10.0**k for k in range(math.floor(math.log10(max(last, 1))) + 1))]
    for axis in axes:
        # Linear up to one update, so that the starting point has a place on the axis.
        axis.set_xscale("symlog", linthresh=1.0, linscale=0.35)
        axis.set_xlim(0.0, max(last, 1))
        fixed_ticks(axis.xaxis, decades, plain=False)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}".replace(",", " ")))


def hidden_axis(axis: Axes, *, log: bool) -> None:
    """Axis of hidden units with whole numbers, logarithmic where m spans a wide range."""
    if not log:
        low, high = axis.get_xlim()
        if high - low < 2:  # one or two values of m: room around them
            axis.set_xlim(low - 1, high + 1)
        whole_ticks(axis.xaxis)
        return
    axis.set_xscale("log")
    fixed_ticks(axis.xaxis, (c * 10.0**k for k in range(6) for c in (1, 2, 5)))


def is_wide(groups: Iterable[Any]) -> bool:
    """Whether the values of m of these groups ask for a logarithmic axis."""
    hidden = [int(group.hidden) for group in groups]
    return max(hidden) >= 8 * max(1, min(hidden))


def reference_line(axis: Axes, y: float) -> None:
    """A dotted line across the panel."""
    axis.axhline(y, color=GREY, linestyle=REFERENCE, linewidth=1.0, zorder=1.5)


def set_limits(axes: Iterable[Axes], metric: str) -> None:
    """The vertical axis from 0 for metrics to be compared with 0, to 1 at most for the TVD.

    A KL divergence below 0, which shows that log Z is wrong, stays in sight, with a line at 0.
    """
    if metric not in ("kl", "tvd", "gradient_norm"):
        return
    for axis in axes:
        top = axis.get_ylim()[1]  # a band may reach lower or higher than values can
        drawn = [float(y) for line in axis.lines for y in np.ravel(line.get_ydata())]
        lowest = min((y for y in drawn if np.isfinite(y)), default=0.0)
        below = metric == "kl" and lowest < -_ROUNDING
        if below:
            reference_line(axis, 0.0)
        axis.set_ylim(1.05 * lowest if below else 0.0, min(top, 1.0) if metric == "tvd" else top)


def seeds_text(
    counts: Iterable[int], *, band: bool = True, what: str = "1 standard deviation"
) -> str:
    """How many seeds a figure averages over, and what its band is."""
    low, high = min(counts := list(counts)), max(counts)
    seeds = f"{low} seeds" if low == high else f"{low} to {high} seeds"
    if high == 1:
        return "1 seed"
    return f"mean ± {what} over {seeds}" if band else f"mean over {seeds}"


def whole_axis(axis: Axes) -> None:
    """Vertical axis of a count: from zero, whole numbers, room above the highest point."""
    axis.set_ylim(0.0, 1.08 * axis.get_ylim()[1])
    whole_ticks(axis.yaxis)


def finish(
    figure: Figure,
    axes: Axis,
    *,
    title: str,
    note: str,
    handles: list[Any],
    x: str = "",
    y: str = "",
) -> None:
    """Head of the figure (title, note, legend) and labels on the outer panels.

    The head is laid out in inches, as constrained layout does not keep a title and a legend
    above the panels apart. An empty ``y`` leaves the vertical labels as they are.
    """
    width, height = figure.get_size_inches()
    rows = _legend_rows(handles, width)
    head = 0.46 + 0.2 * len(rows)
    figure.set_size_inches(width, height := height + head)
    engine: Any = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.0, 0.0, 1.0, 1.0 - head / height))
    where: dict[str, Any] = {"ha": "center", "va": "top"}
    figure.text(0.5, 1.0 - 0.07 / height, title, fontsize=11, fontweight="bold", **where)
    figure.text(0.5, 1.0 - 0.28 / height, note, fontsize=8.5, color="#444444", **where)
    for k, row in enumerate(rows):
        figure.legend(
            handles=row,
            loc="upper center",
            bbox_to_anchor=(0.5, 1.0 - (0.43 + 0.2 * k) / height),
            ncols=len(row),
            columnspacing=1.4,
            handlelength=2.2,
            borderaxespad=0.0,
            borderpad=0.2,
        ).set_in_layout(False)
    for column in axes.T:
        drawn = [axis for axis in column if len(axis.get_xticks())]
        (drawn or list(column))[-1].set_xlabel(x)
    if y:
        for axis in axes[:, 0]:
            axis.set_ylabel(y)


def _legend_rows(handles: Sequence[Any], width: float) -> list[list[Any]]:
    """Legend entries in as few rows as their estimated width (inches) allows, evenly filled."""
    if not handles:
        return []
    total = sum(0.62 + 0.075 * len(handle.get_label()) for handle in handles)
    count = math.ceil(total / (width - 0.3))
    per_row = math.ceil(len(handles) / count)
    return [list(handles[k : k + per_row]) for k in range(0, len(handles), per_row)]
