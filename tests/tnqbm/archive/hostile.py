"""Archives as a stranger could send them: changed inside, and sealed again, as anybody can."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.archive_samples import coordinates, make_archive, records
from tnqbm.archive import Archive, merge
from tnqbm.archive.verify import verify_archive
from tnqbm.base.errors import ArchiveError
from tnqbm.files.content import content_digest, set_attribute, storable
from tnqbm.files.gate import attributes, tree
from tnqbm.files.storage import SEAL_SIZE, _seal_block

Change = Callable[[Any, Any], None]
"""What is done to the root group and the first block of an archive."""


def small_archive(path: Path) -> Path:
    """Two blocks of two runs, with snapshots, and rows long enough to be chunked."""
    made = [records(coordinates(paulis), [1, 2], rows=80) for paulis in ("XZ", "Z")]
    return make_archive(path, made)


def reseal(path: Path, kind: str = "tnqbm-archive") -> None:
    data = path.read_bytes()
    digest = hashlib.sha256(f"{kind} {len(data)}\n".encode() + data[SEAL_SIZE:])
    path.write_bytes(_seal_block(kind, len(data), digest.hexdigest()) + data[SEAL_SIZE:])


def changed(source: Path, target: Path, change: Change, *, finals: bool = False) -> Path:
    """A copy of an archive with a change in it and a good seal.

    Without ``finals`` all numbers are read from its blocks, as those of an older version are.
    """
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+", locking=False) as file:
        if not finals:
            del file["finals"]
        blocks = file["blocks"]
        change(file, blocks[sorted(blocks)[0]])
    reseal(target)
    return target


def redigested(group: Any) -> None:
    """Give a group the digest of what is in it now, so that only its sense is left to be judged."""
    del group.attrs["sha256"]
    arrays = {name: storable(name, array) for name, array in tree(group).items()}
    set_attribute(group, "sha256", content_digest(arrays, attributes(group)))


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies of a file with a few bits turned, bytes overwritten, or a piece moved, unsealed."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        copy = bytearray(data)
        for at in rng.integers(SEAL_SIZE, len(data), 1 + k % 6):
            if rng.random() < 0.7:
                copy[at] ^= 1 << int(rng.integers(8))
            else:
                copy[at] = int(rng.choice([0, 1, 0x7F, 0xFF]))
        if k % 7 == 0:
            length = int(rng.integers(4, 64))
            here, there = (int(x) for x in rng.integers(SEAL_SIZE, len(data) - length, 2))
            copy[there : there + length] = data[here : here + length]
        yield bytes(copy)


def readings(path: Path) -> dict[str, Callable[[], object]]:
    """Everything that reads an archive, by name."""

    def runs() -> None:
        for run in Archive(path).runs():
            _ = (run.trajectory, run.model, run.started, run.provenance, run.fingerprint())

    return {
        "groups": lambda: Archive(path).groups(),
        "table": lambda: Archive(path).table(),
        "estimators": lambda: Archive(path).estimators(),
        "run": lambda: Archive(path).run(paulis="XZ", seed=1).trajectory,
        "runs": runs,
        "what is whole": lambda: list(Archive(path).runs(skip_damaged=True)),
        "plan": lambda: (Archive(path).plan, Archive(path).study_text, Archive(path).provenance),
        "verify": lambda: verify_archive(path),
        "merge": lambda: merge([path], path.with_name("merged.h5"), overwrite=True),
        "rescue": lambda: merge(
            [path], path.with_name("rescued.h5"), overwrite=True, skip_damaged=True
        ),
    }


def outcomes(path: Path, wanted: Collection[str] = ()) -> dict[str, str]:
    """What each reading ends in: "" if it works, else the error's type and first line."""
    found = {}
    for name, read in readings(path).items():
        if wanted and name not in wanted:
            continue
        try:
            read()
            found[name] = ""
        except Exception as exc:
            found[name] = f"{type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}"
            if isinstance(exc, ArchiveError) and len(str(exc).splitlines()) != 1:
                found[name] = f"not one line: {exc}"
    return found


def raw(found: dict[str, str]) -> dict[str, str]:
    """Those outcomes that are neither a result nor a refusal in one line."""
    fine = ("ArchiveError: ", "NewerFormatError: ", "RunNotFoundError: ")
    return {name: end for name, end in found.items() if end and not end.startswith(fine)}
