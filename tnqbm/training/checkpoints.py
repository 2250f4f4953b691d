"""Files from which a training in Python goes on: its state, and what it is a training of.

Studies have checkpoints of their own (:mod:`mc.running.checkpoint`), which name runs of a study.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import shown
from tnqbm.files import gate
from tnqbm.files.content import content_digest, storable
from tnqbm.files.storage import read_tree, sealed_kind, write_tree
from tnqbm.training.settings import DEFAULT_PARTS, all_settings, default_of

if TYPE_CHECKING:
    from tnqbm.training.problems import Problem
    from tnqbm.training.settings import TrainingSettings

State = dict[str, NDArray[np.generic]]

KIND = "training"

_PARTS = {
    "models": "it began from other models",
    "data": "it has other data",
    "held_out": "it has other test or validation data",
    "keys": "it has other keys of random streams (or another seed)",
}
"""What must be the same in a training that goes on, and what to say where it is not."""


@dataclass(frozen=True)
class Identity:
    """What a training is of: settings by name, and digests of models, data and keys."""

    settings: dict[str, Any]
    digests: dict[str, str]


def identity_of(problem: Problem, settings: TrainingSettings, keys: NDArray[np.uint64]) -> Identity:
    """The identity of a training."""
    held_out: dict[str, NDArray[Any]] = {}
    for name, (states, probabilities) in problem.held_out.items():
        held_out |= {f"{name}/states": states, f"{name}/probabilities": probabilities}
    parts: dict[str, Mapping[str, NDArray[Any]]] = {
        "models": {"theta": problem.theta, "frozen": problem.frozen},
        "data": {"states": problem.states, "probabilities": problem.probabilities},
        "held_out": held_out,
        "keys": {"keys": keys},
    }
    digests = {
        part: content_digest(
            {name: storable(name, array) for name, array in arrays.items()},
            {"family": problem.family},
        )
        for part, arrays in parts.items()
    }
    return Identity({name: _plain(value) for name, value in settings.flat().items()}, digests)


def _plain(value: Any) -> Any:
    """A setting as JSON knows it; of an object its class only."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return f"{type(value).__module__}.{type(value).__qualname__}"


def write_checkpoint(path: str | Path, state: Mapping[str, Any], identity: Identity) -> None:
    """Write a state; only a file of this kind is replaced. Errors as :meth:`Trainer.save`'s."""
    path = Path(path)
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"{path}: a training is saved to an HDF5 file; give a name such as run.h5")
    replaced = path.is_file() and sealed_kind(path) == f"tnqbm-{KIND}"
    attributes = {"settings": json.dumps(identity.settings, sort_keys=True), **identity.digests}
    arrays = {f"state/{name}": np.asarray(array) for name, array in state.items()}
    write_tree(path, arrays, attributes, kind=KIND, compress=False, overwrite=replaced)


def read_checkpoint(path: str | Path, identity: Identity) -> State:
    """The state in a file; ArchiveError for damage, ValueError if it is of another training."""
    arrays, attributes = read_tree(path, kind=KIND)
    with gate.reading(str(path)):
        settings = json.loads(str(attributes["settings"]))
        digests = {part: str(attributes[part]) for part in _PARTS}
    differing = [
        name
        for name in (*identity.settings, *settings)
        if _value(settings, name) != _value(identity.settings, name)
    ]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{path} is of another training: it has {name} = {shown(settings.get(name))}, this "
            f"trainer {shown(identity.settings.get(name))}"
        )
    for part, words in _PARTS.items():
        if digests[part] != identity.digests[part]:
            raise ValueError(f"{path} is of another training: {words}")
    return {name.removeprefix("state/"): array for name, array in arrays.items()}


def _value(settings: Mapping[str, Any], name: str) -> Any:
    """A setting; its default where a file of an earlier version does not know it."""
    if name in settings:
        return settings[name]
    return _plain(default_of(name)) if name in all_settings() or name in DEFAULT_PARTS else None
