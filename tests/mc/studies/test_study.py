"""Study files: expansion, defaults, and every way in which one can be wrong."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc import load_study
from mc.studies.identity import identity_changes, study_identity
from mc.studies.schedule import make_tasks, run_key
from mc.studies.sections import gradient_schema, training_schema
from mc.studies.seeds import initial_stream, target_stream
from mc.studies.study import SEEDED_DATA, Study
from mc.studies.text import dump_toml
from tests.mc.studies.samples import changed, problems_of
from tnqbm.training.settings import all_settings

SMALL = """
name = "bas-small"
seeds = 20
[model]
paulis = ["Z", "XZ", "XYZ"]
visible = [6]
hidden = [1, 2, 3]
scale = 1.0
[data]
name = ["bas", "parity"]
[training]
gradient = "exact"
iterations = 2000
optimizer = "amsgrad"
learning_rate = 0.1
[output]
records = 200
snapshots = 20
"""


def study_dict(**changes: Any) -> dict[str, Any]:
    """A small valid study with dotted keys replaced; None removes a key."""
    return changed(tomllib.loads(SMALL), changes)


def test_the_example_expands_to_its_product() -> None:
    study = load_study(SMALL)
    plan = study.plan()
    assert len(plan) == 2 * 1 * 3 * 3
    assert all(group.seeds == list(range(1, 21)) for group in plan)
    assert plan[0].coordinates == {
        "paulis": "Z",
        "visible": 6,
        "hidden": 1,
        "data": "bas",
        "gradient": "exact",
    }
    settings = study.settings()
    assert settings.iterations == 2000
    assert settings.records == 200
    assert settings.snapshots == 20
    assert study.text == SMALL


def test_path_text_and_mapping_are_the_same_study(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(SMALL)
    raw = tomllib.loads(SMALL)
    identities = [study_identity(load_study(source)) for source in (path, str(path), SMALL, raw)]
    assert all(identity == identities[0] for identity in identities)
    assert tomllib.loads(load_study(raw).text) == raw


def test_single_values_stand_for_lists_of_one() -> None:
    raw = study_dict(model__paulis="XY", model__visible=4, model__hidden=2, data__name="on2")
    assert [group.coordinates["paulis"] for group in load_study(raw).plan()] == ["XY"]


def test_seeds_may_be_listed() -> None:
    assert load_study(study_dict(seeds=[7, 3, 0])).seeds == [7, 3, 0]


def test_hidden_by_paulis_overrides_hidden() -> None:
    raw = study_dict(model__hidden=[9], model__hidden_by_paulis={"Z": [3, 6], "XYZ": [1, 2]})
    found = {(c["paulis"], c["hidden"]) for c in load_study(raw).combinations()}
    assert found == {("Z", 3), ("Z", 6), ("XZ", 9), ("XYZ", 1), ("XYZ", 2)}
    alone = study_dict(model__hidden=None, model__hidden_by_paulis={"Z": [3], "XZ": 2, "XYZ": [1]})
    assert len(load_study(alone).combinations()) == 6


def test_grid_is_the_union_of_its_products_without_duplicates() -> None:
    raw = study_dict(
        grid=[
            {"visible": 4, "hidden": [1, 2], "data": "bas"},
            {"visible": [4, 6], "hidden": 2, "data": "bas", "paulis": "XZ"},
            {"hidden_by_paulis": {"Z": [5], "XZ": [3], "XYZ": [2]}, "data": "parity"},
        ]
    )
    found = [
        (c["data"], c["visible"], c["paulis"], c["hidden"]) for c in load_study(raw).combinations()
    ]
    assert len(found) == len(set(found)) == 6 + 1 + 3
    assert ("bas", 6, "XZ", 2) in found
    assert ("parity", 6, "Z", 5) in found


def test_grid_alone_needs_no_model_section() -> None:
    raw = {
        "name": "grid",
        "seeds": 2,
        "grid": [{"paulis": "Z", "visible": 4, "hidden": 1, "data": "bas"}],
    }
    assert len(load_study(raw).plan()) == 1


def test_the_keys_of_training_are_the_settings_of_trainings() -> None:
    apart = {"records", "snapshots"}
    assert set(training_schema().model_fields) == (set(all_settings()) | {"recipe"}) - apart
    assert set(gradient_schema().model_fields) == set(all_settings()) - apart


def test_records_all_keeps_every_iteration() -> None:
    assert load_study(study_dict(output__records="all")).settings().records is None


def test_a_study_survives_pickling() -> None:
    study = load_study(SMALL)
    again = pickle.loads(pickle.dumps(study))
    assert again == study
    assert again.text == study.text
    assert again.folder == study.folder


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__paulis": ["Z", "XZZ"]}, ["model.paulis[1] = 'XZZ'", "repeats 'Z'", "'XZ'"]),
        ({"model__paulis": "Q"}, ["model.paulis = 'Q'", "only the letters X, Y and Z"]),
        ({"model__paulis": "xyz"}, ["model.paulis = 'xyz'", "did you mean 'XYZ'"]),
        ({"model__paulis": 3}, ["model.paulis = 3", "string"]),
        ({"model__paulis": []}, ["model.paulis", "empty"]),
        ({"model__visible": 7}, ["data.name = 'bas'", "model.visible = 7", "even"]),
        ({"model__visible": 0}, ["model.visible = 0", "at least 1"]),
        ({"model__visible": 6.0}, ["model.visible = 6.0", "whole number"]),
        ({"model__visible": True}, ["model.visible = True", "whole number"]),
        ({"model__visible": 60}, ["'exact' with visible = 60", "enumerat"]),
        ({"model__hidden": [1, 0]}, ["model.hidden[1] = 0", "at least 1"]),
        ({"model__hidden": -2}, ["model.hidden = -2", "at least 1"]),
        ({"model__hidden": None}, ["model.hidden: missing", "hidden = [1, 2, 3]"]),
        ({"model__scale": float("nan")}, ["model.scale = nan", "finite"]),
        ({"model__scale": "1"}, ["model.scale = '1'", "number"]),
        ({"model__hiden": 1}, ["model.hiden", "did you mean 'hidden'"]),
        ({"model__learning_rate": 0.1}, ["model.learning_rate", "belongs to [training]"]),
        ({"model__seeds": 3}, ["model.seeds", "top of the file"]),
        (
            {"model__hidden_by_paulis": {"Y": [1]}},
            ["model.hidden_by_paulis.Y: not one of the paulis here"],
        ),
        ({"model__hidden_by_paulis": {"ZZ": [1]}}, ["hidden_by_paulis", "repeats 'Z'"]),
        ({"data__name": "bsa"}, ["data.name = 'bsa'", "did you mean 'bas'"]),
        ({"data__name": "nothing.csv"}, ["data.name = 'nothing.csv'", "nothing.csv"]),
        ({"data__name": None}, ["data.name: missing"]),
        ({"training__learning_rat": 0.1}, ["training.learning_rat", "'learning_rate'"]),
        ({"training__learning_rate": -1.0}, ["training.learning_rate = -1.0"]),
        ({"training__learning_rate": "fast"}, ["training.learning_rate = 'fast'", "number"]),
        ({"training__optimizer": "amsgrd"}, ["training.optimizer = 'amsgrd'", "amsgrad"]),
        ({"training__gradient": "exakt"}, ["training.gradient = 'exakt'", "exact"]),
        ({"training__iterations": -1}, ["training.iterations = -1"]),
        ({"output__records": 0}, ["output.records = 0", "all"]),
        ({"output__snapshots": -1}, ["output.snapshots = -1"]),
        ({"output__metrics": ["tvd", "kll"]}, ["output.metrics", "'kll'", "nll"]),
        ({"run__batch": 0}, ["run.batch = 0", "at least 1"]),
        ({"run__checkpoint_seconds": -1}, ["run.checkpoint_seconds = -1"]),
        ({"name": None}, ["name: missing"]),
        ({"seeds": None}, ["seeds: missing", "seeds = 20"]),
        ({"seeds": 0}, ["seeds = 0"]),
        ({"seeds": 10**12}, ["seeds = 1000000000000", "at most"]),
        ({"seeds": [2**63]}, ["2^63 - 1"]),
        ({"grid": [{"paulis": "Z", "hidden_by_paulis": {"XZ": 1}}]}, ["grid[0].hidden_by_paulis"]),
        ({"seeds": [1, 1]}, ["seed 1 is listed twice"]),
        ({"seeds": [1, -1]}, ["-1"]),
        ({"seeds": "20"}, ["seeds = '20'"]),
        ({"seed": -1}, ["seed = -1"]),
        ({"modle": {"paulis": "Z"}}, ["modle", "did you mean 'model'"]),
        ({"model": 3}, ["model = 3", "table"]),
        ({"grid": {"visible": 4}}, ["grid", "[[grid]]"]),
        ({"grid": [{"visibel": 4}]}, ["grid[0].visibel", "'visible'"]),
        ({"grid": [{}, {"visible": 5}]}, ["grid[1].visible = 5", "even"]),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], words: list[str]) -> None:
    message = problems_of(study_dict(**changes))
    for word in words:
        assert word in message, message


def test_on2_needs_room_for_its_strings() -> None:
    message = problems_of(study_dict(model__visible=3, data__name="on2"))
    assert "data.name = 'on2' with model.visible = 3" in message


def test_every_problem_is_listed_at_once() -> None:
    raw = study_dict(
        name=None,
        seeds=-1,
        model__paulis="XZZ",
        model__scale=float("inf"),
        data__nam="bas",
        training__learning_rate=-0.1,
        training__iterations=-5,
        training__beta3=0.5,
        output__records="some",
    )
    message = problems_of(raw)
    for key in (
        "name: missing",
        "seeds = -1",
        "model.paulis = 'XZZ'",
        "model.scale = inf",
        "data.nam:",
        "training.learning_rate = -0.1",
        "training.iterations = -5",
        "output.records = 'some'",
    ):
        assert key in message, message
    assert "the study has 9 problems" in message


def test_a_grid_that_lacks_a_key_is_told_where() -> None:
    message = problems_of(study_dict(model__hidden=None, grid=[{"hidden": 1}, {"visible": 4}]))
    assert "grid[1].hidden: missing" in message
    assert "grid[0]" not in message


@pytest.mark.parametrize(
    ("rows", "word"),
    [("0,1,1,0\n0,2,1,1\n", "2"), ("0,1,1,0\n0,1\n", ""), ("", ""), ("0,1,1\n", "3")],
    ids=["a two", "ragged", "no rows", "wrong width"],
)
def test_bad_data_files_are_refused_before_any_work(tmp_path: Path, rows: str, word: str) -> None:
    (tmp_path / "mine.csv").write_text(rows)
    path = tmp_path / "study.toml"
    path.write_text(dump_toml(study_dict(data__name="mine.csv", model__visible=4)))
    message = problems_of(path)
    assert "data.name = 'mine.csv' with model.visible = 4" in message
    assert word in message.partition("visible = 4")[2]


def test_data_files_are_relative_to_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("0,1,1,0\n0,1,0,1\n")
    path = tmp_path / "study.toml"
    path.write_text(dump_toml(study_dict(data__name="mine.csv", model__visible=4)))
    study = load_study(path)
    coordinates = study.combinations()[0]
    assert coordinates["data"] == "mine.csv"
    assert study.target(coordinates, 1).states.shape == (2, 4)
    assert study_identity(study)["data.mine.csv"].startswith("sha256:")


def test_random_streams_know_a_data_file_by_its_rows(tmp_path: Path) -> None:
    """Another name or kind of file changes no number; another row does."""
    rows = np.array([[0, 1, 1, 0], [0, 1, 0, 1]])
    np.savetxt(tmp_path / "mine.csv", rows, fmt="%d", delimiter=",")
    np.save(tmp_path / "again.npy", rows.astype(float))
    np.save(tmp_path / "other.npy", 1 - rows)
    names = ["mine.csv", "again.npy", "other.npy"]
    path = tmp_path / "study.toml"
    path.write_text(dump_toml(study_dict(data__name=names, model__visible=4, model__hidden=1)))
    study = load_study(path)
    runs = {c["data"]: c for c in study.combinations() if c["paulis"] == "Z"}
    models, keys = (
        [ask(runs[name], 1) for name in names] for ask in (study.initial_model, study.key)
    )
    assert models[0] == models[1] != models[2]
    assert keys[0] == keys[1] != keys[2]


def test_streams_of_built_in_data_are_those_of_published_archives() -> None:
    study = load_study(study_dict(seed=0, model__paulis="Z", model__visible=4, model__hidden=1))
    assert study.key(study.combinations()[0], 1) == 15848108146534769889


def test_runs_of_data_files_do_not_go_on_with_streams_of_another_rule(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("0,1,1,0\n0,1,0,1\n")
    path = tmp_path / "study.toml"
    path.write_text(dump_toml(study_dict(data__name="mine.csv", model__visible=4)))
    now = study_identity(load_study(path))
    before = {key: value for key, value in now.items() if not key.startswith("streams.")}
    (line,) = identity_changes(before, now, ["exact"])
    assert "mine.csv were named by the file" in line
    # A file that is new to the study concerns none of its earlier runs.
    without = {key: value for key, value in before.items() if not key.startswith("data.")}
    assert identity_changes(without, now, ["exact"]) == []
    assert identity_changes(now, now, ["exact"]) == []


def test_not_toml_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('name = "x"\nseeds = = 3\n')
    message = problems_of(path)
    assert "not valid TOML" in message
    assert "line 2" in message
    assert "seeds = = 3" in message


def test_unreadable_study_files(tmp_path: Path) -> None:
    assert "no study file" in problems_of(tmp_path / "absent.toml")
    assert "cannot be read" in problems_of(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in problems_of(tmp_path / "binary.toml")


def test_a_mapping_that_toml_cannot_hold() -> None:
    assert "TOML cannot hold" in problems_of({"name": object()})


# --- streams -----------------------------------------------------------------------------------


def test_streams_depend_on_the_run_and_nothing_else() -> None:
    small, large = load_study(SMALL), load_study(study_dict(seeds=100, model__hidden=[1, 2, 9]))
    coordinates = small.combinations()[0]
    assert small.initial_model(coordinates, 3) == large.initial_model(coordinates, 3)
    reordered = dict(reversed(coordinates.items()))
    assert small.initial_model(reordered, 3) == large.initial_model(coordinates, 3)


def test_streams_are_different_for_different_runs() -> None:
    coordinates = load_study(SMALL).combinations()
    states = {
        tuple(initial_stream(root, c, seed).generate_state(4))
        for root in (0, 1)
        for c in coordinates
        for seed in range(5)
    }
    assert len(states) == 2 * len(coordinates) * 5


def test_streams_never_change() -> None:
    # Archives are resumed and repeated years later: these numbers are part of the format.
    coordinates: dict[str, Any] = {
        "paulis": "XYZ",
        "visible": 6,
        "hidden": 2,
        "data": "bas",
        "gradient": "exact",
    }
    assert initial_stream(0, coordinates, 1).generate_state(2).tolist() == INITIAL_WORDS
    assert target_stream(0, "on2", 6, 1).generate_state(2).tolist() == TARGET_WORDS


INITIAL_WORDS = [2451378095, 575376940]
TARGET_WORDS = [1794310418, 2692095710]


def test_every_model_has_the_same_random_target() -> None:
    study = load_study(study_dict(data__name="on2"))
    targets = [study.target(coordinates, 2) for coordinates in study.combinations()]
    assert all(np.array_equal(target.states, targets[0].states) for target in targets)
    other = study.target(study.combinations()[0], 3)
    assert not np.array_equal(other.states, targets[0].states)


def test_data_sets_that_use_no_seed_are_built_once() -> None:
    from tnqbm import datasets

    for name in datasets.NAMES:
        n = 64 if name == "digits" else 6
        first, second = (datasets.load(name, n, seed=seed) for seed in (1, 2))
        assert np.array_equal(first.states, second.states) is (name not in SEEDED_DATA)


# --- tasks -------------------------------------------------------------------------------------


def runs_of(tasks: list[Any]) -> list[Any]:
    return sorted(run_key(task.coordinates, seed) for task in tasks for seed in task.seeds)


@pytest.mark.parametrize("batch", [None, 1, 7, 20, 1000])
def test_tasks_cover_the_plan_once(batch: int | None) -> None:
    study = load_study(study_dict(run__batch=batch))
    planned = sorted(
        run_key(group.coordinates, seed) for group in study.plan() for seed in group.seeds
    )
    tasks = study.tasks()
    assert runs_of(tasks) == planned
    assert [task.index for task in tasks] == list(range(len(tasks)))
    costs = [task.cost for task in tasks]
    assert costs == sorted(costs, reverse=True)
    assert len({task.key for task in tasks}) == len(tasks)
    if batch:
        assert max(len(task.seeds) for task in tasks) == min(batch, 20)


def test_one_combination_is_shared_out_too() -> None:
    raw = study_dict(model__paulis="XYZ", model__hidden=5, data__name="bas")
    assert len(load_study(raw).tasks()) >= 4


def test_expensive_runs_are_not_batched_beyond_a_minute() -> None:
    raw = study_dict(
        seeds=100, model__paulis="XYZ", model__visible=16, model__hidden=40, data__name="parity"
    )
    assert max(len(task.seeds) for task in load_study(raw).tasks()) == 4


def test_finished_runs_are_left_out() -> None:
    study = load_study(study_dict(run__batch=8))
    first = study.tasks()[0]
    finished = {run_key(first.coordinates, seed) for seed in first.seeds}
    rest = study.tasks(finished=finished)
    assert len(rest) == len(study.tasks()) - 1
    assert not finished & set(runs_of(rest))


def test_tasks_with_a_checkpoint_stay_together_whatever_the_batch() -> None:
    coordinates = load_study(SMALL).combinations()[0]
    groups = [(coordinates, list(range(1, 21)))]
    kept = (coordinates, [4, 5, 6, 7])
    gone = (coordinates, [1, 2])
    tasks = make_tasks(
        groups,
        cost=lambda coordinates: 1e6,
        batch=5,
        finished={run_key(coordinates, 1)},
        begun=[kept, gone, (coordinates, [5]), (coordinates, [99])],
    )
    assert (4, 5, 6, 7) in [task.seeds for task in tasks]
    assert [key[1] for key in runs_of(tasks)] != []
    assert sorted(seed for task in tasks for seed in task.seeds) == list(range(2, 21))


def test_identity_ignores_how_the_work_is_done() -> None:
    plain = study_identity(load_study(SMALL))
    assert study_identity(load_study(study_dict(run__batch=3, seeds=4))) == plain
    assert study_identity(load_study(study_dict(training__beta1=0.8))) != plain
    assert study_identity(load_study(study_dict(model__scale=0.5))) != plain
    assert study_identity(load_study(study_dict(seed=1))) != plain


def test_dump_toml_round_trip() -> None:
    raw = {
        "name": 'tricky "name"\n\x7f',
        "number": 1e16,
        "infinite": float("inf"),
        "flag": True,
        "list": [1, 2],
        "a b": {"inner": {"x": -0.5}},
        "grid": [{"visible": 4}, {"table": {"Z": [1]}}],
    }
    text = dump_toml({**raw, "nothing": None})
    assert tomllib.loads(text) == raw
    assert tomllib.loads(dump_toml({"seeds": range(1, 3), "at": (0.5,)})) == {
        "seeds": [1, 2],
        "at": [0.5],
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"a": {"b": object()}}, "of type object"),
        ({"a": [1, None]}, "None of type NoneType"),
        ({"a": {3: 1}}, "keys must be text, not 3"),
    ],
)
def test_what_toml_cannot_hold(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        dump_toml(raw)


def test_study_is_immutable() -> None:
    study = load_study(SMALL)
    assert isinstance(study, Study)
    with pytest.raises(ValueError, match="frozen"):
        study.seed = 3  # type: ignore[misc,unused-ignore]
