"""Pictures of samples whose bits are pixels: grids, chains over time, completions.

Used through :mod:`tnqbm.figures.samples`. Bits that are 1 are inked, in a colour that says where
they come from; matplotlib is imported inside the functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.states import as_states
from tnqbm.figures import layout
from tnqbm.figures.layout import Axis
from tnqbm.figures.styles import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATA = "#444444"
SAMPLES = COLOURS["Z"]
TEST = COLOURS["XZ"]

_UNKNOWN = "#a8a8a8"
_TABLE = ("white", DATA, SAMPLES, _UNKNOWN, "#dcebf5", "#c4c4c4")
_HIDDEN, _FREE, _BLANK = 3, 4, 5
# Numbers of colours: 0 paper, 1 ink of data, 2 ink of samples, then a pixel that is not known, the
# tinted paper of completed zeros, and the frame.
_WIDTH = 5.2  # inches, of every figure here
_TALLEST = 8.5
_GAP = 0.12
_LARGEST = 0.75  # width of a single picture

Bits = NDArray[np.uint8]


def grid(
    samples: ArrayLike,
    shape: tuple[int, int] | None = None,
    *,
    data: ArrayLike | None = None,
    neighbours: bool = False,
    count: int = 40,
    columns: int = 10,
    title: str = "Samples",
) -> tuple[Figure, Axis]:
    """Pictures of ``samples``, with data above and the nearest rows of the data if asked for.

    Parameters
    ----------
    samples : (N, n), or (chains, samples, n); ``count`` of them, evenly spread, are shown.
    shape : height and width of a picture, (h, w) with h w = n; left out, the squarest.
    data : (M, n); as many rows as fill two lines are shown above the samples.
    neighbours : show under every sample the row of ``data`` nearest in Hamming distance.

    Returns ``(figure, axes)``, a panel for each block. Raises ValueError on shapes that do not
    fit, other values than 0 and 1, or ``neighbours`` without ``data``.
    """
    rows = _rows(samples, "samples")
    size = _shape(shape, rows.shape[1])
    real = None if data is None else _rows(data, "data", rows.shape[1])
    if neighbours and real is None:
        raise ValueError("neighbours are rows of the data; give data=...")
    if count < 1 or columns < 1:
        raise ValueError(f"count and columns must be at least 1, got {count} and {columns}")
    layout.require_matplotlib()
    shown = rows[_evenly(rows.shape[0], count)]
    columns = min(columns, shown.shape[0])
    handles = [layout.patch_handle("samples", SAMPLES)]
    blocks = []
    if real is not None:
        above = real[_evenly(real.shape[0], 2 * columns)]
        blocks.append(_lines(_inked(above, 1), columns))
        handles.insert(0, layout.patch_handle("data", DATA))
    lines = _lines(_inked(shown, 2), columns)
    note = f"{shown.shape[0]} of {rows.shape[0]} samples"
    if neighbours and real is not None:
        nearest, distance = _nearest(shown, real)
        # Every line of samples, and under it their neighbours.
        pairs = np.stack([lines, _lines(_inked(nearest, 1), columns)], axis=1)
        lines = pairs.reshape(-1, *lines.shape[1:])
        note += f", each above its nearest data, {distance.min()} to {distance.max()} bits away"
    blocks.append(lines)
    return _draw(blocks, size, title=title, note=note, handles=handles)


def data_rows(
    rows: ArrayLike,
    shape: tuple[int, int] | None = None,
    *,
    count: int = 100,
    columns: int = 10,
    title: str = "Data",
) -> tuple[Figure, Axis]:
    """Pictures of rows of data (N, n); ``count`` of them, evenly spread, are shown.

    ``shape`` is height and width of a picture, (h, w) with h w = n; left out, the squarest. Raises
    ValueError on shapes that do not fit, and other values than 0 and 1.
    """
    all_rows = _rows(rows, "rows")
    size = _shape(shape, all_rows.shape[1])
    if count < 1 or columns < 1:
        raise ValueError(f"count and columns must be at least 1, got {count} and {columns}")
    layout.require_matplotlib()
    shown = all_rows[_evenly(all_rows.shape[0], count)]
    block = _lines(_inked(shown, 1), min(columns, shown.shape[0]))
    note = f"{shown.shape[0]} of {all_rows.shape[0]} rows"
    return _draw([block], size, title=title, note=note, handles=[])


def chains(
    states: ArrayLike,
    sweeps: ArrayLike,
    shape: tuple[int, int] | None = None,
    *,
    most: int = 9,
    title: str = "Chains over time",
) -> tuple[Figure, Axis]:
    """The same chains at log-spaced times, a row of pictures per chain.

    ``states`` (T, C, n) are C chains after ``sweeps`` (T,) sweeps, which increase; ``most`` times
    are shown, the first and last among them. Raises ValueError on shapes that do not fit.
    """
    array = np.asarray(states)
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"states must have shape (times, chains, n), got {array.shape}")
    bits = _bits(array, "states")
    times = np.asarray(sweeps)
    if times.shape != bits.shape[:1] or (np.diff(times) <= 0).any() or times[0] < 0:
        raise ValueError(
            f"sweeps must be {bits.shape[0]} increasing numbers >= 0, one for every time in states"
        )
    size = _shape(shape, bits.shape[2])
    layout.require_matplotlib()
    chosen = _log_spaced(times, max(2, most))
    block = _inked(bits[chosen], 2).swapaxes(0, 1)  # a line per chain
    return _draw(
        [block],
        size,
        title=title,
        note=f"{block.shape[0]} chains, one a row",
        handles=[],
        columns=[f"{times[k]:g}" for k in chosen],
        columns_label="Sweeps",
    )


def completion(
    completed: ArrayLike,
    clamped: ArrayLike,
    shape: tuple[int, int] | None = None,
    *,
    truth: ArrayLike | None = None,
    title: str = "Completions",
) -> tuple[Figure, Axis]:
    """Samples of the free bits given the clamped ones, a row of pictures per case.

    Parameters
    ----------
    completed : (R, K, n), K completions of each of R cases, or (R, n) for one of each.
    clamped : (n,) or (R, n) booleans, True where the bit was given.
    shape : height and width of a picture; left out, the squarest.
    truth : (R, n) the whole rows, shown in the first column.

    Given pixels are grey, completed ones blue on tinted paper. Raises ValueError on shapes that do
    not fit, and if a given bit is not the same in all completions (and the truth).
    """
    array = np.asarray(completed)
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"completed must have shape (R, K, n) or (R, n), got {array.shape}")
    bits = _bits(array, "completed")
    cases, _, n = bits.shape
    given = np.asarray(clamped)
    if given.dtype.kind != "b" or given.shape not in ((n,), (cases, n)):
        raise ValueError(
            f"clamped must be booleans of shape ({n},) or ({cases}, {n}), "
            f"got {given.dtype} of shape {given.shape}"
        )
    given = np.broadcast_to(given, (cases, n))
    rows = None if truth is None else _rows(truth, "truth", n)
    if rows is not None and rows.shape[0] != cases:
        raise ValueError(f"truth has {rows.shape[0]} rows for {cases} cases")
    known = bits[:, 0] if rows is None else rows
    changed = np.argwhere((bits != known[:, None]) & given[:, None])
    if changed.size:
        case, which, bit = (int(k) for k in changed[0])
        raise ValueError(f"completion {which} of case {case} changes bit {bit}, which is clamped")
    size = _shape(shape, n)
    layout.require_matplotlib()
    asked = np.where(given, _inked(known, 1), _HIDDEN)[:, None]
    filled = np.where(given[:, None], _inked(bits, 1), np.where(bits == 1, 2, _FREE))
    parts, labels = [asked, filled], ["given", *map(str, range(1, bits.shape[1] + 1))]
    if rows is not None:
        parts.insert(0, _inked(rows, 1)[:, None])
        labels.insert(0, "truth")
    return _draw(
        [np.concatenate(parts, axis=1)],
        size,
        title=title,
        note=f"{int(given[0].sum())} of {n} bits given",
        handles=[
            layout.patch_handle("given", DATA),
            layout.patch_handle("unknown", _UNKNOWN),
            layout.patch_handle("completed", SAMPLES),
        ],
        columns=labels,
        columns_label="Completion",
    )


def _draw(
    blocks: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    *,
    title: str,
    note: str,
    handles: list[Any],
    columns: Sequence[str] = (),
    columns_label: str = "",
) -> tuple[Figure, Axis]:
    """A figure with a mosaic for every block (lines, columns, n) of colour numbers."""
    from matplotlib.figure import Figure

    mosaics = [_mosaic(block, size) for block in blocks]
    ratios = [mosaic.shape[0] / mosaic.shape[1] for mosaic in mosaics]
    below = 0.44 if columns else 0.1
    gaps = _GAP * (len(blocks) - 1)
    widest = min(_WIDTH - 0.2, _LARGEST * blocks[0].shape[1])
    width = min(widest, (_TALLEST - below - gaps) / sum(ratios))
    with layout.style():
        figure = Figure(figsize=(_WIDTH, sum(ratios) * width + gaps + below))
        axes = np.asarray(
            figure.subplots(len(blocks), 1, squeeze=False),
            dtype=np.object_,
        )
        for axis, mosaic in zip(axes[:, 0], mosaics, strict=True):
            _show(axis, mosaic)
        if columns:
            scale, frame = _scale(size)
            step = size[1] * scale + frame
            middle = [frame + k * step + 0.5 * size[1] * scale for k in range(len(columns))]
            axes[-1, 0].set_xticks(middle, columns)
            axes[-1, 0].tick_params("x", length=0, labelsize=8)
        layout.finish(figure, axes, title=title, note=note, x=columns_label, handles=handles)
        # Placed in inches: constrained layout misjudges labels of panels with a fixed aspect.
        height, bottom = float(figure.get_size_inches()[1]), below
        for axis, ratio in zip(axes[::-1, 0], ratios[::-1], strict=True):
            box = (0.5 * (_WIDTH - width), bottom, width, ratio * width)
            axis.set_position((box[0] / _WIDTH, box[1] / height, box[2] / _WIDTH, box[3] / height))
            bottom += ratio * width + _GAP
    return figure, axes


def _show(axis: Axes, mosaic: NDArray[np.float64]) -> None:
    height, width = mosaic.shape[:2]
    axis.imshow(mosaic, interpolation="nearest", extent=(0, width, height, 0))
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _scale(size: tuple[int, int]) -> tuple[int, int]:
    """Dots to a pixel and in a frame, so that frames look alike for small and large pictures."""
    scale = math.ceil(24 / max(size))
    return scale, max(1, round(0.09 * scale * max(size)))


def _mosaic(block: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float64]:
    """Colours of a block of pictures with frames between; (H, W, 3)."""
    from matplotlib.colors import to_rgb

    lines, columns, _ = block.shape
    scale, frame = _scale(size)
    h, w = size[0] * scale, size[1] * scale
    shape = (lines * (h + frame) + frame, columns * (w + frame) + frame)
    numbers = np.full(shape, _BLANK, dtype=np.uint8)
    for i in range(lines):
        for k in range(columns):
            top, left = i * (h + frame) + frame, k * (w + frame) + frame
            picture = block[i, k].reshape(size).repeat(scale, axis=0).repeat(scale, axis=1)
            numbers[top : top + h, left : left + w] = picture
    return np.array([to_rgb(colour) for colour in _TABLE])[numbers]


def _inked(bits: Bits, ink: int) -> Bits:
    """Colour numbers: ``ink`` for 1, white paper for 0."""
    return np.asarray(bits * ink, dtype=np.uint8)


def _lines(pictures: Bits, columns: int) -> Bits:
    """Pictures (K, n) in lines of ``columns``; (lines, columns, n), blanks at the end."""
    lines = math.ceil(pictures.shape[0] / columns)
    block = np.full((lines * columns, pictures.shape[1]), _BLANK, dtype=np.uint8)
    block[: pictures.shape[0]] = pictures
    return block.reshape(lines, columns, -1)


def _nearest(rows: Bits, data: Bits) -> tuple[Bits, NDArray[np.int64]]:
    """The nearest row of the data for every row, the first if several, and its distance."""
    chosen = [int((data != row).sum(axis=1).argmin()) for row in rows]
    return data[chosen], np.asarray((data[chosen] != rows).sum(axis=1), dtype=np.int64)


def _evenly(total: int, count: int) -> NDArray[np.intp]:
    """At most ``count`` row numbers, spread evenly over all."""
    count = min(total, count)
    return np.arange(count) * total // count


def _log_spaced(times: NDArray[Any], most: int) -> list[int]:
    """Positions of at most ``most`` times: first, last, and nearest to equal ratios between."""
    if times.size <= most:
        return list(range(times.size))
    start = float(times[0]) if times[0] > 0 else min(1.0, float(times[1]))
    near = {0, times.size - 1}
    for count in range(2, 8 * most):  # equal ratios may fall on the same early times
        ideal = np.geomspace(start, float(times[-1]), count)
        places = {int(np.abs(np.log(np.maximum(times, 1e-9) / t)).argmin()) for t in ideal}
        places |= {0, times.size - 1}
        if len(near) < len(places) <= most:
            near = places
    return sorted(near)


def _shape(shape: tuple[int, int] | None, n: int) -> tuple[int, int]:
    """The picture's height and width, checked; the squarest with h <= w if not given."""
    if shape is None:
        h = next(k for k in range(math.isqrt(n), 0, -1) if n % k == 0)
        return h, n // h
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != n:
        raise ValueError(f"shape must be (h, w) with h w = {n} visible units, got {shape}")
    return int(shape[0]), int(shape[1])


def _rows(states: ArrayLike, name: str, n_visible: int | None = None) -> Bits:
    array = np.asarray(states)
    if array.ndim == 3:
        array = array.reshape(-1, array.shape[-1])
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (N, n) with N, n >= 1, got {array.shape}")
    if n_visible is not None and array.shape[1] != n_visible:
        raise ValueError(f"{name} has {array.shape[1]} bits a row, but {n_visible} are expected")
    return _bits(array, name)


def _bits(array: NDArray[Any], name: str) -> Bits:
    try:
        return as_states(array, array.shape[-1])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
