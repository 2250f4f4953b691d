"""Figures of sample quality: moments, energies, adversarial accuracy, coverage; and pictures.

Every function takes one :class:`tnqbm.quality.Quality` or several by name and returns
``(figure, axes)``, the axes as a two-dimensional object array; tnqbm.figures.save_figure writes
files. Data are grey, samples blue (or their own colour beside others), held-out data
orange. matplotlib is imported on the first call (extra ``plot``; tnqbm.MissingExtraError
without it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.pictures import DATA, SAMPLES, TEST, chains, completion, data_rows, grid
from tnqbm.figures.styles import COLOURS, letters, plain_label
from tnqbm.quality import Coverage, EnergyComparison, Measure, MomentComparison, Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "adversarial", "chains", "completion", "coverage", "data_rows", "energies", "grid", "moments",
]  # fmt: skip

Qualities = Quality | Mapping[str, Quality]
Part = TypeVar("Part")

_BARS = 40  # states drawn as bars; more are drawn as a ranked curve
_NAMES = 24  # states named under their bars, if the names are short
_RANKED = 4000  # points at most on a ranked curve
_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
_NOTE: dict[str, Any] = {"fontsize": 8, "color": "#333333"}


def moments(qualities: Qualities) -> tuple[Figure, Axis]:
    """Means and connected correlations of samples against data, a row of panels per model.

    Points on the diagonal are right. The text gives the RMS distance from it, the distance that
    perfect samples in the same number would have, and Pearson's correlation.
    """
    named = _named(qualities)
    layout.require_matplotlib()
    with layout.style():
        figure, axes = layout.grid(len(named), 2, scale=1.25)
        for row, (name, quality) in enumerate(named.items()):
            for axis, part, title in (
                (axes[row, 0], quality.first, "Means ⟨sᵢ⟩"),
                (axes[row, 1], quality.second, "Correlations ⟨sᵢsⱼ⟩ − ⟨sᵢ⟩⟨sⱼ⟩"),
            ):
                axis.set_title(f"{_short(name)}: {title.split()[0].lower()}" if name else title)
                _draw_moments(axis, part, _colour(name, row))
            axes[row, 0].set_ylabel("Samples")
        layout.finish(
            figure,
            axes,
            title="Moments of samples and data",
            note=_sizes(named),
            x="Data",
            handles=[layout.line_handle("equal", DATA, "--")],
        )
    return figure, axes


def energies(qualities: Qualities) -> tuple[Figure, Axis]:
    """Histograms of the energies of data, samples and held-out data, a panel per model.

    Raises ValueError if a quality was assessed without a model.
    """
    named = _named(qualities)
    parts = {name: _wanted(q.energies, "energies", "model", name) for name, q in named.items()}
    layout.require_matplotlib()
    with layout.style():
        columns = min(len(parts), 2)
        figure, axes = layout.grid(math.ceil(len(parts) / columns), columns, scale=1.25)
        for axis, (name, part) in zip(axes.flat, parts.items(), strict=False):
            if name:
                axis.set_title(_short(name))
            _draw_energies(axis, part)
        for axis in axes.flat[len(parts) :]:
            axis.set_xticks([])
            axis.set_visible(False)
        handles = [
            layout.patch_handle("data", DATA, alpha=0.35),
            layout.line_handle("samples", SAMPLES, "-"),
        ]
        if any(part.test is not None for part in parts.values()):
            handles.append(layout.line_handle("held-out data", TEST, "--"))
        layout.finish(
            figure,
            axes,
            title="Energies under the model",
            note=_sizes(named),
            x="Energy −log p̃(v) (nats)",
            y="Density",
            handles=handles,
        )
    return figure, axes


def adversarial(qualities: Qualities) -> tuple[Figure, Axis]:
    """Nearest-neighbour adversarial accuracy of every model, and its privacy loss if known.

    Bars start at the ideal values, 0.5 and 0. Error bars are one standard error.
    """
    named = _named(qualities)
    layout.require_matplotlib()
    losses = {name: q.privacy.loss for name, q in named.items() if q.privacy is not None}
    place = np.arange(len(named))
    with layout.style():
        figure, axes = layout.grid(1, 2 if losses else 1, scale=1.25)
        axis = axes[0, 0]
        for k, name in enumerate(named):
            accuracy, colour = named[name].adversarial, _colour(name, k)
            _bar(axis, k - 0.19, accuracy.truth, 0.5, colour, filled=True)
            _bar(axis, k + 0.19, accuracy.syn, 0.5, colour, filled=False)
        axis.axhline(0.5, color=DATA, linewidth=1.0)
        axis.set_ylim(-0.13, 1.13)  # room for the words
        axis.set_yticks(np.linspace(0.0, 1.0, 6))
        axis.set_ylabel("Adversarial accuracy")
        _say(axis, "samples and data told apart", "samples copy the data")
        if losses:
            axis = axes[0, 1]
            for k, name in enumerate(named):
                if name in losses:
                    _bar(axis, k, losses[name], 0.0, _colour(name, k), filled=True)
            axis.axhline(0.0, color=DATA, linewidth=1.0)
            reach = max(abs(loss.value) + np.nan_to_num(loss[1]) for loss in losses.values())
            reach = max(0.1, 1.35 * reach)
            axis.set_ylim(-reach, reach)
            axis.set_ylabel("Privacy loss")
            _say(axis, "closer to the data", "closer to held-out rows")
        for axis in axes.flat:
            axis.set_xticks(place, [_short(name) or "samples" for name in named])
            axis.set_xlim(-0.6, len(named) - 0.4)
            axis.grid(visible=False, axis="x")
            if sum(len(name) + 2 for name in named) > 44 / axes.size:
                axis.tick_params("x", rotation=30)
                for label in axis.get_xticklabels():
                    label.set(ha="right", rotation_mode="anchor")
        points = sorted({q.adversarial.n_points for q in named.values()})
        layout.finish(
            figure,
            axes,
            title="Nearest neighbours of samples and data",
            note=f"{_range(points)} rows of each; bars: ± 1 standard error",
            handles=[
                layout.patch_handle("AA truth (of data)", "#777777"),
                layout.patch_handle("AA syn (of samples)", "#777777", hollow=True),
            ],
        )
    return figure, axes


def coverage(qualities: Qualities) -> tuple[Figure, Axis]:
    """Visit frequency of every state of the support against the target, a panel per model.

    The band is the target ± 2 standard deviations of independent samples. Up to 40 states are
    drawn one by one, more in order of target and then frequency; as that order alone makes a
    slope, independent samples ranked in the same way stand beside it. Raises
    ValueError if a quality was assessed without a target.
    """
    named = _named(qualities)
    parts = {name: _wanted(q.coverage, "coverage", "target", name) for name, q in named.items()}
    layout.require_matplotlib()
    with layout.style():
        figure, axes = layout.grid(len(parts), 1, scale=1.0)
        figure.set_size_inches(5.2, 0.5 + 2.1 * len(parts))
        for axis, (name, part) in zip(axes[:, 0], parts.items(), strict=True):
            _draw_coverage(axis, part)
            head = f"{_short(name)}\n" if name else ""
            axis.set_title(head + _covered(part), fontsize=8.5)
            axis.set_ylabel("Frequency")
        handles = [
            layout.line_handle("target", DATA, "-"),
            layout.patch_handle("± 2 std", DATA, alpha=0.25),
            layout.handle("samples", color=SAMPLES, linestyle="", marker="o"),
        ]
        if any(part.probabilities.size > _BARS for part in parts.values()):
            handles.append(layout.line_handle("perfect samples, ranked", TEST, ":"))
        layout.finish(
            figure,
            axes,
            title="Visits to the states of the support",
            note=_sizes(named),
            x=axes[-1, 0].get_xlabel(),
            handles=handles,
        )
    return figure, axes


def _draw_moments(axis: Axes, part: MomentComparison, colour: str) -> None:
    if part.data.size == 0:
        layout.empty(axis, "a single unit has no pairs")
        return
    pooled = np.concatenate([part.data, part.samples])
    middle, half = 0.5 * (pooled.max() + pooled.min()), 0.5 * float(np.ptp(pooled))
    half = 1.12 * max(half, 0.01)
    ends = (middle - half, middle + half)
    axis.plot(ends, ends, color=DATA, linestyle="--", linewidth=1.0, zorder=1)
    many = part.data.size > 500
    axis.scatter(
        part.data,
        part.samples,
        s=5 if many else 14,
        color=colour,
        alpha=0.35 if many else 0.75,
        linewidths=0,
        rasterized=many,
        zorder=2,
    )
    axis.set(xlim=ends, ylim=ends)
    axis.locator_params(nbins=5)
    lines = [f"RMS {_text(part.rms)}", f"floor {_text(part.floor)}"]
    if math.isfinite(part.correlation.value):
        lines.append(f"r = {part.correlation.value:.3f}")
    axis.text(0.03, 0.97, "\n".join(lines), transform=axis.transAxes, va="top", bbox=_BOX, **_NOTE)


def _draw_energies(axis: Axes, part: EnergyComparison) -> None:
    sets = [part.data, part.samples] + ([] if part.test is None else [part.test])
    pooled = np.concatenate(sets)
    bins = int(np.clip(math.sqrt(min(len(values) for values in sets)) * 1.5, 8, 60))
    edges = np.histogram_bin_edges(pooled, bins=bins).tolist()
    axis.hist(part.data, edges, density=True, color=DATA, alpha=0.35, linewidth=0)
    line: dict[str, Any] = {"density": True, "histtype": "step", "linewidth": 1.5}
    if part.test is not None:
        axis.hist(part.test, edges, color=TEST, linestyle="--", **line)
    axis.hist(part.samples, edges, color=SAMPLES, **line)
    top = 1.3 * axis.get_ylim()[1]  # room for the text
    axis.set_ylim(0.0, top)
    axis.locator_params(axis="x", nbins=6)
    text = (
        f"KS {_text(part.to_data.ks)} (floor {part.ks_floor.value:.2g})\n"
        f"W₁ {_text(part.to_data.wasserstein)} nats (floor {part.wasserstein_floor.value:.2g})"
    )
    axis.text(0.03, 0.97, text, transform=axis.transAxes, va="top", bbox=_BOX, **_NOTE)


def _draw_coverage(axis: Axes, part: Coverage) -> None:
    if part.probabilities.size > _BARS:
        _draw_ranked(axis, part)
        return
    q, frequency, k = part.probabilities, part.frequencies, part.probabilities.size
    place, (low, high) = np.arange(k), _band(part)
    axis.bar(place, high - low, 0.8, low, color=DATA, alpha=0.25, linewidth=0)
    axis.hlines(q, place - 0.4, place + 0.4, color=DATA, linewidth=1.4)
    axis.plot(place, frequency, "o", color=SAMPLES, zorder=3, clip_on=False)
    axis.set_xlim(-0.7, k - 0.3)
    axis.set_ylim(0.0, 1.1 * float(max(high.max(), frequency.max())))
    axis.grid(visible=False, axis="x")
    axis.set_xlabel("State")
    n = part.states.shape[1]
    if k <= _NAMES and n <= 12:
        names = ["".join(map(str, state)) for state in part.states]
        axis.set_xticks(place, names, family="monospace")
        axis.tick_params("x", rotation=0 if n * k <= 50 else 90, labelsize=7)


def _draw_ranked(axis: Axes, part: Coverage) -> None:
    """Frequencies of many states, by falling target probability and then falling frequency."""
    q, n, k = part.probabilities, part.n_samples, part.probabilities.size
    order = np.lexsort((-part.frequencies, -q))
    shown = np.unique(np.linspace(0, k - 1, min(k, _RANKED)).round().astype(np.intp))
    frequency, target = part.frequencies[order][shown], q[order][shown]
    low, high = (edge[order][shown] for edge in _band(part))
    rng = streams.generator(0)
    draws = [rng.multinomial(n, q) / n for _ in range(1 if k > 100_000 else 20)]
    perfect = np.mean([draw[np.lexsort((-draw, -q))] for draw in draws], axis=0)[shown]
    rank = shown + 1
    axis.fill_between(rank, low, high, color=DATA, alpha=0.25, linewidth=0)
    axis.plot(rank, target, color=DATA, linewidth=1.4)
    axis.plot(rank, frequency, ".", color=SAMPLES, markersize=3, rasterized=shown.size > 2000)
    axis.plot(rank, perfect, ":", color=TEST)
    axis.set_xlim(1 - 0.01 * k, 1.01 * k)
    axis.set_ylim(-0.02 * frequency.max(), 1.1 * float(max(high.max(), frequency.max())))
    axis.set_xlabel("Rank of state")


def _band(part: Coverage) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Target -+ 2 standard deviations of the frequencies of independent samples."""
    q = part.probabilities
    error = 2.0 * np.sqrt(q * (1.0 - q) / part.n_samples)
    return np.maximum(q - error, 0.0), q + error


def _covered(part: Coverage) -> str:
    """Visited states, share inside the support and distance to the target, in words."""
    k = part.probabilities.size
    return (
        f"visited {round(part.visited * k)} of {k}, inside {_text(part.inside)}, "
        f"TVD {_text(part.tvd)} (floor {part.tvd_floor.value:.2g})"
    )


def _bar(axis: Axes, x: float, measure: Measure, base: float, colour: str, *, filled: bool) -> None:
    """A bar from the ideal value to the measured one, with its standard error."""
    look: dict[str, Any] = {"facecolor": colour} if filled else {"facecolor": "white"}
    axis.bar(x, measure.value - base, 0.34, base, edgecolor=colour, linewidth=1.2, zorder=2, **look)
    axis.plot(x, measure.value, "_", color=colour, markersize=9, zorder=3)
    if math.isfinite(measure.standard_error):
        axis.errorbar(
            x, measure.value, measure.standard_error, color="#222222", capsize=2.5, zorder=4
        )


def _say(axis: Axes, above: str, below: str) -> None:
    """What values at the top and bottom of a panel mean."""
    where: dict[str, Any] = {"transform": axis.transAxes, "ha": "center"}
    axis.text(0.5, 0.985, above, va="top", **where, **_NOTE)
    axis.text(0.5, 0.015, below, va="bottom", **where, **_NOTE)


def _named(qualities: Qualities) -> dict[str, Quality]:
    named = {"": qualities} if isinstance(qualities, Quality) else dict(qualities)
    if not named:
        raise ValueError("there is nothing to draw: no quality was given")
    for name, quality in named.items():
        if not isinstance(quality, Quality):
            raise TypeError(f"{name or 'qualities'} must be a Quality, got {type(quality)}")
    return named


def _wanted(part: Part | None, what: str, argument: str, name: str) -> Part:
    if part is None:
        where = f" of {name!r}" if name else ""
        raise ValueError(f"the quality{where} has no {what}; call assess with {argument}=...")
    return part


def _short(name: str) -> str:
    return plain_label(name if len(name) <= 24 else name[:11] + "…" + name[-12:])


def _colour(name: str, position: int) -> str:
    """The Pauli set's colour if the name is one, else the palette's next; blue when alone."""
    if letters(name) in COLOURS:
        return COLOURS[letters(name)]
    return list(COLOURS.values())[position % len(COLOURS)]


def _text(measure: Measure) -> str:
    """Value and error, both to the error's second digit at most."""
    value, error = round(measure.value, 12), measure.standard_error
    if not (math.isfinite(error) and error > 1e-9):  # none, or rounding
        return f"{value:.3g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    digits -= error * 10.0 ** (digits - 1) >= 3.0 and digits > 0
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _sizes(named: Mapping[str, Quality]) -> str:
    """How many samples and data there are, the same for all models or a range."""
    samples = _range(sorted({q.n_samples for q in named.values()}))
    chained = sorted({q.n_chains for q in named.values() if q.n_chains is not None})
    of = f" of {_range(chained)} chain{'s' if chained[-1] > 1 else ''}" if chained else ""
    text = f"{samples} samples{of}, {_range(sorted({q.n_data for q in named.values()}))} data"
    tests = sorted({q.n_test for q in named.values() if q.n_test is not None})
    return text + (f", {_range(tests)} held out" if tests else "")


def _range(values: list[int]) -> str:
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"
