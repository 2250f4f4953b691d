"""An estimator from another package works everywhere, with no line changed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from tests.mpi.launching import ROOT, drive, needs_mpiexec
from tnqbm.training import TrainingSettings
from tnqbm.training.estimators import GRADIENTS, GradientSettings
from tnqbm.training.schema import number, whole
from tnqbm.training.settings import all_settings

PACKAGE = '''
"""Exact sums over all visible states, cut into pieces that processes share."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from tnqbm.core.fields import tanh_ratio
from tnqbm.core.states import spins
from tnqbm.training.estimators import Averages, GradientSettings, Stateless
from tnqbm.training.schema import number, whole


class Pieces(GradientSettings):
    name: ClassVar[str] = "mine"
    exact: ClassVar[bool] = True

    pieces: Annotated[int, whole(1, 1000)] = Field(2, description="of the sum")
    nanoseconds: Annotated[float, number()] = Field(100.0, description="for each state")

    def members(self, training):
        return self.pieces

    def cost(self, size, training):
        return self.nanoseconds * 2.0**size.n_visible

    def make(self, context):
        return Sums(self.pieces, context)


class Sums(Stateless):
    def __init__(self, pieces, context):
        self._problem, self._team = context.problem, context.team
        n = context.problem.n_visible
        states = ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1).astype(np.uint8)
        team = context.team
        first, last = (pieces * k // team.size for k in (team.rank, team.rank + 1))
        self._states = np.array_split(states, pieces)[first:last]

    def estimate(self, theta, rows, data=None):
        own = [[self._part(row, v) for v in self._states] for row in theta]
        parts = self._team.gather(np.array(own).reshape(len(theta), len(self._states), -1))
        log_z = np.logaddexp.reduce(parts[:, :, 0], axis=1)
        weights = np.exp(parts[:, :, 0] - log_z[:, None])
        return Averages((weights[:, :, None] * parts[:, :, 1:]).sum(axis=1), log_partition=log_z)

    def _part(self, row, v):
        """log of the sum of the weights of some states, and the averages over them."""
        model = self._problem.model(row)
        weight = model.log_weight(v)
        log_sum = np.logaddexp.reduce(weight)
        q, s, phi = np.exp(weight - log_sum), spins(v), model.fields(v)
        x = -tanh_ratio(np.linalg.norm(phi, axis=1))[:, None] * phi
        sums = q @ s, np.einsum("v,vpj->pj", q, x), np.einsum("v,vi,vpj->pij", q, s, x)
        return np.concatenate([[log_sum], *(one.ravel() for one in sums)])
'''

TRAINING = """
import json
from tnqbm import SqRBM, TrainingSettings, datasets, train

model, target = SqRBM.uniform(4, 2, "XZ", seed=1), datasets.load("on2", 4, seed=1)
ways = {
    "amsgrad": {"patience": 50},
    "em": {"optimizer": "em", "inner_iterations": 4},
    "em without a metric": {"optimizer": "em", "inner_solver": "l-bfgs", "inner_iterations": 4},
    "natural": {"optimizer": "natural", "damping_rule": "adaptive", "learning_rate": 1.0},
    "minibatches": {"batch_size": 2, "centred": True},
}
found = {}
for way, settings in ways.items():
    for name, own in (("exact", {}), ("mine", {"pieces": 3})):
        path = train(model, target, gradient=name, iterations=6, seed=2, **settings, **own)
        found[way, name] = [*path.kl, *path.log_partition, *path.model.to_vector()]
settings = TrainingSettings(gradient="mine", pieces=5)
from mine_gradients import Pieces
assert settings.gradient == Pieces(pieces=5)
try:
    TrainingSettings(gradient="exact", pieces=5)
except ValueError as error:
    found["foreign", ""] = str(error)
try:
    train(model, target, gradient="broken", iterations=1)
except RuntimeError as error:
    found["broken", ""] = str(error)
try:
    TrainingSettings(gradient="mine", pieces=0)
except ValueError as error:
    found["wrong", ""] = str(error)
print(json.dumps([[*key, value] for key, value in found.items()]))
"""

STUDYING = """
import json, sys
import mc
from mc.studies.identity import study_identity
from tnqbm.archive import Archive

study, teams, folder = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
mc.run_study(study, f"{folder}/study.h5", progress=False)
found = {}
with Archive(f"{folder}/study.h5") as archive:
    for run in archive.runs():
        found.setdefault(run.coordinates["gradient"], []).append([*run.trajectory.kl])
    plan = mc.load_study(archive.study_text, archived=True)
    tasks = {task.coordinates["gradient"]: task.cost for task in plan.tasks()}
    assert plan.settings("mine").gradient.pieces == 3
    identity = study_identity(plan)
mc.load_study(teams)
mc.run_study({**teams, "run": {}}, f"{folder}/alone.h5", progress=False)
with Archive(f"{folder}/alone.h5") as archive:
    fingerprint = archive.fingerprint()
wrong = {}
for change in ({"pieces": 0}, {"nanosecond": 1.0}):
    try:
        mc.load_study({**study, "gradients": {"mine": change}})
    except Exception as error:
        wrong[next(iter(change))] = str(error)
names = sorted(key for key in identity if "pieces" in key or "nanoseconds" in key)
print(json.dumps(
    {"kl": found, "cost": tasks, "fingerprint": fingerprint, "wrong": wrong, "identity": names}
))
"""

STUDY: dict[str, Any] = {
    "name": "mine",
    "seeds": 2,
    "model": {"paulis": "XZ", "visible": 4, "hidden": 2},
    "data": {"name": "on2"},
    "training": {"iterations": 6, "gradient": ["exact", "mine", "slow"]},
    "gradients": {
        "mine": {"pieces": 3, "optimizer": "em", "inner_iterations": 4},
        "slow": {"gradient": "mine", "nanoseconds": 1e9},
    },
    "run": {"batch": 2},
}
TEAMS: dict[str, Any] = {
    **STUDY,
    "training": {"iterations": 6, "gradient": ["mine", "slow"]},
    "run": {"ranks_per_run": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, as an installer would leave it."""
    place = tmp_path_factory.mktemp("site")
    (place / "mine_gradients.py").write_text(PACKAGE, encoding="utf-8")
    info = place / "mine_gradients-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-gradients\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tnqbm.gradients]\nmine = mine_gradients:Pieces\nbroken = broken_gradients:Broken\n"
    )
    (place / "broken_gradients.py").write_text("raise RuntimeError('this package is broken')\n")
    return place


def path_with(folder: Path) -> str:
    return os.pathsep.join([str(ROOT), str(folder), os.environ.get("PYTHONPATH", "")])


def run(script: str, folder: Path, *words: str) -> Any:
    """What a script prints as JSON where the package is installed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": path_with(folder)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def studied(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("studies")
    found: dict[str, Any] = run(STUDYING, folder, json.dumps(STUDY), json.dumps(TEAMS), str(place))
    return found


def test_training_with_every_kind_of_optimizer(folder: Path) -> None:
    """The numbers of "exact", to rounding that a few updates do not blow up."""
    found = {(way, name): value for way, name, value in run(TRAINING, folder)}
    assert "pieces: gradient 'exact' has no such setting; it is one of 'mine'" in (
        found.pop(("foreign", ""))
    )
    assert "pieces: must be an integer >= 1, got 0" in found.pop(("wrong", ""))
    assert found.pop(("broken", "")) == "this package is broken"
    ways = {way for way, _ in found}
    assert len(ways) == 5
    for way in ways:
        assert found[way, "mine"] == pytest.approx(found[way, "exact"], abs=1e-6), way
        assert found[way, "mine"][6] < found[way, "mine"][0]


def test_studies(studied: dict[str, Any]) -> None:
    kl = studied["kl"]
    for ours, exact in zip(kl["slow"], kl["exact"], strict=True):
        assert ours == pytest.approx(exact, abs=1e-9)
    for em, plain in zip(kl["mine"], kl["exact"], strict=True):
        assert em[-1] < plain[-1]
    assert "gradients.mine.pieces = 0: must be an integer >= 1" in studied["wrong"]["pieces"]
    assert "did you mean 'nanoseconds'" in studied["wrong"]["nanosecond"]
    # Settings at their defaults are not part of it: who lacks the package can go on with others.
    assert studied["identity"] == ["gradients.mine.pieces", "gradients.slow.nanoseconds"]


def test_costs_in_the_tasks_of_a_study(studied: dict[str, Any]) -> None:
    cost = studied["cost"]
    assert cost["slow"] == pytest.approx(2 * 6 * 1e9 * 2**4)
    assert list(cost) == sorted(cost, key=lambda label: -cost[label])


@needs_mpiexec
def test_ranks_that_share_a_run(folder: Path, studied: dict[str, Any], tmp_path: Path) -> None:
    """The bits of one process."""
    env = {"PYTHONPATH": path_with(folder)}
    code, reports, stderr = drive(2, tmp_path / "out.h5", TEAMS, env=env)
    assert code == 0, (reports, stderr)
    assert reports[0]["fingerprint"] == studied["fingerprint"]
    assert "occupy at most" not in stderr


class _Halves(GradientSettings):
    name: ClassVar[str] = "halves"
    steps: Annotated[float, number()] = Field(0.5, description="not whole")


class _Recorder(GradientSettings):
    name: ClassVar[str] = "recorder"
    records: Annotated[int, whole(1, 9)] = Field(3, description="named like one of training")


@pytest.fixture
def clashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two estimators whose settings have names that others have, too."""
    monkeypatch.setattr(GRADIENTS, "_classes", dict(GRADIENTS._classes))
    for estimator in (_Halves, _Recorder):
        GRADIENTS.register(estimator)


@pytest.mark.usefixtures("clashing")
def test_settings_that_share_a_name_are_checked_with_the_part_they_are_for() -> None:
    assert not all_settings()["steps"].alike
    assert all_settings()["chains"].alike
    assert TrainingSettings(gradient="halves", steps=0.25).flat()["steps"] == 0.25
    with pytest.raises(ValueError, match="steps: must be an integer"):
        TrainingSettings(gradient="pcd", steps=0.25)


@pytest.mark.usefixtures("clashing")
def test_a_setting_named_like_one_of_training_is_refused_where_it_is_used() -> None:
    assert TrainingSettings(gradient="exact", records=5).records == 5
    with pytest.raises(ValueError, match="records: gradient 'recorder' has a setting of this name"):
        TrainingSettings(gradient="recorder")
