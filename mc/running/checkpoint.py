"""Checkpoints: the state of a training that is not finished, in a file of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mc.studies.identity import same_numbers
from mc.studies.schedule import Task
from mc.studies.seeds import Coordinate, canonical_json
from tnqbm.base.errors import ArchiveError
from tnqbm.files.storage import read_tree, write_tree

KIND = "checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A saved training: whose it is, when it started (ISO UTC), and the trainer's state."""

    coordinates: dict[str, Coordinate]
    seeds: list[int]
    started: str
    identity: str
    state: dict[str, NDArray[Any]]


def save_checkpoint(
    path: Path, task: Task, started: str, identity: str, state: Mapping[str, NDArray[Any]]
) -> None:
    """Write or replace a checkpoint atomically; OSError as for any file."""
    attributes = {
        "coordinates": canonical_json(task.coordinates),
        "started": started,
        "identity": identity,
    }
    arrays = {f"state/{name}": array for name, array in state.items()}
    arrays["seeds"] = np.array(task.seeds, dtype=np.int64)
    write_tree(path, arrays, attributes, kind=KIND, compress=False)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; ArchiveError if it is damaged, FileNotFoundError if there is none."""
    arrays, attributes = read_tree(path, kind=KIND)
    try:
        seeds = [int(seed) for seed in arrays.pop("seeds")]
        coordinates = json.loads(str(attributes["coordinates"]))
        return Checkpoint(
            coordinates=coordinates,
            seeds=seeds,
            started=str(attributes["started"]),
            identity=str(attributes["identity"]),
            state={name.removeprefix("state/"): array for name, array in arrays.items()},
        )
    except (KeyError, ValueError) as error:
        raise ArchiveError(f"{path} is not a checkpoint of this version: {error!r}") from error


def usable_checkpoints(folder: Path, identity: str) -> tuple[list[Checkpoint], list[str]]:
    """Checkpoints of a study, without their states, and a warning for each that is of no use.

    Useless ones are removed: their runs start again.
    """
    usable: list[Checkpoint] = []
    warnings: list[str] = []
    for path in sorted(folder.glob("*.h5")):
        try:
            loaded = load_checkpoint(path)
        except (ArchiveError, OSError) as error:
            warnings.append(f"{error}; its runs start again")
        else:
            if same_numbers(loaded.identity, identity, loaded.coordinates):
                usable.append(Checkpoint(loaded.coordinates, loaded.seeds, "", "", {}))
                continue
            warnings.append(f"checkpoint {path} is of other settings; its runs start again")
        with contextlib.suppress(OSError):
            path.unlink()
    return usable, warnings


def begun(checkpoints: Sequence[Checkpoint]) -> list[tuple[dict[str, Coordinate], list[int]]]:
    """(coordinates, seeds) of each checkpoint, as the schedule takes them."""
    return [(checkpoint.coordinates, checkpoint.seeds) for checkpoint in checkpoints]
