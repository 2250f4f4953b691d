"""Parameters of runs: their axis in a block, their names, and the models that they are of.

Those of sqRBMs are a, b, w one after another, and those of sqBMs of small hidden groups and of deep
sqRBMs stand where :class:`tnqbm.hamiltonian.layout.GroupLayout` and
:class:`tnqbm.hamiltonian.deep_layout.DeepLayout` say, which the coordinates decide. Those of other
models are the coefficients of the Pauli strings that stand in the block, so that nothing else has
to be known of the family; so were those of all sqBMs until version 6 of the format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive.coordinates import Coordinates
from tnqbm.core.connectivity import DENSE, named
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.files.gate import Arrays
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.deep_layout import DeepLayout
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.kinds import Model
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.hamiltonian.terms import check_string
from tnqbm.training.families import layout_of

FAMILY = "family"
"""Coordinate of runs of any other family than sqRBMs."""

TERMS = "terms"
"""Data set of the Pauli strings that the parameters of such runs are the coefficients of."""


def _shape(coordinates: Mapping[str, Any]) -> Shape:
    return Shape(coordinates["visible"], coordinates["hidden"], len(coordinates["paulis"]))


def count(coordinates: Mapping[str, Any], arrays: Arrays) -> int:
    """Length of the axis of parameters of a block with these arrays; 0 if it has none."""
    if TERMS in arrays:
        return int(arrays[TERMS].shape[-1]) if arrays[TERMS].ndim else 0
    if FAMILY not in coordinates:
        return _shape(coordinates).size
    layout = _layout(coordinates)
    return 0 if layout is None else layout.size


def names(coordinates: Mapping[str, Any], arrays: Arrays) -> list[str]:
    """Names of the parameters of a block: :meth:`Shape.names` of sqRBMs, those of the layout of
    sqBMs, else the strings."""
    if TERMS in arrays:
        return [str(term) for term in arrays[TERMS].ravel()]
    if FAMILY in coordinates:
        layout = _layout(coordinates)
        return [] if layout is None else layout.names()
    return list(_shape(coordinates).names(coordinates["paulis"]))


def model(theta: NDArray[np.float64], coordinates: Coordinates, arrays: Arrays) -> Model:
    """The model of one row of parameters of a block."""
    c = coordinates
    if TERMS in arrays:
        terms = dict(zip(names(c, arrays), theta.tolist(), strict=True))
        return PauliHamiltonian(terms, c["visible"], n_qubits=c["visible"] + c["hidden"])
    if FAMILY in c:
        layout = _layout(c)
        if layout is None:
            raise ValueError(f"it has parameters of family {c[FAMILY]!r}, but no {TERMS}")
        return (
            DeepSqRBM.of(layout, theta)
            if isinstance(layout, DeepLayout)
            else SqBM.of(layout, theta)
        )
    mask = _mask(str(c.get("connectivity", DENSE)), c["visible"], c["hidden"])
    return SqRBM.from_vector(theta, c["visible"], c["hidden"], c["paulis"], mask)


def _layout(coordinates: Mapping[str, Any]) -> GroupLayout | DeepLayout | None:
    """Where parameters of sqBMs of small groups and of deep sqRBMs stand; None for others."""
    try:
        return layout_of(coordinates)
    except ValueError:
        return None


def _mask(connectivity: str, n: int, m: int) -> NDArray[np.bool_] | None:
    """The mask of runs with this coordinate; None for a name that this version does not know."""
    try:
        return named(connectivity, n, m)
    except ValueError:
        return None


def terms_of(models: Sequence[Model], where: str) -> Arrays:
    """The strings of all Pauli sums as an array by its name, none for other models.

    ValueError unless all models have the same.
    """
    listed = [tuple(each.terms) for each in models if isinstance(each, PauliHamiltonian)]
    if len(set(listed)) > 1:
        raise ValueError(f"{where}: its models have different terms")
    return {TERMS: np.array(listed[0])} if listed else {}


def check_model(model: Model, coordinates: Coordinates, where: str) -> None:
    """ValueError if a model has other coordinates than its run."""
    sizes = tuple(coordinates[key] for key in ("visible", "hidden"))
    right = (model.n_visible, model.n_hidden) == sizes
    if isinstance(model, SqRBM):
        right = right and FAMILY not in coordinates and model.paulis == coordinates["paulis"]
    elif isinstance(model, SqBM | DeepSqRBM):
        right = right and FAMILY in coordinates and model.layout == _layout(coordinates)
    else:
        right = right and FAMILY in coordinates
    if not right:
        raise ValueError(f"{where}: its model is {model!r}, which has other coordinates")


def check_terms(coordinates: Coordinates, arrays: Arrays) -> None:
    """ValueError unless the strings of a block are those of its coordinates' qubits."""
    kept = any(name in arrays for name in ("parameters", "snapshots"))
    if TERMS not in arrays:
        if kept and FAMILY in coordinates and _layout(coordinates) is None:
            raise ValueError(f"it has parameters of family {coordinates[FAMILY]!r}, but no {TERMS}")
        return
    if FAMILY not in coordinates:
        raise ValueError(f"it has {TERMS}, but is of no family that has any")
    listed = names(coordinates, arrays)
    for term in listed:
        check_string(term, coordinates["visible"] + coordinates["hidden"])
    if len(set(listed)) < len(listed):
        raise ValueError(f"one of its {TERMS} occurs twice")
