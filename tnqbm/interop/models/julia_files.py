"""Files of RestrictedBoltzmannMachinesHDF5.jl, which saves RBMs of RestrictedBoltzmannMachines.jl.

Julia stores arrays by columns, so their axes stand in reverse order in the file. Layers may have
several axes; their units are numbered in Julia's order, the first axis fastest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.files import gate
from tnqbm.interop.models.named import finite
from tnqbm.interop.models.source import Choices, Source
from tnqbm.interop.models.units import Parameters

MARK = "rbm_hdf5_file_format_version"
"""The text in a file by which it is known."""

_VERSION = "1.0.0"
_UNITS = {"Binary": "bits", "Spin": "spins"}
_NAMES = {"w": "weights", "a": "visible_par", "b": "hidden_par"}
_SCALES = ("offset_v", "offset_h", "scale_v", "scale_h")

Arrays = dict[str, NDArray[np.float64]]


def read(path: Path, file: Any, choices: Choices) -> Source:
    """The RBM in an open file, plain or of standardized units.

    Raises ValueError for other layers, versions and shapes, ArchiveError for a damaged file.
    """
    for name in ("names", "rows", "units", "update"):
        choices.refuse(name, path)
    standardized = _is_standardized(path, file)
    visible, hidden = (_layer(path, file, key) for key in ("visible", "hidden"))
    stored = [*_NAMES.values(), *(_SCALES if standardized else ())]
    with gate.reading(str(path)):
        raw = {name: gate.array(file, name) for name in stored}
    arrays = {name: finite(array, name, str(path)) for name, array in raw.items()}
    parameters = _plain(path, arrays, visible, hidden)
    if standardized:
        parameters = _unstandardized(path, arrays, parameters)
    return Source("julia", parameters, dict(_NAMES))


def _is_standardized(path: Path, file: Any) -> bool:
    with gate.reading(str(path)):
        version = gate.text(file, MARK)
        kind = gate.text(file, "rbm_type") if gate.has(file, "rbm_type") else "RBM"
    if version != _VERSION or kind not in ("RBM", "StandardizedRBM"):
        raise ValueError(
            f"{path} holds a {kind} in version {version} of its format; RBM and StandardizedRBM of "
            f"version {_VERSION} are read"
        )
    return kind == "StandardizedRBM"


def _layer(path: Path, file: Any, key: str) -> str:
    """The units of a layer, "bits" or "spins"."""
    with gate.reading(str(path)):
        layer = gate.text(file, f"{key}_type")
    if layer not in _UNITS:
        raise ValueError(
            f"{path}: its {key} layer is {layer}; only layers of two-valued units "
            f'({", ".join(_UNITS)}) are sqRBMs with the Pauli set "Z"'
        )
    return _UNITS[layer]


def _plain(path: Path, arrays: Arrays, visible: str, hidden: str) -> Parameters:
    """Weights and fields, with all units of a layer in a row.

    In the file they are (hidden..., visible...), (visible..., 1) and (hidden..., 1), axes reversed.
    """
    w, a, b = (arrays[name] for name in _NAMES.values())
    fits = a.shape[-1:] == b.shape[-1:] == (1,) and w.shape == b.shape[:-1] + a.shape[:-1]
    if not fits:
        shapes = {name: arrays[name].shape[::-1] for name in _NAMES.values()}
        raise ValueError(
            f"{path}: its weights do not have the shape of its layers, (visible..., hidden...): "
            f"{shapes}"
        )
    turned = np.ascontiguousarray(w.reshape(b.size, a.size).T)
    return Parameters(turned, a.ravel(), b.ravel(), visible, hidden)


def _unstandardized(path: Path, arrays: Arrays, rbm: Parameters) -> Parameters:
    """The plain RBM of one whose units x couple as (x - offset) / scale."""
    offset_v, offset_h, scale_v, scale_h = (arrays[name].ravel() for name in _SCALES)
    if {offset_v.size, scale_v.size} != {rbm.a.size} or {offset_h.size, scale_h.size} != {
        rbm.b.size
    }:
        raise ValueError(f"{path}: its offsets and scales do not have the shapes of its layers")
    if not (scale_v.all() and scale_h.all()):
        raise ValueError(f"{path}: one of its scales is 0, by which units would be divided")
    w = rbm.w / np.outer(scale_v, scale_h)
    return Parameters(
        w,
        rbm.a - w @ offset_h,
        rbm.b - offset_v @ w,
        rbm.visible,
        rbm.hidden,
        float(offset_v @ w @ offset_h),
    )
