"""The three parameters of an RBM among named arrays: by name, and by shape where it is clear.

Programs call them differently and store the weights either way round. Nothing is guessed: names,
shapes and what the caller says must leave one reading.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import one_of, plain_array
from tnqbm.base.limits import MAX_PARAMETER

Float = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

ROWS = ("visible", "hidden")
"""What the rows of a weight matrix belong to."""

NAMES = one_of(Mapping, hint="such as {'w': 'weight'}")
"""Kind of arguments that hold names of w, a and b, see :mod:`tnqbm.base.arguments`."""

MEANING = {"w": "weights", "a": "visible biases", "b": "hidden biases"}

_KNOWN = {
    "w": {"w", "weight", "weights", "weightmatrix", "vishid", "hidpen", "components", "couplings"},
    "a": {
        "vb", "bv", "bvis", "vbias", "vbiases", "biasv", "visbias", "visbiases",
        "visiblebias", "visiblebiases", "biasvisible", "interceptvisible", "hidgenbiases",
    },
    "b": {
        "hb", "bh", "bhid", "hbias", "hbiases", "biash", "hidbias", "hidbiases",
        "hiddenbias", "hiddenbiases", "biashidden", "intercepthidden", "hidrecbiases",
        "penrecbiases",
    },
}  # fmt: skip
"""What programs call the parameters, in small letters and without other signs."""

_PAIRS = (("a", "b"), ("v", "h"))
"""Single letters for the visible and the hidden biases, known only side by side: b next to c is the
visible bias of some and the hidden bias of others, and h next to J a field of visible units."""


@dataclass(frozen=True)
class Found:
    """The parameters w (n, m), a (n,) and b (m,), and the names that they had."""

    w: Float
    a: Float
    b: Float
    names: dict[str, str]


def find(
    arrays: Arrays,
    *,
    names: Mapping[str, str] | None = None,
    rows: str | None = None,
    where: str,
    alone: bool = False,
    by_shape: bool = True,
) -> Found:
    """The parameters among ``arrays``.

    ``names`` says under which name each of w, a and b stands, ``rows`` whether the rows of the
    weights are visible or hidden units; what is left open follows from known names and, with
    ``by_shape``, from shapes. With ``alone`` other arrays beside the three are an
    error, unless all three are named: they may be parameters of something more than an RBM. Raises
    ValueError that begins with ``where`` and lists what there is, if a parameter is missing or
    there is more than one reading, and for values that are not finite.
    """
    if unknown := set(names or ()) - set(MEANING):
        raise ValueError(f"names has the keys w, a and b, got {sorted(unknown)[0]!r}")
    if rows is not None and rows not in ROWS:
        raise ValueError(f"rows must be one of {', '.join(ROWS)}, got {rows!r}")
    for key, name in (names or {}).items():
        if name not in arrays:
            raise ValueError(f"{where}: there is no {name!r} ({key}); {_holds(arrays)}")
    candidates = _candidates(arrays, names or {}, by_shape)
    for key, found in candidates.items():
        if not found:
            raise ValueError(f"{where}: no {MEANING[key]} found; {_holds(arrays)}; {_CURE}")
    readings = list(_readings(arrays, candidates, rows))
    if len(readings) != 1:
        raise ValueError(f"{where}: {_problem(readings, rows)}; {_holds(arrays)}; {_CURE}")
    chosen, turned = readings[0]
    others = [name for name in _arrays_only(arrays) if name not in chosen.values()]
    if alone and others and len(names or ()) < len(MEANING):
        raise ValueError(
            f"{where}: beside weights and biases it holds {', '.join(others)}, so it may be more "
            f"than an RBM; name the three that count: {_CURE}"
        )
    values = {key: finite(arrays[name], name, where) for key, name in chosen.items()}
    w = values["w"].T if turned else values["w"]
    return Found(np.ascontiguousarray(w), values["a"].ravel(), values["b"].ravel(), dict(chosen))


_CURE = (
    "say which is which by names={'w': ..., 'a': ..., 'b': ...} (weights, visible and hidden "
    "biases), and by rows='visible' or rows='hidden' what the rows of the weights are"
)


def finite(value: Any, name: str, where: str) -> Float:
    """An array of real numbers as float64; ValueError for anything else, and for NaN."""
    array = plain_array(value, name)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{where}: {name} must hold real numbers, got dtype {array.dtype}")
    array = array.astype(np.float64)
    bad = ~(np.abs(array) <= MAX_PARAMETER)
    if bad.any():
        place = [int(k) for k in np.argwhere(bad)[0]]
        raise ValueError(
            f"{where}: {name}{place} is {array[tuple(place)]}; parameters must be finite and at "
            f"most {MAX_PARAMETER:g} in magnitude"
        )
    return array


def _arrays_only(arrays: Arrays) -> list[str]:
    """Names of what is no single number."""
    return [name for name, array in arrays.items() if np.ndim(array)]


def _candidates(arrays: Arrays, names: Mapping[str, str], by_shape: bool) -> dict[str, list[str]]:
    """For each parameter the names that it may have."""
    plain = {name: _plain(name) for name in _arrays_only(arrays)}
    pairs = [pair for pair in _PAIRS if set(pair) <= set(plain.values())]
    known = {
        "w": _KNOWN["w"],
        "a": _KNOWN["a"].union(visible for visible, _ in pairs),
        "b": _KNOWN["b"].union(hidden for _, hidden in pairs),
    }
    fixed = {
        key: [names[key]] if key in names else [name for name in plain if plain[name] in known[key]]
        for key in MEANING
    }
    if not by_shape:
        return fixed
    taken = {name for found in fixed.values() for name in found}
    free = [name for name in plain if name not in taken]
    matrices = [name for name in free if arrays[name].ndim == 2]
    vectors = [name for name in free if _is_vector(arrays[name])]
    return {key: fixed[key] or (matrices if key == "w" else vectors) for key in MEANING}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", re.split(r"[./]", name)[-1].lower())


def _is_vector(array: NDArray[Any]) -> bool:
    return array.ndim >= 1 and array.size == max(array.shape)


def _readings(
    arrays: Arrays, candidates: Mapping[str, list[str]], rows: str | None
) -> Iterator[tuple[dict[str, str], bool]]:
    """All choices of three arrays whose shapes agree, and whether the weights are turned."""
    for w, a, b in itertools.product(*(candidates[key] for key in MEANING)):
        if len({w, a, b}) < 3 or arrays[w].ndim != 2:
            continue
        if not (_is_vector(arrays[a]) and _is_vector(arrays[b])):
            continue
        shape = arrays[a].size, arrays[b].size
        for turned in (False, True):
            says = rows is None or turned == (rows == "hidden")
            if says and arrays[w].shape == (shape[::-1] if turned else shape):
                yield {"w": w, "a": a, "b": b}, turned


def _problem(readings: list[tuple[dict[str, str], bool]], rows: str | None) -> str:
    if readings:
        square = len({tuple(chosen.values()) for chosen, _ in readings}) == 1
        more = " as the weights are square," if square else ""
        return f"there is more than one reading,{more} and none is guessed"
    of = f" whose rows are {rows} units" if rows else ""
    return f"no weights (n, m){of} go with visible biases (n,) and hidden biases (m,)"


def _holds(arrays: Arrays) -> str:
    if not arrays:
        return "it holds no arrays"
    shown = [f"{name} {tuple(np.shape(array))}" for name, array in arrays.items()]
    return f"it holds {', '.join(shown[:20])}" + (", ..." if len(shown) > 20 else "")
