"""RBMs in HDF5 files: of rbms, of RestrictedBoltzmannMachines.jl, of MATLAB, and of others.

All are read through :mod:`tnqbm.files.gate`. Julia and MATLAB store arrays by columns, so their
axes stand in reverse order in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.kinds import described
from tnqbm.files.storage import open_hdf5
from tnqbm.interop.models.named import Found, finite
from tnqbm.interop.models.source import Choices, Source, by_name
from tnqbm.interop.models.units import Parameters

_JULIA = "rbm_hdf5_file_format_version"
_JULIA_VERSION = "1.0.0"
_JULIA_LAYERS = {"Binary": "bits", "Spin": "spins"}
_JULIA_SCALES = ("offset_v", "offset_h", "scale_v", "scale_h")

_RBMS = {"BBRBM": "bits", "IIRBM": "spins"}
_UPDATE = "update_"


def read(path: Path, choices: Choices) -> Source:
    """The RBM in an HDF5 file, whichever program wrote it.

    Raises ArchiveError if the file is damaged, or holds something of this package, and ValueError
    if there is no RBM of bits or spins in it, or it is not clear which.
    """
    with open_hdf5(path) as file:
        with gate.reading(str(path)):
            members = gate.members(file)
            ours = gate.has_attribute(file, "format")
            attributes = gate.attributes(file) if ours else {}
        if ours:
            raise ArchiveError(f"{path} is {described(attributes, members)}")
        if _JULIA in members:
            return _julia(path, file, choices)
        if any(name.startswith(_UPDATE) for name in members):
            return _rbms(path, file, members, choices)
        choices.refuse("update", path)
        return by_name("hdf5", str(path), _top_level(path, file, members), choices)


def read_matlab(path: Path, choices: Choices) -> Source:
    """The RBM in a MATLAB file of version 7.3, which is HDF5."""
    choices.refuse("update", path)
    with open_hdf5(path) as file:
        with gate.reading(str(path)):
            members = gate.members(file)
        arrays = {name: array.T for name, array in _top_level(path, file, members).items()}
    return by_name("matlab", str(path), arrays, choices.with_rows("visible"), by_shape=False)


def _top_level(path: Path, file: Any, members: list[str]) -> dict[str, NDArray[Any]]:
    with gate.reading(str(path)):
        shapes = gate.shapes(file)
        small = [name for name in members if 0 < len(shapes.get(name, ())) <= 2]
        return {name: gate.array(file, name) for name in small}


# --- the package rbms -----------------------------------------------------------------------------


def _rbms(path: Path, file: Any, members: list[str], choices: Choices) -> Source:
    """A checkpoint: groups update_N with the parameters at update N, in float32."""
    for name in ("names", "rows"):
        choices.refuse(name, path)
    numbers = [name.removeprefix(_UPDATE) for name in members if name.startswith(_UPDATE)]
    updates = sorted(int(number) for number in numbers if number.isdecimal())
    if not updates:
        raise ValueError(f"{path}: no group {_UPDATE}N with a number N, only {', '.join(members)}")
    update = updates[-1] if choices.update is None else choices.update
    if update not in updates:
        there = ", ".join(map(str, updates[:20])) + (", ..." if len(updates) > 20 else "")
        raise ValueError(f"{path}: there is no update {update}; it holds {there}")
    units = _rbms_units(path, file, members, choices)
    with gate.reading(str(path)):
        group = gate.subgroup(file, f"{_UPDATE}{update}")
        inner = "params" in gate.members(group)
        place = gate.subgroup(group, "params") if inner else group
        stored = gate.members(place)
        wanted = {"w": "weight_matrix", "a": "vbias", "b": "hbias"}
        arrays = {name: gate.array(place, name) for name in wanted.values() if name in stored}
    where = f"{path}, {_UPDATE}{update}"
    found = by_name("rbms", where, arrays, Choices(names=wanted, rows="visible", units=units))
    names = {key: f"{_UPDATE}{update}/{'params/' * inner}{name}" for key, name in wanted.items()}
    return Source("rbms", found.parameters, names, update)


def _rbms_units(path: Path, file: Any, members: list[str], choices: Choices) -> str:
    if "model_type" not in members:
        if choices.units is None:
            raise ValueError(
                f"{path} does not say of which kind its units are (it has no model_type); say it: "
                "units='bits' or units='spins'"
            )
        return choices.units
    choices.refuse("units", path)
    with gate.reading(str(path)):
        kind = gate.text(file, "model_type")
    if kind not in _RBMS:
        raise ValueError(
            f"{path} holds a {kind}; only RBMs of two-valued units ({', '.join(_RBMS)}) are sqRBMs "
            'with the Pauli set "Z"'
        )
    return _RBMS[kind]


# --- RestrictedBoltzmannMachines.jl ---------------------------------------------------------------


def _julia(path: Path, file: Any, choices: Choices) -> Source:
    """What RestrictedBoltzmannMachinesHDF5.jl saves: an RBM, or one of standardized units.

    Layers may have several axes; their units stand in Julia's order, the first axis fastest.
    """
    for name in ("names", "rows", "units", "update"):
        choices.refuse(name, path)
    with gate.reading(str(path)):
        version = gate.text(file, _JULIA)
        kind = gate.text(file, "rbm_type") if gate.has(file, "rbm_type") else "RBM"
    if version != _JULIA_VERSION or kind not in ("RBM", "StandardizedRBM"):
        raise ValueError(
            f"{path} holds a {kind} in version {version} of its format; RBM and StandardizedRBM of "
            f"version {_JULIA_VERSION} are read"
        )
    with gate.reading(str(path)):
        layers = {key: gate.text(file, f"{key}_type") for key in ("visible", "hidden")}
    for key, layer in layers.items():
        if layer not in _JULIA_LAYERS:
            raise ValueError(
                f"{path}: its {key} layer is {layer}; only layers of two-valued units "
                f'({", ".join(_JULIA_LAYERS)}) are sqRBMs with the Pauli set "Z"'
            )
    with gate.reading(str(path)):
        scales = _JULIA_SCALES if kind == "StandardizedRBM" else ()
        stored = ("weights", "visible_par", "hidden_par", *scales)
        arrays = {name: gate.array(file, name) for name in stored}
    arrays = {name: finite(array, name, str(path)) for name, array in arrays.items()}
    found = _julia_parameters(path, arrays)
    w, a, b, constant = found.w, found.a, found.b, 0.0
    if scales:
        offset_v, offset_h, scale_v, scale_h = (arrays[name].ravel() for name in scales)
        if (offset_v.shape, scale_v.shape, offset_h.shape, scale_h.shape) != (a.shape,) * 2 + (
            b.shape,
        ) * 2:
            raise ValueError(f"{path}: its offsets and scales do not have the shapes of its layers")
        if not (scale_v.all() and scale_h.all()):
            raise ValueError(f"{path}: one of its scales is 0, by which units would be divided")
        w = w / np.outer(scale_v, scale_h)
        a, b = a - w @ offset_h, b - offset_v @ w
        constant = float(offset_v @ w @ offset_h)
    kinds = _JULIA_LAYERS[layers["visible"]], _JULIA_LAYERS[layers["hidden"]]
    return Source("julia", Parameters(w, a, b, *kinds, constant), found.names)


def _julia_parameters(path: Path, arrays: dict[str, NDArray[np.float64]]) -> Found:
    """The weights (n, m) and biases of layers that may have several axes."""
    weights, visible, hidden = (arrays[name] for name in ("weights", "visible_par", "hidden_par"))
    units = visible.shape[:-1], hidden.shape[:-1]
    if (
        visible.shape[-1:] != (1,)
        or hidden.shape[-1:] != (1,)
        or weights.shape
        != (
            *units[1],
            *units[0],
        )
    ):
        shapes = {name: array.shape[::-1] for name, array in arrays.items()}
        raise ValueError(
            f"{path}: its weights do not have the shape of its layers, (visible..., hidden...): "
            f"{shapes}"
        )
    w = np.ascontiguousarray(weights.reshape(hidden.size, visible.size).T)
    names = {"w": "weights", "a": "visible_par", "b": "hidden_par"}
    return Found(w, visible.ravel(), hidden.ravel(), names)
