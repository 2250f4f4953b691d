"""Rows that a study holds out: to test with, to validate with, and none that it trains with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc import load_study, run_study
from mc.studies.combinations import unsaid_repeats
from mc.studies.identity import identity_changes, study_identity
from tests.mc.studies.samples import problems_of, run, tiny
from tnqbm import SqRBM, datasets, exact
from tnqbm.archive import Archive
from tnqbm.base.errors import StudyError

RESULTS = Path(__file__).parents[3] / "data" / "results"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """60 rows of 4 bits, so most of them are there more than once."""
    path = tmp_path / "rows.npy"
    np.save(path, np.random.default_rng(0).integers(0, 2, (60, 4), dtype=np.uint8))
    return path


def study_of(rows: Path, **data: Any) -> dict[str, Any]:
    table = {"name": str(rows), "test_fraction": 0.25, **data}
    return tiny(data=table, seeds=2, model__hidden=[1])


def test_validation_data_are_recorded(tmp_path: Path, rows: Path) -> None:
    raw = study_of(rows, valid_fraction=0.25, repeats="together")
    archive = run(raw, tmp_path / "out.h5")
    parts = datasets.load_split(rows, 4, test_fraction=0.25, valid_fraction=0.25, seed=0)
    found = archive.run(paulis="XYZ", seed=2)
    model = found.model
    assert isinstance(model, SqRBM)
    for name, part in zip(("nll", "valid_nll", "test_nll"), parts, strict=True):
        assert part is not None
        log_p = model.log_weight(part.states) - exact.log_partition(model)
        assert found.trajectory.metric(name)[-1] == pytest.approx(-part.probabilities @ log_p)
    assert archive.table()[0]["valid_nll"] is not None
    study = load_study(raw)
    coordinates = study.combinations()[0]
    valid = study.valid_target(coordinates)
    assert valid is not None
    assert np.array_equal(valid.states, parts[1].states)
    assert load_study(study_of(rows)).valid_target(coordinates) is None


def test_rows_on_both_sides_must_be_asked_for(tmp_path: Path, rows: Path) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(StudyError, match=r"cannot start:\n  data.repeats: missing; (\d+) of the"):
        run_study(study_of(rows), out, progress=False)
    assert not list(tmp_path.glob("out*"))
    # It loads, for archives of earlier versions have no such key.
    study = load_study(study_of(rows))
    train, test = datasets.load_split(rows, 4, test_fraction=0.25, repeats="anywhere", seed=0)
    assert np.array_equal(study.target(study.combinations()[0], 1).states, train.states)
    assert test is not None
    shared = {bytes(row) for row in train.states} & {bytes(row) for row in test.states}
    (line,) = unsaid_repeats(study)
    assert f"{len(shared)} of the {test.n_states} distinct test rows" in line
    for said in ("together", "anywhere"):
        run_study(study_of(rows, repeats=said), tmp_path / f"{said}.h5", progress=False)
    assert not unsaid_repeats(load_study(study_of(rows, test_fraction=0.0)))


def test_what_was_begun_without_the_key_goes_on(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.h5"
    with monkeypatch.context() as earlier:
        earlier.setattr("mc.running.prepare.unsaid_repeats", lambda study: [])
        before = run(study_of(rows), out).run(paulis="Z", seed=1).fingerprint()
    archive = run(study_of(rows) | {"seeds": 3}, out, resume=True)
    assert archive.progress == (6, 6)
    assert archive.run(paulis="Z", seed=1).fingerprint() == before
    # "anywhere" is what it was; "together" is another study.
    assert run(study_of(rows, repeats="anywhere") | {"seeds": 3}, out, resume=True).verify().ok
    with pytest.raises(StudyError, match=r"data\.repeats was 'anywhere' and is now 'together'"):
        run_study(study_of(rows, repeats="together") | {"seeds": 3}, out, resume=True)


def test_the_key_is_part_of_the_identity(rows: Path) -> None:
    plain = study_identity(load_study(study_of(rows)))
    assert "data.repeats" not in plain
    assert study_identity(load_study(study_of(rows, repeats="anywhere"))) == plain
    other = study_identity(load_study(study_of(rows, repeats="together", valid_fraction=0.1)))
    assert sorted(identity_changes(plain, other, ["exact"])) == [
        "data.repeats was 'anywhere' and is now 'together'",
        "data.valid_fraction was 0.0 and is now 0.1",
    ]


@pytest.mark.parametrize("name", ["ising", "digits", "trainers-digits"])
def test_archived_studies_keep_their_identity_and_their_data(name: str) -> None:
    archive = Archive(RESULTS / f"{name}.h5")
    study = load_study(archive.study_text + "\n", archived=True)
    recorded = json.loads(archive.provenance["settings"])
    assert json.loads(json.dumps(study_identity(study))) == recorded


def test_shares_that_leave_nothing_are_refused(rows: Path) -> None:
    found = problems_of(study_of(rows, test_fraction=0.6, valid_fraction=0.4))
    assert "test_fraction + valid_fraction = 1 must be below 1" in found
    found = problems_of(study_of(rows, repeats="apart"))
    assert "data.repeats = 'apart': must be 'together' or 'anywhere'" in found


# --- files of their own --------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Spins of 4 units in three files, +1 for bit 1."""
    rng = np.random.default_rng(3)
    paths = {}
    for name, count in (("train", 60), ("valid", 20), ("test", 30)):
        paths[name] = tmp_path / f"spins.{name}.data"
        np.savetxt(paths[name], rng.choice([-1, 1], (count, 4)), fmt="%d", delimiter=",")
    return paths


def of_files(files: dict[str, Path], **data: Any) -> dict[str, Any]:
    table = {name: str(path) for name, path in files.items()} | {"spins": "+1 is 1"} | data
    given = {name: value for name, value in table.items() if value is not None}
    return tiny(data=given, seeds=1, model__hidden=[1])


def test_parts_are_files_of_their_own(tmp_path: Path, files: dict[str, Path]) -> None:
    archive = run(of_files(files), tmp_path / "out.h5")
    found = archive.run(paulis="XYZ", seed=1)
    model = found.model
    assert isinstance(model, SqRBM)
    spins = {"spins": "+1 is 1"}
    parts = datasets.load_parts(
        files["train"], 4, valid=files["valid"], test=files["test"], **spins
    )
    for name, part in zip(("nll", "valid_nll", "test_nll"), parts, strict=True):
        assert part is not None
        log_p = model.log_weight(part.states) - exact.log_partition(model)
        assert found.trajectory.metric(name)[-1] == pytest.approx(-part.probabilities @ log_p)
    rows = (np.loadtxt(files["test"], delimiter=",") + 1) // 2
    assert parts.test is not None
    assert np.array_equal(parts.test.states, datasets.Target.from_samples(rows).states)


def test_what_was_done_to_the_data_is_in_the_archive(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    archive = run(of_files(files), tmp_path / "out.h5")
    facts = json.loads(archive.provenance["data"])
    assert sorted(facts) == sorted(map(str, files.values()))
    train = facts[str(files["train"])]
    data = datasets.read_data(files["train"], spins="+1 is 1")
    assert train == data.facts()
    assert train["rows"] == 60
    assert train["steps"] == ["spins: +1 is 1"]
    assert train["file"] == data.file_digest != train["bits"] == data.digest


def test_files_and_their_meaning_are_part_of_the_identity(files: dict[str, Path]) -> None:
    first = study_identity(load_study(of_files(files)))
    assert first["data.spins"] == "+1 is 1"
    assert first["data.test"].startswith("sha256:")
    changes = identity_changes(
        first, study_identity(load_study(of_files(files, spins="+1 is 0"))), ["exact"]
    )
    assert "data.spins was '+1 is 1' and is now '+1 is 0'" in changes
    files["test"].write_text("1,1,1,-1\n")
    changes = identity_changes(first, study_identity(load_study(of_files(files))), ["exact"])
    assert [line.split(" was ")[0] for line in changes] == ["data.test"]


def test_a_file_and_a_share(tmp_path: Path, files: dict[str, Path]) -> None:
    raw = of_files({"train": files["train"], "test": files["test"]}, valid_fraction=0.25)
    study = load_study(raw)
    where = study.combinations()[0]
    train, valid, test = study.target(where, 1), study.valid_target(where), study.test_target(where)
    assert valid is not None
    assert test is not None
    assert (train.n_samples, valid.n_samples, test.n_samples) == (45, 15, 30)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "bas"}, r"data\.train = .*: give name or train, not both"),
        ({"test_fraction": 0.1}, r"data\.test = .*: give test or test_fraction, not both"),
        ({"train": None, "name": "a.csv"}, r"data\.test = .*: goes with train"),
        ({"test": "digits"}, r"data\.test = 'digits': is no data file"),
        ({"spins": None}, r"(?s)only 0 and 1 may occur.*spins = \"\+1 is 0\""),
        ({"spins": "up"}, r"data\.spins = 'up': must be \"\+1 is 0\""),
        ({"binarise": "bernoulli"}, "spins and binarise exclude each other"),
        ({"test": "no.data"}, r"no data file .*no\.data"),
        ({"drop": 9}, "drop: there is no column 9; the columns are 1 to 4"),
    ],
)
def test_what_does_not_fit(files: dict[str, Path], data: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        load_study(of_files(files, **data))


def test_options_of_files_are_not_for_other_data() -> None:
    found = problems_of(tiny(data={"name": "bas", "binarise": "threshold:0.5"}))
    assert "data.binarise = 'threshold:0.5': is about files, and 'bas' is bits already" in found
