"""Checkpoints of the package rbms: groups update_N in an HDF5 file, with parameters.

They hold weight_matrix (n, m), vbias and hbias in single precision, below ``params`` and, for older
versions, a second time beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tnqbm.files import gate
from tnqbm.interop.models.source import Choices, Source, by_name

UPDATE = "update_"

_UNITS = {"BBRBM": "bits", "IIRBM": "spins"}
_NAMES = {"w": "weight_matrix", "a": "vbias", "b": "hbias"}


def read(path: Path, file: Any, members: list[str], choices: Choices) -> Source:
    """The RBM of one checkpoint, the last one if the caller does not say which.

    Raises ValueError for RBMs of other units than bits and spins, and a checkpoint that is not
    there; ArchiveError for a damaged file.
    """
    for name in ("names", "rows"):
        choices.refuse(name, path)
    numbers = [name.removeprefix(UPDATE) for name in members if name.startswith(UPDATE)]
    updates = sorted(int(number) for number in numbers if number.isdecimal())
    if not updates:
        raise ValueError(f"{path}: no group {UPDATE}N with a number N, only {', '.join(members)}")
    update = updates[-1] if choices.update is None else choices.update
    if update not in updates:
        there = ", ".join(map(str, updates[:20])) + (", ..." if len(updates) > 20 else "")
        raise ValueError(f"{path}: there is no update {update}; it holds {there}")
    units = _units_of(path, file, members, choices)
    with gate.reading(str(path)):
        group = gate.subgroup(file, f"{UPDATE}{update}")
        inner = "params" in gate.members(group)
        place = gate.subgroup(group, "params") if inner else group
        stored = gate.members(place)
        arrays = {name: gate.array(place, name) for name in _NAMES.values() if name in stored}
    where = f"{path}, {UPDATE}{update}"
    found = by_name("rbms", where, arrays, Choices(names=_NAMES, rows="visible", units=units))
    names = {key: f"{UPDATE}{update}/{'params/' * inner}{name}" for key, name in _NAMES.items()}
    return Source("rbms", found.parameters, names, update)


def _units_of(path: Path, file: Any, members: list[str], choices: Choices) -> str:
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
    if kind not in _UNITS:
        raise ValueError(
            f"{path} holds a {kind}; only RBMs of two-valued units ({', '.join(_UNITS)}) are "
            'sqRBMs with the Pauli set "Z"'
        )
    return _UNITS[kind]
