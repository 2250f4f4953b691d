"""Studies whose gradients are measured on circuits."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from mc import StudyInterrupted, load_study, run_study
from mc.identity import study_identity
from tests.mc.study_samples import Disturbance, run, tiny
from tnqbm.archive import Archive
from tnqbm.errors import StudyError

TEXT = """
name = "measured"
seeds = 2
[model]
paulis = "XZ"
visible = 4
hidden = 1
scale = 0.1
[data]
name = "bas"
[training]
gradient = ["exact", "quantum", "enhanced"]
iterations = 3
shots = 500
chains = 10
[gradients.enhanced]
method = "quantum"
strategy = "enhanced"
"""


def study(**training: Any) -> dict[str, Any]:
    raw = tomllib.loads(TEXT)
    raw["training"] |= training
    return raw


def problems(raw: dict[str, Any]) -> str:
    with pytest.raises(StudyError) as caught:
        load_study(raw)
    return str(caught.value)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return run(study(), tmp_path_factory.mktemp("quantum") / "measured.h5")


def test_studies_record_what_they_can(archive: Archive) -> None:
    assert archive.progress == (6, 6)
    tvd = {
        str(one.coordinates["gradient"]): one.trajectory.tvd
        for one in archive.runs()
        if one.coordinates["seed"] == 1
    }
    assert len(tvd) == 3
    assert all(np.isfinite(values).all() for values in tvd.values())
    np.testing.assert_allclose([values[0] for values in tvd.values()], tvd["exact"][0])
    assert len({float(values[-1]) for values in tvd.values()}) == 3


@pytest.mark.parametrize("gradient", ["quantum", "enhanced"])
def test_interrupted_studies_resume_to_the_same_bits(
    tmp_path: Path, archive: Archive, gradient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = study(gradient=gradient), tmp_path / "out.h5"
    raw["run"] = {"checkpoint_seconds": 0, "batch": 1}
    if gradient == "quantum":
        del raw["gradients"]

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        Disturbance(patch, 3, interrupt)
        with pytest.raises((KeyboardInterrupt, StudyInterrupted)):
            run(raw, out)
    resumed = Archive(run_study(raw, out, resume=True, progress=False))
    for one in resumed.runs():
        assert one.fingerprint() == archive.run(**one.coordinates).fingerprint()


def test_settings_are_in_the_identity_where_they_differ() -> None:
    found = study_identity(load_study(study(trotter_steps=3)))
    assert found["training.shots"] == 500
    assert found["training.trotter_steps"] == 3
    assert found["gradients.enhanced.strategy"] == "enhanced"
    assert "training.backend" not in found
    # Earlier archives of other studies stay theirs.
    assert not {key for key in study_identity(load_study(tiny())) if key.endswith(".shots")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "ear"}, "did you mean 'aer'"),
        ({"strategy": "enhance"}, "training.strategy = 'enhance'"),
        ({"shots": 0}, "training.shots = 0"),
        ({"shots": 10}, "training.shots = 10"),
        ({"chains": 1}, "'enhanced': chains = 1"),
        ({"trotter_step": 2}, "trotter_steps"),
        ({"gradient": "quantun"}, "'quantum'"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in problems(study(**changes))


def test_ranks_cannot_share_a_device() -> None:
    raw = study(gradient="quantum")
    raw["run"] = {"ranks_per_run": 2}
    assert "measures circuits" in problems(raw)


def test_without_the_extra_studies_say_so_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit", None)
    assert "tnqbm[quantum]" in problems(study())
    load_study(tiny())


def test_the_study_of_this_package_is_well_formed() -> None:
    path = Path(__file__).parents[2] / "scripts" / "studies" / "quantum.toml"
    labels = load_study(path).labels()
    assert labels == ["exact", "imaginary-time", "enhanced"]
