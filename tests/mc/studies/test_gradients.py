"""Gradients in study files: labels, their settings, and how studies with several of them resume."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mc import load_study, run_study
from mc.estimators.settings import PCD
from mc.running.workspace import identity_text
from mc.studies.gradients import parse_label
from mc.studies.identity import identity_changes, study_identity
from mc.studies.seeds import chain_stream
from tests.mc.studies.samples import Disturbance, changed, problems_of, run, tiny
from tests.tnqbm.training.noisy_estimator import NoisyEstimator, NoisyGradient
from tnqbm import SqRBM, datasets, exact
from tnqbm.archive import Archive
from tnqbm.base.errors import StudyError
from tnqbm.training.costs import enumerated_update_cost, run_cost
from tnqbm.training.estimators import GRADIENTS, Context, Size
from tnqbm.training.settings import TrainingSettings

TEXT = """
name = "estimated"
seeds = 2
[model]
paulis = ["Z", "XYZ"]
visible = 6
hidden = 2
[data]
name = "bas"
[training]
gradient = ["exact", "cd-1", "pcd", "slow"]
iterations = 50
steps = 4
batch_size = 3
[gradients.slow]
gradient = "pcd"
steps = 20
learning_rate = 0.01
centred = true
"""


def study_dict(**changes: Any) -> dict[str, Any]:
    return changed(tomllib.loads(TEXT), changes)


class Noisy(NoisyGradient):
    """Has steps, which stand in labels and do nothing."""

    sweeps: ClassVar[bool] = True
    size: ClassVar[float] = 0.05

    steps: int = 1

    def make(self, context: Context) -> NoisyEstimator:
        return NoisyEstimator(context, self.size)


class Noisier(Noisy):
    name: ClassVar[str] = "noisier"
    size: ClassVar[float] = 0.5


@contextmanager
def noisy_estimators() -> Iterator[None]:
    """Two more estimators, which are quick and keep a state."""
    GRADIENTS.register(Noisy)
    GRADIENTS.register(Noisier)
    try:
        yield
    finally:
        del GRADIENTS._classes["noisy"], GRADIENTS._classes["noisier"]


@pytest.fixture
def noisy() -> Iterator[None]:
    with noisy_estimators():
        yield


def only_exact() -> dict[str, Any]:
    """Six runs of the tiny study."""
    raw = tiny(run={"batch": 3})
    raw["model"]["hidden"] = 2
    return raw


def estimated(**changes: Any) -> dict[str, Any]:
    """The same with exact and two noisy gradients, one under a name of its own: 18 runs."""
    raw = only_exact()
    raw["training"]["gradient"] = ["exact", "noisy-2", "mine"]
    raw["gradients"] = {"mine": {"gradient": "noisier", "batch_size": 3, "iterations": 20}}
    for dotted, value in changes.items():
        *tables, key = dotted.split("__")
        place = raw
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = value
    return raw


# --- labels ------------------------------------------------------------------------------------


def test_the_gradient_is_a_coordinate() -> None:
    study = load_study(TEXT)
    found = [(c["paulis"], c["gradient"]) for c in study.combinations()]
    labels = ["exact", "cd-1", "pcd", "slow"]
    assert found == [(paulis, label) for paulis in ("Z", "XYZ") for label in labels]
    assert study.labels() == labels


def test_labels_have_their_settings() -> None:
    study = load_study(TEXT)
    common = {"iterations": 50, "batch_size": 3, "records": 200}
    expected = {
        "exact": TrainingSettings(**common),  # which has no steps
        "cd-1": TrainingSettings(**common, gradient="cd", steps=1),
        "pcd": TrainingSettings(**common, gradient="pcd", steps=4),
        "slow": TrainingSettings(
            **common, gradient="pcd", steps=20, learning_rate=0.01, centred=True
        ),
    }
    assert {label: study.settings(label) for label in study.labels()} == expected
    assert study.settings() == expected["exact"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("exact", {"gradient": "exact"}),
        ("cd", {"gradient": "cd"}),
        ("cd-10", {"gradient": "cd", "steps": 10}),
        ("tempered-5", {"gradient": "tempered", "steps": 5}),
        ("exact-5", None),
        ("cd-0", None),
        ("cd-", None),
        ("cd-1-2", None),
        ("cdd-1", None),
        ("-1", None),
    ],
)
def test_what_labels_mean(label: str, expected: dict[str, Any] | None) -> None:
    assert parse_label(label) == expected


def test_grids_may_have_gradients_of_their_own() -> None:
    raw = study_dict(
        grid=[{"paulis": "Z"}, {"paulis": "XYZ", "gradient": "slow"}], training__gradient="cd-1"
    )
    found = [(c["paulis"], c["gradient"]) for c in load_study(raw).combinations()]
    assert found == [("Z", "cd-1"), ("XYZ", "slow")]


def test_a_table_may_complete_a_label() -> None:
    raw = study_dict(gradients={"pcd-10": {"chains": 7}}, training__gradient=["pcd-10", "pcd-5"])
    study = load_study(raw)
    one, other = (study.settings(label).gradient for label in ("pcd-10", "pcd-5"))
    assert (one, other) == (PCD(steps=10, chains=7), PCD(steps=5, chains=100))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training__gradient": ["exact", "pdc-10", "slow"]},
         ["training.gradient = 'pdc-10': not an estimator", "did you mean 'pcd-10'"]),
        ({"training__gradient": ["slwo", "slow"]}, ["'slwo'", "did you mean 'slow'"]),
        ({"training__gradient": ["exact-3", "slow"]},
         ["'exact' takes no steps", "did you mean 'exact'"]),
        ({"training__gradient": ["cd-0", "slow"]}, ["'cd-0'", "at least 1"]),
        ({"training__gradient": ["qqq", "slow"]}, ["choose from slow, exact", "pcd-10"]),
        ({"training__gradient": []}, ["training.gradient", "empty"]),
        ({"training__gradient": 3}, ["training.gradient = 3", "string"]),
        ({"training__gradient": "cd"}, ["gradients.slow: not used", "training.gradient"]),
        ({"grid": [{"gradient": ["slow", "cdd"]}]}, ["grid[0].gradient = 'cdd'", "'cd'"]),
        ({"gradients__slow__gradient": "pdc"}, ["gradients.slow.gradient = 'pdc'", "'pcd'"]),
        ({"gradients__slow__gradient": None}, ["gradients.slow.gradient: missing", "pcd"]),
        ({"gradients__slow__step": 3}, ["gradients.slow.step: unknown key", "'steps'"]),
        ({"gradients__slow__steps": 0}, ["gradients.slow.steps = 0", ">= 1"]),
        ({"gradients__slow__method": "cd"},
         ["gradients.slow.method: unknown key; did you mean 'gradient'?"]),
        ({"gradients__pcd": {"gradient": "cd"}},
         ["gradients.pcd.gradient = 'cd'", "name 'pcd' says"]),
        ({"gradients__cd-1": {"steps": 3}}, ["gradients.cd-1.steps = 3", "name 'cd-1' says"]),
        ({"gradients": {"a b": {"gradient": "cd"}}}, ["gradients.'a b'", "letters"]),
        ({"gradients": 3}, ["gradients = 3", "[gradients.NAME]"]),
        ({"gradients__slow": 3}, ["gradients.slow = 3", "[gradients.slow]"]),
        ({"training__evaluate": "aiss"}, ["training.evaluate = 'aiss'", "'ais'"]),
        ({"gradients__slow__evaluate": "exat"}, ["gradients.slow.evaluate = 'exat'", "'exact'"]),
        ({"training__chains": 0}, ["training.chains = 0"]),
        ({"training__centred": "yes"}, ["training.centred = 'yes'", "must be true or false"]),
        ({"training__kernel": "blok"}, ["'cd-1' with visible = 6", "kernel: 'blok'", "block"]),
        ({"training__basis": "X"},
         ["'cd-1' with visible = 6", "basis: is for the kernels 'pauli' and 'pauli-exact'"]),
        ({"training__basis": "Y", "training__kernel": "pauli", "model__paulis": ["XYZ", "XZ"]},
         ["paulis = 'XZ'", "not among the model's Pauli matrices"]),
        ({"training__kernel": "pauli-exact", "model__visible": 22},
         ["'cd-1' with visible = 22", "2**22 states"]),
        ({"training__kernel": "block"},
         ["'cd-1' with visible = 6, hidden = 2, paulis = 'XYZ'", "'block'"]),
        ({"training__batch_size": 6}, ["batch_size = 6", "5 rows of 'bas' with 6"]),
        ({"model__fields": "date"}, ["model.fields = 'date'", "'data'"]),
        ({"data__test_fraction": 1.0}, ["data.test_fraction = 1.0", "below 1"]),
        ({"data__test_fraction": 0.5}, ["data.name = 'bas' with model.visible", "known exactly"]),
        ({"run__ranks_per_run": 0}, ["run.ranks_per_run = 0"]),
        ({"training__gradient": "exact", "gradients": {}},
         ["training.steps = 4: nothing in this study has such a setting", "'pcd'"]),
        ({"gradients__slow__temperatures": 5},
         ["gradients.slow.temperatures = 5: gradient 'pcd' has no such setting", "'tempered'"]),
        ({"training__weigth_decay": 0.1}, ["training.weigth_decay", "'weight_decay'"]),
        ({"model__chains": 3}, ["model.chains", "belongs to [training]"]),
    ],
)  # fmt: skip
def test_bad_input_is_named(changes: dict[str, Any], words: list[str]) -> None:
    message = problems_of(study_dict(**changes))
    for word in words:
        assert word in message, message


def test_every_problem_is_listed_at_once() -> None:
    message = problems_of(
        study_dict(
            training__gradient=["pdc-10", "slow"],
            training__clip=-1.0,
            gradients__slow__gradient="pdc",
            gradients__slow__chains=0,
            model__fields="both",
            grid=[{"gradient": "other"}],
        )
    )
    for key in (
        "grid[0].gradient = 'other'",
        "training.clip = -1.0",
        "gradients.slow.chains = 0",
        "gradients.slow: not used",
        "model.fields = 'both'",
    ):
        assert key in message, message


def test_only_exact_gradients_and_evaluations_are_bound_to_enumeration() -> None:
    data = {"data__name": "on2", "training__batch_size": 0}
    small = study_dict(**data, model__visible=40, training__gradient=["cd-1", "slow"])
    assert load_study(small).plan()
    assert "'exact' with visible = 40" in problems_of(study_dict(**data, model__visible=40))
    message = problems_of({**small, "training": {**small["training"], "evaluate": "exact"}})
    assert "'cd-1' with visible = 40" in message
    assert ": evaluate = 'exact'" in message


# --- streams, starts and data ------------------------------------------------------------------


def test_all_gradients_start_from_the_same_parameters() -> None:
    study = load_study(TEXT)
    alone = load_study(study_dict(training__gradient="exact", training__steps=None, gradients=None))
    starts = [study.initial_model(c, 2) for c in study.combinations() if c["paulis"] == "XYZ"]
    assert len(starts) == 4
    assert all(model == starts[0] for model in starts)
    assert alone.initial_model(alone.combinations()[1], 2) == starts[0]


def test_chains_have_streams_of_their_own() -> None:
    study = load_study(TEXT)
    keys = {study.key(c, seed) for c in study.combinations() for seed in (1, 2, 3)}
    assert len(keys) == 8 * 3
    assert all(0 <= key < 2**64 for key in keys)
    # Archives are resumed and repeated years later: this number is part of the format.
    coordinates: dict[str, Any] = {
        "paulis": "XYZ", "visible": 6, "hidden": 2, "data": "bas", "gradient": "cd-1",
    }  # fmt: skip
    assert chain_stream(0, coordinates, 1) == CHAIN_KEY
    assert chain_stream(1, coordinates, 1) != CHAIN_KEY


CHAIN_KEY = 1385417575706661192


def test_visible_fields_may_start_from_the_data() -> None:
    plain, fitted = load_study(TEXT), load_study(study_dict(model__fields="data"))
    c = plain.combinations()[0]
    one, two = plain.initial_model(c, 1), fitted.initial_model(c, 1)
    assert np.array_equal(one.w, two.w)
    assert np.array_equal(one.b, two.b)
    assert np.array_equal(two.a, datasets.visible_fields(plain.target(c, 1)))
    assert study_identity(fitted)["model.fields"] == "data"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    found = np.random.default_rng(0).integers(0, 2, (40, 6))
    path = tmp_path / "mine.csv"
    np.savetxt(path, found, fmt="%d", delimiter=",")
    return path


def test_test_data_are_held_out_from_all_runs_alike(rows: Path) -> None:
    data = {"name": str(rows), "test_fraction": 0.25, "repeats": "together"}
    raw = study_dict(data=data, training__batch_size=8)
    study = load_study(raw)
    first, second = study.combinations()[0], study.combinations()[-1]
    train, test = datasets.load_split(rows, 6, test_fraction=0.25, seed=study.seed)
    for coordinates, seed in ((first, 1), (second, 2)):
        assert np.array_equal(study.target(coordinates, seed).states, train.states)
        held_out = study.test_target(coordinates)
        assert held_out is not None
        assert np.array_equal(held_out.states, test.states)
    assert load_study(TEXT).test_target(first) is None
    assert study_identity(study)["data.test_fraction"] == 0.25
    assert "batch_size = 31" in problems_of(
        {**raw, "training": {**raw["training"], "batch_size": 31}}
    )


def test_data_drawn_once_do_not_depend_on_the_seeds_of_the_study() -> None:
    """Otherwise a task of other seeds, or a study grown by some, would have other data."""
    from mc.studies.study import _load_once

    raw = study_dict(data__name="ising-T3.0", model__visible=4, training__batch_size=0)
    found = []
    for seeds in ([1], [2, 1]):
        _load_once.cache_clear()
        study = load_study({**raw, "seeds": seeds})
        found.append(study.targets(study.combinations()[0], seeds)[0])
    assert np.array_equal(found[0].states, found[1].states)
    assert np.array_equal(found[0].probabilities, found[1].probabilities)


# --- identity ----------------------------------------------------------------------------------

OLD_IDENTITY = (
    '{"model.scale":1.0,"output.metrics":["kl","tvd","nll","gradient_norm"],"output.model":true,'
    '"output.records":10,"output.snapshots":3,"seed":0,"training.beta1":0.9,'
    '"training.beta2":0.999,"training.decay":0.1,"training.decay_steps":1000,'
    '"training.epsilon":1e-08,"training.gradient":"exact","training.iterations":30,'
    '"training.learning_rate":0.1,"training.min_delta":0.0,"training.momentum":0.0,'
    '"training.optimizer":"amsgrad","training.patience":0,"training.precision":"double",'
    '"training.schedule":"constant"}'
)
"""Of the tiny study, as it stands in archives and checkpoints of version 0.1.0."""


def test_the_identity_of_studies_of_old_has_not_changed() -> None:
    assert identity_text(study_identity(load_study(tiny()))) == OLD_IDENTITY
    explicit = tiny(training={"iterations": 30, "chains": 100, "clip": 0.0, "gradient": ["exact"]})
    assert identity_text(study_identity(load_study(explicit, archived=True))) == OLD_IDENTITY


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"training__gradient": ["exact", "cd-1"]}, []),
        # What only chains need does not concern runs without any.
        ({"training__gradient": ["exact", "cd-1"], "training__chains": 7}, []),
        ({"training__centred": True}, ["training.centred was False and is now True"]),
        ({"training__batch_size": 2}, ["training.batch_size was 0 and is now 2"]),
        ({"model__fields": "data"}, ["model.fields was 'uniform' and is now 'data'"]),
        ({"training__beta1": 0.5}, ["training.beta1 was 0.9 and is now 0.5"]),
        (
            {"training__gradient": ["exact", "own"], "gradients__own": {"gradient": "cd"}},
            [],
        ),
        (
            {"gradients__exact": {"learning_rate": 0.01}},
            ["gradients.exact.learning_rate was not set and is now 0.01"],
        ),
    ],
)
def test_an_old_archive_resumes_unless_its_runs_would_change(
    change: dict[str, Any], lines: list[str]
) -> None:
    raw = tiny()
    for dotted, value in change.items():
        table, _, key = dotted.partition("__")
        raw.setdefault(table, {})[key] = value
    now = study_identity(load_study(raw))
    assert identity_changes(json.loads(OLD_IDENTITY), now, {"exact"}) == lines


def test_what_changes_for_estimated_gradients_is_named() -> None:
    before = study_identity(load_study(TEXT))
    labels = {"exact", "cd-1", "pcd", "slow"}

    def changes(**changed: Any) -> list[str]:
        return identity_changes(before, study_identity(load_study(study_dict(**changed))), labels)

    assert changes() == []
    assert changes(training__chains=7) == ["training.chains was 100 and is now 7"]
    assert changes(training__batch_size=2) == ["training.batch_size was 3 and is now 2"]
    assert changes(training__batch_size=None) == ["training.batch_size was 3 and is now 0"]
    assert changes(gradients__slow__steps=9) == ["gradients.slow.steps was 20 and is now 9"]
    assert changes(gradients__slow__gradient="cd") == [
        "gradients.slow.gradient was 'pcd' and is now 'cd'"
    ]
    assert (
        changes(
            training__gradient=["exact", "cd-1", "pcd", "slow", "new"],
            gradients__new={"gradient": "tempered"},
        )
        == []
    )
    later = {**before, "training.magic": 3}
    assert identity_changes(later, before, labels) == [
        "training.magic was 3 and is not known to this version"
    ]


# --- cost --------------------------------------------------------------------------------------


def test_cost_grows_with_the_work() -> None:
    size = Size(64, 64, 3)

    def cost(**settings: Any) -> float:
        given = {"gradient": "cd", "batch_size": 100, "iterations": 100} | settings
        return run_cost(size, TrainingSettings(**given))

    base = cost()
    for more in (
        {"steps": 10}, {"batch_size": 1000}, {"iterations": 200},
        {"gradient": "tempered"}, {"evaluate": "ais"},
    ):  # fmt: skip
        assert cost(**more) > 1.2 * base
    assert cost(chains=500) == base  # chains of CD start at the rows of a minibatch
    assert cost(gradient="pcd", chains=500) > 1.2 * cost(gradient="pcd", chains=100)
    assert cost(precision="single") < base
    assert cost(evaluate="ais", evaluations=2) < cost(evaluate="ais")


def test_exact_tasks_are_cut_as_ever() -> None:
    study = load_study(tiny(run={}, seeds=40))
    one = study.tasks()[0]
    size = study.size(one.coordinates)
    assert one.cost == 30 * enumerated_update_cost(size) * len(one.seeds)


# --- running -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    with noisy_estimators():
        return run(estimated(), tmp_path_factory.mktemp("whole") / "out.h5").fingerprint()


@pytest.fixture
def whole(noisy: None, reference_run: str) -> str:
    """Fingerprint of the study of several gradients, run without a disturbance."""
    return reference_run


def test_a_study_of_several_gradients(noisy: None, tmp_path: Path) -> None:
    archive = run(estimated(), tmp_path / "out.h5")
    assert archive.progress == (18, 18)
    assert archive.verify().ok
    where: dict[str, Any] = {"paulis": "XYZ", "hidden": 2, "seed": 3}
    plain, noisy_run, mine = (
        archive.run(**where, gradient=label).trajectory for label in ("exact", "noisy-2", "mine")
    )
    assert plain.log_partition is None
    alone = run(only_exact(), tmp_path / "alone.h5").run(**where).trajectory
    assert np.array_equal(plain.metric("kl"), alone.metric("kl"))
    assert np.isfinite(noisy_run.metric("log_partition")).all()
    assert (noisy_run.metric("log_partition_error") == 0).all()
    assert (noisy_run.step[-1], mine.step[-1]) == (30, 20)
    # The same start under every gradient.
    starts = [path.metric("kl")[0] for path in (plain, noisy_run, mine)]
    assert max(starts) - min(starts) < 1e-12
    assert mine.model != noisy_run.model
    rows = Archive(tmp_path / "out.h5").groups()
    assert {row["gradient"] for row in rows} == {"exact", "noisy-2", "mine"}


def test_numbers_do_not_depend_on_the_batch(tmp_path: Path, whole: str) -> None:
    assert run(estimated(run={"batch": 1}), tmp_path / "out.h5").fingerprint() == whole


def test_chains_of_this_package_are_found_by_name(tmp_path: Path) -> None:
    raw = tiny(seeds=2, training={"iterations": 8, "chains": 70, "temperatures": 3})
    raw["model"] |= {"paulis": "XZ", "hidden": 1}
    raw["training"]["gradient"] = ["exact", "cd-1", "pcd-2", "tempered", "minibatches"]
    raw["gradients"] = {
        "minibatches": {
            "gradient": "cd", "batch_size": 5, "centred": True, "evaluate": "ais",
            "evaluations": 2, "ais_chains": 20, "ais_betas": 10,
        }
    }  # fmt: skip
    one = run(raw, tmp_path / "one.h5")
    two = run({**raw, "run": {"batch": 1}}, tmp_path / "two.h5")
    assert one.fingerprint() == two.fingerprint()
    ends = {
        label: one.run(gradient=label, seed=1).trajectory for label in raw["training"]["gradient"]
    }
    assert len({path.model.to_vector().tobytes() for path in ends.values() if path.model}) == 5
    error = ends["minibatches"].metric("log_partition_error")
    assert np.isfinite(error).sum() == 2
    assert error[-1] > 0


def test_a_resume_in_the_middle_ends_with_the_same_numbers(
    tmp_path: Path, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(BaseException):
        pass

    def stop() -> None:
        raise Stop

    raw = estimated(run={"batch": 2, "checkpoint_seconds": 0})
    left = []
    for at in (5, 9, 24):
        with monkeypatch.context() as patch:
            Disturbance(patch, at, stop)
            with pytest.raises(Stop):
                run_study(raw, tmp_path / "out.h5", progress=False, resume=True)
        left.append(len(list((tmp_path / "out.h5.parts" / "checkpoints").glob("*.h5"))))
    assert any(left)
    assert run(raw, tmp_path / "out.h5", resume=True).fingerprint() == whole


def test_gradients_may_be_added(tmp_path: Path, whole: str) -> None:
    out = tmp_path / "out.h5"
    run_study(only_exact(), out, progress=False)
    before = Archive(out).run(paulis="Z", seed=1).started
    archive = run(estimated(), out, resume=True)
    assert archive.fingerprint() == whole
    assert archive.run(paulis="Z", seed=1, gradient="exact").started == before
    assert run(only_exact(), out, resume=True).fingerprint() == whole
    with pytest.raises(StudyError, match=r"gradients\.mine\.batch_size was 3 and is now 2"):
        run_study(estimated(gradients__mine__batch_size=2), out, resume=True, progress=False)


def test_test_data_are_recorded(noisy: None, tmp_path: Path, rows: Path) -> None:
    data = {"name": str(rows), "test_fraction": 0.25, "repeats": "together"}
    raw = estimated(data=data, model__visible=6)
    archive = run(raw, tmp_path / "out.h5")
    where: dict[str, Any] = {"paulis": "XYZ", "hidden": 2, "seed": 3}
    _, test = datasets.load_split(rows, 6, test_fraction=0.25, seed=0)
    assert test is not None
    for label in ("exact", "noisy-2"):
        found = archive.run(**where, gradient=label)
        model = found.model
        assert isinstance(model, SqRBM)
        log_p = model.log_weight(test.states) - exact.log_partition(model)
        nll = -test.probabilities @ log_p
        assert found.trajectory.metric("test_nll")[-1] == pytest.approx(nll)


def test_metrics_are_kept_as_asked(noisy: None, tmp_path: Path) -> None:
    raw = estimated(output={"metrics": ["tvd", "log_partition"], "records": 5})
    archive = run(raw, tmp_path / "out.h5")
    for label in ("exact", "noisy-2"):
        path = archive.run(paulis="Z", seed=1, gradient=label).trajectory
        assert path.kl is None
        assert path.log_partition is not None
        assert path.log_partition_error is None
