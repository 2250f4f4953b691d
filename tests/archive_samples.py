"""Synthetic runs for the tests of archives: quick to make, no training."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tnqbm.archive import PlannedGroup, RunRecord, assemble, write_block
from tnqbm.core.model import SqRBM
from tnqbm.training.trajectory import METRICS, Trajectory

Case = TypeVar("Case")

PROVENANCE = {"host": "test", "tnqbm": "0"}


def coordinates(paulis: str = "XZ", hidden: int = 2, **more: Any) -> dict[str, Any]:
    base = {"paulis": paulis, "visible": 3, "hidden": hidden, "data": "parity"}
    return {**base, "gradient": "exact", **more}


def record(
    where: dict[str, Any],
    seed: int,
    *,
    rows: int = 12,
    snapshots: int = 2,
    metrics: Sequence[str] = METRICS[:7],  # those that version 2 of the format knows
    model: bool = True,
    stopped: str = "iterations",
    salt: int = 0,
    started: str = "2025-01-01T10:00:00+00:00",
) -> RunRecord:
    """A run whose numbers depend on its coordinates, seed and ``salt``."""
    rng = np.random.default_rng([seed, where["hidden"], len(where["paulis"]), salt])

    def draw() -> SqRBM:
        return SqRBM.uniform(where["visible"], where["hidden"], where["paulis"], seed=rng)

    trajectory = Trajectory(
        step=np.arange(rows, dtype=np.int64) ** 2,
        **{name: rng.random(rows) for name in METRICS if name in metrics},
        model=draw() if model else None,
        snapshots=[(10 * k, draw()) for k in range(snapshots)],
        stopped=stopped,
    )
    return RunRecord(where, seed, trajectory, started, "2025-01-01T10:01:00+00:00")


def records(where: dict[str, Any], seeds: Sequence[int], **options: Any) -> list[RunRecord]:
    return [record(where, seed, **options) for seed in seeds]


def make_archive(path: Path, blocks: Sequence[Sequence[RunRecord]], **extra: Any) -> Path:
    """An archive of the given blocks; its plan is what they hold, plus ``planned``."""
    parts = []
    for number, block in enumerate(blocks):
        parts.append(path.with_name(f"{path.stem}-part-{number}.h5"))
        write_block(parts[-1], block, PROVENANCE)
    plan = [PlannedGroup(dict(b[0].coordinates), [r.seed for r in b]) for b in blocks]
    assemble(
        path,
        plan=[*plan, *extra.pop("planned", [])],
        study_text=extra.pop("study_text", 'name = "sample"\n'),
        provenance=PROVENANCE,
        parts=parts,
        **extra,
    )
    for part in parts:
        part.unlink()
    return path


def assert_same_trajectory(found: Trajectory, expected: Trajectory) -> None:
    """Bit for bit, not only to rounding."""
    assert found.step.tobytes() == np.asarray(expected.step, np.int64).tobytes()
    for name in METRICS:
        mine, other = getattr(found, name), getattr(expected, name)
        assert (mine is None) == (other is None)
        if mine is not None:
            assert mine.tobytes() == other.tobytes()
    assert found.stopped == expected.stopped
    assert found.model == expected.model
    assert [step for step, _ in found.snapshots] == [step for step, _ in expected.snapshots]
    assert [m for _, m in found.snapshots] == [m for _, m in expected.snapshots]


def flips(size: int, count: int, seed: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """``count`` different (offset, bit) pairs spread evenly over bytes ``first`` to ``size``."""
    rng = np.random.default_rng(seed)
    for offset in np.linspace(first, size - 1, min(count, size - first)).astype(int):
        yield int(offset), int(rng.integers(8))


def flipped(data: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def in_fork(check: Callable[[Case], bool], cases: Sequence[Case], seconds: int = 20) -> list[str]:
    """``check`` of every case, each "true", "false", or "died" (crash, hang, no memory).

    It is done in a forked child, which goes on until it dies; another takes over behind the case
    that it died of. A hang is so many seconds of processor time, or half an hour of waiting.
    """
    outcomes: list[str] = []
    while len(outcomes) < len(cases):
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                for case in cases[len(outcomes) :]:
                    limit = int(time.process_time()) + seconds
                    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                    signal.alarm(1800)
                    os.write(into, b"t" if check(case) else b"f")
            finally:
                os._exit(0)
        os.close(into)
        with open(out, "rb") as pipe:
            outcomes += ["true" if said == b"t"[0] else "false" for said in pipe.read()]
        os.waitpid(pid, 0)
        if len(outcomes) < len(cases):
            outcomes.append("died")
    return outcomes
