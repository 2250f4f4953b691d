"""Samples cut into rows to train with, to validate with and to test with."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, plain_array
from tnqbm.core import streams
from tnqbm.core.states import as_states, row_keys

REPEATS = ("together", "anywhere")
"""What :func:`split` does with equal rows: keep them in one part, or let each fall by itself."""


@overload
def split(
    rows: ArrayLike,
    test_fraction: float = ...,
    *,
    valid_fraction: None = None,
    repeats: str = ...,
    seed: int | np.random.SeedSequence = ...,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]: ...


@overload
def split(
    rows: ArrayLike,
    test_fraction: float = ...,
    *,
    valid_fraction: float,
    repeats: str = ...,
    seed: int | np.random.SeedSequence = ...,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]: ...


@checked(
    test_fraction=arguments.number,
    valid_fraction=arguments.number,
    repeats=arguments.text,
    seed=arguments.seed,
)
def split(
    rows: ArrayLike,
    test_fraction: float = 0.2,
    *,
    valid_fraction: float | None = None,
    repeats: str = "together",
    seed: int | np.random.SeedSequence = 0,
) -> tuple[NDArray[np.uint8], ...]:
    """Samples (N, n) shuffled and cut in two: to train with, and to test with.

    The last round(N * test_fraction) rows of the shuffled order are the test rows; with
    ``test_fraction = 0`` there are none. With ``valid_fraction``, the rows before them are the
    validation rows (to choose settings with), and the parts are (train, valid, test).

    With ``repeats = "together"`` rows that are equal fall on one side, so that nothing is tested
    on what it was trained with; the number of held-out rows is then the nearest possible one.
    This is right where a repeated row is the same thing recorded twice. Of independent draws from
    a distribution, which repeat because some states are likely, ``repeats = "anywhere"`` keeps
    the held-out likelihood unbiased: each row falls where it falls. Without repeated rows both
    give the same parts.

    Raises ValueError for rows that are not 0 and 1, a fraction outside [0, 1), or fractions that
    leave a part empty.
    """
    given = plain_array(rows, "samples")
    if given.ndim != 2 or given.size == 0:
        raise ValueError(f"samples must have shape (N, n) with N, n >= 1, got {given.shape}")
    states = as_states(given, given.shape[1])
    places = split_places(
        states, test_fraction, valid_fraction=valid_fraction, repeats=repeats, seed=seed
    )
    train, valid, test = (states[rows] for rows in places)
    return (train, test) if valid_fraction is None else (train, valid, test)


def split_places(
    states: NDArray[np.uint8],
    test_fraction: float,
    *,
    valid_fraction: float | None,
    repeats: str,
    seed: int | np.random.SeedSequence,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Which rows :func:`split` gives to train with, to validate with and to test with, in order."""
    check_fractions(test_fraction, valid_fraction)
    if repeats not in REPEATS:
        raise ValueError(f"repeats must be one of {', '.join(REPEATS)}, got {repeats!r}")
    order = streams.generator(seed).permutation(states.shape[0])
    first = _first_equal(states) if repeats == "together" else np.arange(len(states))
    fractions = {"test_fraction": test_fraction, "valid_fraction": valid_fraction or 0.0}
    part = _parts(order, first, fractions)
    train, test, valid = (order[part == k] for k in range(3))
    return train, valid, test


def _first_equal(states: NDArray[np.uint8]) -> NDArray[np.intp]:
    """For each row the index of the first row that equals it, (N,)."""
    _, index, inverse = np.unique(row_keys(states), return_index=True, return_inverse=True)
    return np.asarray(index[inverse])


def _parts(
    order: NDArray[np.intp], first: NDArray[np.intp], fractions: dict[str, float]
) -> NDArray[np.int8]:
    """The part of each row of the shuffled order: 0 to train with, k of the k-th fraction.

    ``first`` (N,) names for each row the first one that must share its part. Where that one stands
    in the shuffled order decides for all of them, so every distinct row is as likely to be held
    out as any other. Parts are cut off from the end.
    """
    count = order.size
    place = np.empty(count, dtype=np.intp)
    place[order] = np.arange(count)
    groups, sizes = np.unique(first, return_counts=True)
    from_the_end = np.argsort(-place[groups])
    ends = np.cumsum(sizes[from_the_end])
    part = np.zeros(count, dtype=np.int8)
    start = wanted = 0
    for k, (name, fraction) in enumerate(fractions.items(), 1):
        rows = round(count * fraction)
        wanted += rows
        stop = int(np.argmin(np.abs(ends - wanted))) + 1 if rows else start
        if fraction and not start < stop < groups.size:
            distinct = "" if groups.size == count else f" ({groups.size} of them distinct)"
            raise ValueError(
                f"{name} = {fraction} of {count} rows{distinct} gives {rows} "
                f"{name.removesuffix('_fraction')} rows; every part needs at least one "
                f"({name} = 0 holds none out)"
            )
        part[np.isin(first[order], groups[from_the_end[start:stop]])] = k
        start = stop
    return part


def check_fractions(test_fraction: float, valid_fraction: float | None) -> None:
    for name, value in (("test", test_fraction), ("valid", valid_fraction)):
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"{name}_fraction must be at least 0 and less than 1, got {value}")
    if test_fraction + (valid_fraction or 0.0) >= 1:
        raise ValueError(
            f"test_fraction + valid_fraction must be less than 1, got {test_fraction} and "
            f"{valid_fraction}"
        )
