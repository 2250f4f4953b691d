"""The files of a study in progress: the archive OUT and, beside it, the folder OUT.parts.

    OUT.parts/plan.h5               what is to be done
    OUT.parts/lock                  who is doing it
    OUT.parts/<task>.h5             finished blocks, one file each
    OUT.parts/joined-<k>.h5         the same, of many tasks
    OUT.parts/checkpoints/<task>.h5 trainings that are not finished

Every file is written under a temporary name, synced and renamed, each by one process. OUT is
assembled from the blocks at the end of every start, and the folder goes when all is done.
All functions here run on rank 0, except :meth:`Workspace.part` and :meth:`Workspace.checkpoint`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mc.running.lock import Lock, OutputBusyError
from mc.studies.identity import same_numbers
from mc.studies.schedule import Key, Task, run_key
from mc.studies.seeds import Coordinate, canonical_json
from tnqbm.archive import Archive, assemble, write_plan
from tnqbm.archive.file import ArchiveFile
from tnqbm.archive.merging import join_parts
from tnqbm.base.errors import ArchiveError
from tnqbm.files.atomic import remove_stale
from tnqbm.files.outputs import ARCHIVE, check_name, check_output, check_place
from tnqbm.files.storage import read_tree, write_tree

if TYPE_CHECKING:
    from tnqbm.archive import PlannedGroup
    from tnqbm.archive.contents import Entry


def identity_text(identity: Mapping[str, Any]) -> str:
    """The identity of a study as canonical JSON."""
    return json.dumps(dict(identity), sort_keys=True, separators=(",", ":"))


@dataclass
class Earlier:
    """What earlier starts left: finished runs, provenance, and warnings about useless files."""

    finished: set[Key] = field(default_factory=set)
    provenance: dict[str, str] = field(default_factory=dict)
    study_text: str = ""
    parts: int = 0
    warnings: list[str] = field(default_factory=list)


_JOINED = 200
"""Most files that are joined at a time: all are open at once."""


class Workspace:
    """Paths and files of one output."""

    def __init__(self, out: str | Path) -> None:
        self.out = check_name(out, ARCHIVE)
        self.folder = self.out.with_name(self.out.name + ".parts")
        self.checkpoints = self.folder / "checkpoints"
        self.plan_file = self.folder / "plan.h5"
        self._lock: Lock | None = None

    def part(self, task: Task) -> Path:
        """Where a finished task's block is written."""
        return self.folder / f"{task.key}.h5"

    def checkpoint(self, task: Task) -> Path:
        """Where an unfinished task's state is kept."""
        return self.checkpoints / f"{task.key}.h5"

    def parts(self) -> list[Path]:
        """Finished blocks that wait to be assembled, in order of name."""
        return sorted(path for path in self.folder.glob("*.h5") if path != self.plan_file)

    def join_parts(self, most: int) -> None:
        """Join the smallest parts where there are more than ``most``.

        At any moment every run is in a part, or in two while the joined ones are removed. Parts
        stay as they are where they are damaged or the disk is full: nothing is lost by that.
        """
        while len(self.parts()) > most and not self.lost():
            try:
                self._join(self._smallest())
            except (ArchiveError, OSError):
                return

    def _smallest(self) -> list[Path]:
        """The parts to be joined next: the smallest, each no larger than those before it together.

        So a run is mostly written again when it comes into a file of twice the size: 4 to 5 times
        on average if there are 10,000 tasks, whose own files take thrice the room of their share.
        """
        sizes = sorted((path.stat().st_size, path) for path in self.parts())
        chosen: list[Path] = []
        total = 0
        for size, path in sizes[:_JOINED]:
            if len(chosen) >= 2 and size > total:
                break
            chosen.append(path)
            total += size
        return chosen

    def _join(self, parts: Sequence[Path], *, skip_damaged: bool = False) -> list[Entry]:
        """Replace parts by one; what is in it."""
        taken = [re.fullmatch(r"joined-(\d+)", path.stem) for path in self.parts()]
        number = max((int(match[1]) for match in taken if match), default=0) + 1
        joined = self.folder / f"joined-{number}.h5"
        entries = join_parts(parts, joined, skip_damaged=skip_damaged)
        # Only now: until it is in place they are all there is.
        for path in parts if entries else [*parts, joined]:
            path.unlink(missing_ok=True)
        return entries

    def begun(self) -> bool:
        """Whether there is any result of an earlier start; a plan alone does not count."""
        return self.out.exists() or any(self.parts()) or any(self.checkpoints.glob("*.h5"))

    def check(self, *, resume: bool, overwrite: bool, inputs: Iterable[str | Path] = ()) -> None:
        """Refuse an output that cannot or must not be written, before any work.

        ``inputs`` are the files that the study is read from. FileExistsError, FileNotFoundError,
        IsADirectoryError, NotADirectoryError, ValueError.
        """
        if resume and overwrite:
            raise ValueError("resume and overwrite exclude each other: continue, or start again?")
        inputs = list(inputs)
        check_place(self.out, ARCHIVE, inputs)
        for source in inputs:
            if Path(source).resolve().parent in (self.folder.resolve(), self.checkpoints.resolve()):
                raise ValueError(
                    f"{source} is read here, and {self.folder} is where the runs of {self.out} are "
                    "kept until all are finished; choose another output"
                )
        if self.begun() and not (resume or overwrite):
            what = self.out if self.out.exists() else self.folder
            raise FileExistsError(
                f"{what} exists already: continue it with --resume, replace it with --overwrite "
                "(in Python: resume=True, overwrite=True), or choose another output"
            )
        if overwrite:
            check_output(self.out, ARCHIVE, overwrite=True)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the output while entered, and remove files that a resume does not need at the end.

        OutputBusyError if another process works on it, OSError if it cannot be written.
        """
        lock = Lock(self.folder / "lock", str(self.out), self.folder)
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_folder)  # after the lock has been given back
            try:
                stack.enter_context(lock)
                self.checkpoints.mkdir(exist_ok=True)
            except OSError as error:
                reason = error.strerror or str(error)
                raise type(error)(f"output {self.out} cannot be written: {reason}") from error
            self._lock = lock
            try:
                yield
            finally:
                self._lock = None
                if lock.held():
                    self._tidy()

    def _remove_folder(self) -> None:
        """Remove the folder if it is empty; another process may have come already."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def lost(self) -> str:
        """Why this process no longer holds the output; empty if it does."""
        return self._lock.lost if self._lock else ""

    def check_held(self) -> None:
        """Raise OutputBusyError if another process has taken over the output."""
        if self._lock and not self._lock.held():
            raise OutputBusyError(
                f"{self.out}: {self._lock.lost}. This study has stopped, so that no two write to "
                f"it; its finished runs lie in {self.folder}. When the other process has ended, "
                "continue with --resume (in Python: resume=True)"
            )

    def sweep(self) -> None:
        """Remove temporary files of killed processes; only while the lock is held."""
        remove_stale(self.out)
        for folder in (self.folder, self.checkpoints):
            for path in folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def clear(self) -> None:
        """Remove the archive and everything of earlier starts."""
        for path in [*self.parts(), *self.checkpoints.glob("*.h5"), self.plan_file, self.out]:
            path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove what a resume does not need."""
        if not any(self.parts()) and not any(self.checkpoints.glob("*.h5")):
            with contextlib.suppress(OSError):
                self.checkpoints.rmdir()
                self.plan_file.unlink(missing_ok=True)

    def write_plan(
        self, plan: Sequence[PlannedGroup], text: str, provenance: Mapping[str, str]
    ) -> None:
        """Write or replace plan.h5."""
        write_plan(self.folder, plan, text, provenance)

    def read(self) -> Earlier:
        """What earlier starts left. Damaged blocks of parts are removed, their runs are done again.

        ArchiveError if the archive itself or the plan is damaged.
        """
        earlier = Earlier()
        for path in (self.out, self.plan_file):
            if not path.exists():
                continue
            with ArchiveFile(path) as file:
                if fault := file.first_fault():
                    raise ArchiveError(
                        f"{fault}. It cannot be resumed as it is: rescue what is whole with "
                        f"`tnqbm merge --skip-damaged {self.out} -o NEW.h5`, then resume NEW.h5"
                    )
                earlier.provenance = dict(file.header.provenance)
                earlier.study_text = file.header.study_text
                for entry in file.header.contents:
                    earlier.finished |= {run_key(entry.coordinates, seed) for seed in entry.seeds}
        for path in self.parts():
            try:
                with ArchiveFile(path) as file:
                    if fault := file.first_fault():
                        raise ArchiveError(fault)
                    entries = file.header.contents
            except ArchiveError as error:
                earlier.warnings.append(f"{error}; its runs are computed again")
                entries = self._join([path], skip_damaged=True)
            earlier.parts += bool(entries)
            for entry in entries:
                earlier.finished |= {run_key(entry.coordinates, seed) for seed in entry.seeds}
        return earlier

    def failures(self) -> list[dict[str, Any]]:
        """Runs among those that are there that failed, as :meth:`tnqbm.Archive.failures`."""
        with Archive(self.out) as archive:
            return archive.failures(skip_damaged=True)

    def assemble(
        self,
        plan: Sequence[PlannedGroup],
        text: str,
        provenance: Mapping[str, str],
        without: Collection[Key] = (),
    ) -> None:
        """Build OUT from its former self and the parts, then remove the parts."""
        parts = self.parts()
        assemble(
            self.out,
            plan=plan,
            study_text=text,
            provenance=provenance,
            parts=parts,
            base=self.out if self.out.exists() else None,
            without=without,
        )
        # Only now: until OUT is in place the parts are all there is.
        for path in parts:
            path.unlink(missing_ok=True)


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
