"""Which units couple: masks of locally connected models, and edges inside a layer.

A mask is (n, m) bool, True where hidden qubit j may couple to visible unit i. With masks that are
local on a line or a lattice the exact log Z and gradient cost what the treewidth of the
couplings demands, not 2**n (:mod:`tnqbm.networks`).

Hidden qubits stand in the order of their windows, one copy of all windows after another: qubit
``c * windows + k`` is copy c of window k.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import is_whole, plain_array

__all__ = ["DENSE", "EDGE_FORMS", "FORMS", "Connectivity", "checked_mask", "edges", "hidden_units",
           "lattice", "line", "named", "parse"]  # fmt: skip

Mask = NDArray[np.bool_]

DENSE = "dense"
"""The name of the model in which every hidden qubit couples to every visible unit."""

FORMS = "dense, line-4, ring-4, lattice-8x8-2x2, torus-8x8-2x2"
"""One example of every form of name, for messages."""

EDGE_FORMS = "none, all, line, ring, lattice-4x4, torus-4x4, groups-4, or 0-1,1-2"
"""One example of every form of name of edges inside a layer, for messages."""

_LINE = re.compile(r"(line|ring)-(\d{1,9})", re.ASCII)
_LATTICE = re.compile(r"(lattice|torus)-(\d{1,9})x(\d{1,9})-(\d{1,9})x(\d{1,9})", re.ASCII)

_PAIRS = re.compile(r"\d{1,9}-\d{1,9}(,\d{1,9}-\d{1,9})*", re.ASCII)

_EDGES = re.compile(
    r"none|all|line|ring|(lattice|torus)-(\d{1,9})x(\d{1,9})|groups-(\d{1,9})", re.ASCII
)


def line(n: int, window: int, *, periodic: bool = False, copies: int = 1) -> Mask:
    """Windows of ``window`` neighbouring units on a line of n units, (n, m) bool.

    Window k holds the units k to k + window - 1. Open ends (the default): m = (n - window + 1)
    copies; ``periodic``, a ring: unit n - 1 is followed by unit 0 and m = n copies. Raises
    ValueError for sizes below 1 or a window that is longer than the line.
    """
    _positive(n=n, window=window, copies=copies)
    if window > n:
        raise ValueError(f"a window of {window} units does not fit on a line of {n}")
    starts = np.arange(_windows(n, window, periodic))
    units = (starts[:, None] + np.arange(window)) % n
    return _mask(n, units, copies)


def lattice(
    rows: int,
    cols: int,
    patch: tuple[int, int] = (2, 2),
    *,
    periodic: bool = False,
    copies: int = 1,
) -> Mask:
    """Patches of r x c neighbouring units on a lattice of rows x cols units, (n, m) bool.

    Visible unit ``y * cols + x`` sits in row y and column x, so n = rows cols. Open ends (the
    default): m = (rows - r + 1)(cols - c + 1) copies, patches in the order of their upper left
    corners; ``periodic``, a torus: m = rows cols copies. Raises ValueError for sizes below 1 or a
    patch that does not fit on the lattice.
    """
    if len(patch) != 2:
        raise ValueError(f"a patch has two sides, (rows, columns), got {patch!r}")
    high, wide = patch
    _positive(rows=rows, cols=cols, copies=copies, **{"patch[0]": high, "patch[1]": wide})
    if high > rows or wide > cols:
        raise ValueError(
            f"a patch of {high} x {wide} units does not fit on a lattice of {rows} x {cols}"
        )
    top, left = np.divmod(
        np.arange(_windows(rows, high, periodic) * _windows(cols, wide, periodic)),
        _windows(cols, wide, periodic),
    )
    y = (top[:, None] + np.repeat(np.arange(high), wide)) % rows
    x = (left[:, None] + np.tile(np.arange(wide), high)) % cols
    return _mask(rows * cols, y * cols + x, copies)


@dataclass(frozen=True)
class Connectivity:
    """A name of local connectivity, taken apart.

    ``sides`` of the line (none: as long as there are visible units) or lattice, and of the
    ``window`` on it.
    """

    name: str
    sides: tuple[int, ...]
    window: tuple[int, ...]
    periodic: bool

    def windows(self, n: int) -> int:
        """Windows on n visible units, of which m is a multiple; ValueError if none fit."""
        sides = self._sides(n)
        count = 1
        for side, window in zip(sides, self.window, strict=True):
            count *= _windows(side, window, self.periodic)
        return count

    def mask(self, n: int, copies: int) -> Mask:
        """The mask (n, windows(n) * copies); ValueError if n does not fit."""
        sides = self._sides(n)
        if len(sides) == 1:
            return line(n, self.window[0], periodic=self.periodic, copies=copies)
        rows, cols = sides
        patch = (self.window[0], self.window[1])
        return lattice(rows, cols, patch, periodic=self.periodic, copies=copies)

    def _sides(self, n: int) -> tuple[int, ...]:
        if not self.sides:
            if n < self.window[0]:
                raise ValueError(
                    f"connectivity {self.name!r} needs at least {self.window[0]} visible units, "
                    f"got n = {n}"
                )
            return (n,)
        rows, cols = self.sides
        if rows * cols != n:
            raise ValueError(
                f"connectivity {self.name!r} is for {rows} x {cols} = {rows * cols} visible "
                f"units, got n = {n}"
            )
        return self.sides


def parse(name: str) -> Connectivity | None:
    """What a name means: None for ``"dense"``; ValueError for one that means nothing."""
    if name == DENSE:
        return None
    found = _LINE.fullmatch(name) or _LATTICE.fullmatch(name)
    if found is None:
        near = difflib.get_close_matches(name, FORMS.split(", "), 1, 0.6)
        hint = f"; did you mean something like {near[0]!r}?" if near else ""
        raise ValueError(f"connectivity {name!r} is not known; names look like {FORMS}{hint}")
    numbers = [int(number) for number in found.groups()[1:]]
    if min(numbers) < 1:
        raise ValueError(f"connectivity {name!r}: all sizes must be at least 1")
    half = len(numbers) // 2
    sides, window = tuple(numbers[:half]), tuple(numbers[half:])
    if any(inner > outer for inner, outer in zip(window, sides, strict=False)):
        raise ValueError(
            f"connectivity {name!r}: a patch of {window[0]} x {window[1]} units does not fit on a "
            f"lattice of {sides[0]} x {sides[1]}"
        )
    return Connectivity(name, sides, window, found[1] in ("ring", "torus"))


def hidden_units(name: str, n: int, copies: int = 1) -> int:
    """Hidden qubits of a named connectivity with ``copies`` qubits for every window.

    Raises ValueError for ``"dense"``, which fits any number, for an unknown name, and for an n
    that does not fit.
    """
    found = parse(name)
    if found is None:
        raise ValueError("dense models may have any number of hidden units")
    _positive(copies=copies)
    return found.windows(n) * copies


def named(name: str, n: int, m: int) -> Mask | None:
    """The mask (n, m) of a name as study files use it, or None for ``"dense"``.

    ``"line-4"`` and ``"ring-4"`` are :func:`line` with windows of four units, open and periodic;
    ``"lattice-8x8-2x2"`` and ``"torus-8x8-2x2"`` are :func:`lattice` of 8 x 8 units with patches
    of 2 x 2. m says how many copies there are. Raises ValueError for an unknown name and for n or
    m that do not fit, naming those that do.
    """
    found = parse(name)
    if found is None:
        return None
    windows = found.windows(n)
    if m < 1 or m % windows:
        below = m // windows * windows
        fitting = [str(k) for k in (below, below + windows) if k > 0]
        raise ValueError(
            f"connectivity {name!r} has {windows} windows on {n} visible units, so the number of "
            f"hidden units must be a multiple of {windows}; {m} is none, {' and '.join(fitting)} "
            f"{'are' if len(fitting) > 1 else 'is'}"
        )
    return found.mask(n, m // windows)


def edges(name: str, units: int) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of coupled units of one layer of so many units, in order.

    ``"none"``; ``"all"`` pairs; neighbours on a ``"line"``, a ``"ring"``, and, unit ``y cols + x``
    in row y and column x, a ``"lattice-4x4"`` or ``"torus-4x4"`` of 4 rows and 4 columns; all pairs
    inside ``"groups-4"`` of four units that follow one another, the last of what is left; or the
    pairs themselves, units counted from 0, as in ``"0-1,1-2"``. Raises ValueError for an unknown
    name, and for units that do not fit.
    """
    if _PAIRS.fullmatch(name):
        return _listed(name, units)
    found = _EDGES.fullmatch(name)
    if found is None:
        near = difflib.get_close_matches(name, EDGE_FORMS.split(", "), 1, 0.6)
        hint = f"; did you mean something like {near[0]!r}?" if near else ""
        raise ValueError(f"edges {name!r} are not known; names look like {EDGE_FORMS}{hint}")
    if found[4] is not None:
        size = int(found[4])
        if size < 1:
            raise ValueError(f"edges {name!r}: groups have at least 1 unit")
        label = np.arange(units) // size
        coupled = label[:, None] == label
    elif name in ("none", "all"):
        coupled = np.full((units, units), name == "all")
    else:
        shape = (1, units) if found[1] is None else (int(found[2]), int(found[3]))
        rows, cols = shape
        if rows * cols != units:
            raise ValueError(
                f"edges {name!r} are for {rows} x {cols} = {rows * cols} units, got {units}"
            )
        coupled = _neighbours(shape, periodic=name.startswith(("ring", "torus")))
    first, second = np.nonzero(np.triu(coupled, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _listed(name: str, units: int) -> list[tuple[int, int]]:
    """The pairs of a text such as "0-1,1-2", each in rising order."""
    pairs = []
    for text in name.split(","):
        first, second = sorted(int(number) for number in text.split("-"))
        if first == second or second >= units:
            what = "couple a unit with itself" if first == second else f"name the unit {second}"
            raise ValueError(f"edges {name!r} {what}; units are 0 to {units - 1}, pairs different")
        pairs.append((first, second))
    if len(set(pairs)) < len(pairs):
        raise ValueError(f"edges {name!r} repeat a pair")
    return pairs


def _neighbours(shape: tuple[int, int], *, periodic: bool) -> Mask:
    """Which units of a lattice are nearest neighbours, (units, units), in the upper triangle."""
    unit = np.arange(shape[0] * shape[1]).reshape(shape)
    coupled = np.zeros((unit.size, unit.size), dtype=np.bool_)
    for axis in (0, 1):
        ahead = np.roll(unit, -1, axis)
        inside = np.ones(shape, dtype=np.bool_)
        if not periodic:
            np.moveaxis(inside, axis, 0)[-1] = False
        coupled[unit[inside], ahead[inside]] = True
    return np.asarray(coupled | coupled.T)


def checked_mask(mask: ArrayLike, n: int, m: int) -> Mask | None:
    """A read-only copy (n, m) of a mask, or None if it allows every coupling.

    Raises TypeError if it does not hold booleans, ValueError for another shape.
    """
    array = plain_array(mask, "mask").copy()
    if array.dtype != np.bool_:
        raise TypeError(f"mask must hold booleans, got dtype {array.dtype}")
    if array.shape != (n, m):
        raise ValueError(f"mask must have shape (n, m) = ({n}, {m}), got {array.shape}")
    if array.all():
        return None
    array.flags.writeable = False
    return array


def _windows(side: int, window: int, periodic: bool) -> int:
    return side if periodic else side - window + 1


def _mask(n: int, units: NDArray[np.intp], copies: int) -> Mask:
    """From the units (windows, size) of every window."""
    mask = np.zeros((n, units.shape[0]), dtype=np.bool_)
    mask[units, np.arange(units.shape[0])[:, None]] = True
    return np.tile(mask, (1, copies))


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if not is_whole(size) or size < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {size!r}")
