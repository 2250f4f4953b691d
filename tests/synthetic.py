"""Small archives with known numbers, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tnqbm.archive import PlannedGroup, RunRecord, assemble, write_block
from tnqbm.core.model import SqRBM
from tnqbm.training.trajectory import Trajectory

TIME = "2026-01-01T00:00:00+00:00"


def record(final: float, seed: int = 1, **coordinates: Any) -> RunRecord:
    """A run whose TVD falls from 0.9 to ``final`` within four updates (and KL is twice that)."""
    full = {"paulis": "Z", "visible": 6, "hidden": 1, "data": "bas", "gradient": "exact"}
    full |= coordinates
    tvd = np.array([0.9, 0.5 * (0.9 + final), final])
    model = SqRBM.uniform(full["visible"], full["hidden"], full["paulis"], seed=seed)
    trajectory = Trajectory(step=np.array([0, 1, 4]), tvd=tvd, kl=2 * tvd, model=model)
    return RunRecord(full, seed, trajectory, TIME, TIME)


def ladder(values: dict[int, list[float]], **coordinates: Any) -> list[RunRecord]:
    """Runs at several m, one per seed, from their final values by m."""
    return [
        record(final, seed, hidden=m, **coordinates)
        for m, finals in values.items()
        for seed, final in enumerate(finals, start=1)
    ]


def write(
    path: Path, records: Iterable[RunRecord], *, study_text: str = "", planned: int = 0
) -> Path:
    """An archive of the records at ``path``, a block per group; ``planned`` more seeds to come."""
    groups: dict[tuple[Any, ...], list[RunRecord]] = {}
    for one in records:
        groups.setdefault(tuple(sorted(one.coordinates.items())), []).append(one)
    parts, plan = [], []
    for k, (key, runs) in enumerate(groups.items()):
        parts.append(path.with_name(f"{path.name}-{k}.part.h5"))
        write_block(parts[-1], runs, {})
        seeds = [run.seed for run in runs]
        plan.append(PlannedGroup(dict(key), [*seeds, *range(901, 901 + planned)]))
    assemble(path, plan=plan, study_text=study_text, provenance={}, parts=parts)
    for part in parts:
        part.unlink()
    return path
