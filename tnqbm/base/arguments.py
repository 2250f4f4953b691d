"""Arguments of public functions, checked before anything is done with them.

A mistake such as ``"8"`` for 8 or an array for a :class:`tnqbm.Target` is then one line that says
which argument is wrong, what it is, and what to do, instead of an error from inside NumPy.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

Kind = Callable[[Any], Exception | None]
"""What is wrong with a value, an error "must be ...", or None."""


def checked(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: an error "name must be ..., got ..." for arguments that are not of their kind.

    Defaults are not checked, so None passes where it is one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        defaults = {name: signature.parameters[name].default for name in kinds}

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:
                return function(*args, **kwargs)  # Python says which argument is missing or unknown
            for name, kind in kinds.items():
                if name in given and given[name] is not defaults[name]:
                    error = kind(given[name])
                    if error is not None:
                        raise type(error)(f"{name} {error}")
            return function(*args, **kwargs)

        return call

    return decorate


def shown(value: object) -> str:
    """A wrong value in a message, short: its repr, or what it is."""
    if value is None or isinstance(value, bool | int | float | complex | str | np.generic):
        try:
            text = repr(value)
        except ValueError:  # an integer of more digits than Python writes out
            return "an integer of thousands of digits"
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'AEIOUaeiou' else 'a'} {kind}"


def whole(value: object) -> Exception | None:
    """Kind of whole numbers."""
    if is_whole(value):
        return None if abs(int(value)) < 2**63 else ValueError("must be below 2^63")
    hint = ""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        hint = f"; write {value.strip()} without quotes"
    elif isinstance(value, float | np.floating) and value.is_integer():
        hint = f"; write {int(value)}"
    return TypeError(f"must be a whole number, got {shown(value)}{hint}")


def at_least(least: int) -> Kind:
    """Kind of whole numbers from ``least`` on."""

    def kind(value: object) -> Exception | None:
        wrong = whole(value)
        if wrong is None and int(value) < least:  # type: ignore[call-overload]
            return ValueError(f"must be at least {least}, got {shown(value)}")
        return wrong

    return kind


def among(*names: str) -> Kind:
    """Kind of names out of a list."""

    def kind(value: object) -> Exception | None:
        if isinstance(value, str) and value not in names:
            return ValueError(f"must be one of {', '.join(names)}, got {shown(value)}")
        return text(value)

    return kind


def number(value: object) -> Exception | None:
    """Kind of real numbers."""
    if isinstance(value, float | np.floating):
        return None
    if is_whole(value):
        largest = int(sys.float_info.max)
        return None if abs(int(value)) <= largest else ValueError("must be finite")
    return TypeError(f"must be a number, got {shown(value)}")


def text(value: object) -> Exception | None:
    """Kind of names."""
    return None if isinstance(value, str) else TypeError(f"must be text, got {shown(value)}")


def flag(value: object) -> Exception | None:
    """Kind of truth values."""
    if isinstance(value, bool | np.bool_):
        return None
    return TypeError(f"must be True or False, got {shown(value)}")


def path(value: object) -> Exception | None:
    """Kind of files' names."""
    if isinstance(value, str | os.PathLike):
        return None
    return TypeError(f"must be the path of a file, got {shown(value)}")


def function(value: object) -> Exception | None:
    """Kind of what can be called."""
    return None if callable(value) else TypeError(f"must be a function, got {shown(value)}")


def seed(value: object) -> Exception | None:
    """Kind of seeds: whole numbers from 0 on and SeedSequences."""
    if isinstance(value, np.random.SeedSequence):
        return None
    if not is_whole(value):
        return TypeError(
            f"must be a whole number or a numpy.random.SeedSequence, got {shown(value)}"
        )
    if int(value) < 0:
        return ValueError(f"must not be negative, got {shown(value)}")
    return None


def generator(value: object) -> Exception | None:
    """Kind of :func:`seed`, and generators of random numbers."""
    return None if isinstance(value, np.random.Generator) else seed(value)


def one_of(*classes: type, hint: str = "") -> Kind:
    """Kind of objects of certain classes; ``hint`` says how one is made."""
    names = " or ".join(cls.__name__ for cls in classes)
    article = "an" if names.startswith(("A", "E", "I", "O", "Sq")) else "a"

    def kind(value: object) -> Exception | None:
        if isinstance(value, classes):
            return None
        more = f"; {hint}" if hint else ""
        return TypeError(f"must be {article} {names}, got {shown(value)}{more}")

    return kind


def several(kind: Kind) -> Kind:
    """Kind of lists and tuples of values of one kind."""

    def all_of(value: object) -> Exception | None:
        if not isinstance(value, list | tuple):
            return TypeError(f"must be a list, got {shown(value)}")
        for place, entry in enumerate(value):
            error = kind(entry)
            if error is not None:
                return type(error)(f"entry {place} {error}")
        return None

    return all_of


def rows(*classes: type) -> Kind:
    """Kind of arrays of 0 and 1, and of objects of certain classes instead."""
    names = "".join(f" or a {cls.__name__}" for cls in classes)

    def kind(value: object) -> Exception | None:
        if isinstance(value, classes):
            return None
        try:
            array = plain_array(value, "")
        except (TypeError, ValueError) as error:
            return type(error)(str(error).strip())
        if array.ndim and array.dtype.kind in "biuf":
            return None
        return TypeError(f"must be rows of 0 and 1, an array (N, n){names}, got {shown(value)}")

    return kind


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is an integer of Python or NumPy; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number of Python or NumPy."""
    return is_whole(value) or isinstance(value, float | np.floating)


def check_whole(name: str, value: Any, least: int | None = None) -> int:
    """The value as an int; TypeError if it is no whole number, ValueError below ``least``."""
    if error := whole(value):
        raise type(error)(f"{name} {error}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")
    return int(value)


def plain_array(value: object, name: str) -> NDArray[Any]:
    """The value as an array; ValueError or TypeError for what is none, or only looks like one.

    Masked arrays are refused if an entry is masked: NumPy would take what lies beneath.
    """
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        if mask.any():
            where = tuple(int(k) for k in np.argwhere(mask)[0])
            raise ValueError(
                f"{name} must have no masked entries, got {int(mask.sum())}, the first at {where}; "
                "missing values are not guessed: leave such rows out, or fill them in by .filled(0)"
            )
        return np.asarray(value.data)
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(
            f"{name} must be a dense array, got a sparse one; .toarray() makes it dense"
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, with rows of one length: {error}") from None


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """ValueError for a value that is none of the choices, with the one that was probably meant."""
    if value not in choices:
        near = difflib.get_close_matches(str(value).lower(), choices, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}{hint}")


def unknown_names(given: Collection[str], known: Collection[str], what: str) -> None:
    """TypeError for the first name that is not known, with the one that was probably meant."""
    for name in given:
        if name not in known:
            near = _ALSO.get(name) or next(iter(difflib.get_close_matches(name, known, 1)), None)
            meant = f"; did you mean {near!r}?" if near in known else ""
            raise TypeError(f"{what} has no setting {name!r}{meant}")


_ALSO = {
    "lr": "learning_rate", "eta": "learning_rate", "alpha": "learning_rate",
    "rate": "learning_rate", "epochs": "iterations", "n_iter": "iterations",
    "max_iter": "iterations", "updates": "iterations", "k": "steps", "sweeps": "steps",
    "n_chains": "chains", "n_ladders": "chains", "negative_phase": "gradient",
    "method": "gradient", "eps": "epsilon", "l2": "weight_decay", "betas": "ais_betas",
    "n_betas": "ais_betas", "n_temperatures": "temperatures", "centered": "centred",
    "batch": "batch_size", "batchsize": "batch_size", "dtype": "precision",
}  # fmt: skip
"""What other libraries, and other functions of this one, call settings."""
