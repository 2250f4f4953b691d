"""Trainings in Python: saved and gone on with, stopped when asked, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mc.estimators.settings import PCD, Tempered
from tnqbm import SqRBM, Trainer, TrainingSettings, datasets, train
from tnqbm.base.errors import ArchiveError
from tnqbm.base.progress import StepsDisplay
from tnqbm.training import SqRBMProblem
from tnqbm.training.inputs import run_keys
from tnqbm.training.trajectory import Trajectory

CASES: dict[str, dict[str, Any]] = {
    "exact": {"optimizer": "amsgrad"},
    "minibatches": {"batch_size": 3, "optimizer": "adam", "schedule": "cosine"},
    "pcd": {"gradient": PCD(chains=20), "optimizer": "sgd"},
    "tempered": {"gradient": Tempered(chains=10, temperatures=4)},
    "natural": {"optimizer": "natural"},
    "em": {"optimizer": "em"},
    "patience": {"patience": 200, "snapshots": 4},
}

TARGET = datasets.load("bas", 6)


def trainer(seed: int = 3, start: int = 1, test: bool = False, **settings: Any) -> Trainer:
    models = [SqRBM.uniform(6, 2, "XZ", seed=start + k) for k in range(2)]
    tests = [TARGET, TARGET] if test else None
    problem = SqRBMProblem(models, [TARGET, TARGET], tests=tests)
    return Trainer(
        problem, TrainingSettings(**{"iterations": 12} | settings), keys=run_keys(seed, 2)
    )


def results(made: Trainer) -> list[Trajectory]:
    made.advance(1000)
    return made.trajectories()


@pytest.mark.parametrize("case", CASES)
def test_interrupted_trainings_end_with_the_same_bits(tmp_path: Path, case: str) -> None:
    path, whole = tmp_path / "run.h5", results(trainer(**CASES[case]))
    for at in (0, 5, 9):
        first = trainer(**CASES[case])
        first.advance(at)
        first.save(path)
        later = trainer(**CASES[case])
        later.resume(path)
        assert later.iteration == at
        for one, two in zip(results(later), whole, strict=True):
            assert one.model == two.model
            assert one.nll is not None
            assert two.nll is not None
            assert one.nll.tobytes() == two.nll.tobytes()
            assert len(one.snapshots) == len(two.snapshots)


def test_finished_trainings_are_kept_too(tmp_path: Path) -> None:
    made = trainer()
    expected = results(made)
    made.save(tmp_path / "run.h5")
    later = trainer()
    later.resume(tmp_path / "run.h5")
    assert later.finished
    assert [path.model for path in later.trajectories()] == [path.model for path in expected]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"learning_rate": 0.2}, "learning_rate = 0.1, this trainer 0.2"),
        ({"gradient": "pcd"}, "gradient = 'exact', this trainer 'pcd'"),
        ({"iterations": 13}, "iterations = 12, this trainer 13"),
        ({"seed": 4}, "other keys of random streams"),
        ({"start": 2}, "began from other models"),
        ({"test": True}, "other test or validation data"),
    ],
)
def test_other_trainings_are_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    path, first = tmp_path / "run.h5", trainer()
    first.advance(3)
    first.save(path)
    later = trainer(**other)
    with pytest.raises(ValueError, match=message):
        later.resume(path)
    assert later.iteration == 0


def test_damaged_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path, first = tmp_path / "run.h5", trainer()
    first.advance(3)
    first.save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.h5").write_bytes(data)
    SqRBM.uniform(6, 2, "XZ", seed=1).save(tmp_path / "model.h5")
    with pytest.raises(ArchiveError, match="damaged"):
        first.resume(tmp_path / "bad.h5")
    with pytest.raises(ArchiveError, match="a saved model"):
        first.resume(tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError):
        first.resume(tmp_path / "none.h5")


def test_only_its_own_files_are_replaced(tmp_path: Path) -> None:
    first = trainer()
    first.save(tmp_path / "run.h5")
    first.advance(2)
    first.save(tmp_path / "run.h5")
    later = trainer()
    later.resume(tmp_path / "run.h5")
    assert later.iteration == 2
    SqRBM.uniform(6, 2, "XZ", seed=1).save(tmp_path / "model.h5")
    with pytest.raises(FileExistsError, match="not overwritten"):
        first.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"give a name such as run\.h5"):
        first.save(tmp_path / "run.npz")


# --- stopping, and seeing how far it is ----------------------------------------------------------


def test_a_callback_can_stop_a_training() -> None:
    start, seen = SqRBM.uniform(6, 2, "XZ", seed=1), []

    def enough(done: int) -> bool:
        seen.append(done)
        return done == 5

    path = train(start, TARGET, iterations=50, callback=enough)
    assert seen == [1, 2, 3, 4, 5]
    assert path.stopped == "asked"
    assert path.model == train(start, TARGET, iterations=5).model
    assert path.step.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isfinite(path.nll).all()


def test_other_answers_of_a_callback_stop_nothing() -> None:
    start = SqRBM.uniform(6, 2, "XZ", seed=1)
    path = train(start, TARGET, iterations=5, callback=lambda done: None)
    assert path.stopped == "iterations"


def test_stopped_trainings_are_saved_as_such(tmp_path: Path) -> None:
    first = trainer(records=3)
    first.advance(4)
    first.stop()
    first.stop()
    first.save(tmp_path / "run.h5")
    later = trainer(records=3)
    later.resume(tmp_path / "run.h5")
    assert later.finished
    assert [path.stopped for path in later.trajectories()] == ["asked", "asked"]


class Counted(StepsDisplay):
    """A display that keeps what it is told."""

    made: ClassVar[list[tuple[bool, int, list[int]]]] = []

    def __init__(self, name: str, total: int, *, shown: bool) -> None:
        super().__init__(name, total, shown=False)
        self.steps: list[int] = []
        self.made.append((shown, total, self.steps))

    def advance(self, steps: int) -> None:
        self.steps.append(steps)


def test_progress_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tnqbm.training.fitting.StepsDisplay", Counted)
    start = SqRBM.uniform(6, 2, "XZ", seed=1)
    for progress in (True, False):
        train(start, TARGET, iterations=5, progress=progress)
        shown, total, steps = Counted.made.pop()
        assert (shown, total, sum(steps)) == (progress, 5, 5)
