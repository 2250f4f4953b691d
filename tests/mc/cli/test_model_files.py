"""``tnqbm model import`` and ``export``: files of other programs, and what is said about them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.mc.cli.calling import caller, message_of
from tests.tnqbm.interop.models.test_loading import parameters, write_rbms
from tnqbm import SqRBM
from tnqbm.interop import load_model, to_arrays

call = caller("model")
message = message_of(call)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    w, a, b = parameters()
    np.savez("arrays.npz", J=w, h=a, c=b)
    write_rbms(Path("training.h5"))
    return tmp_path


def test_help_has_examples() -> None:
    for name in ("import", "export"):
        assert name in call("--help").stdout
        assert f"tnqbm model {name}" in call(name, "--help").stdout


def test_import(here: Path) -> None:
    words = ["import", "arrays.npz", "--units", "spins", "--names", "w=J,a=h", "--names", "b=c"]
    found = json.loads(call(*words, "-o", "model.h5", "--json").stdout)
    expected = load_model(parameters(), units="spins")
    assert SqRBM.load("model.h5") == expected.model
    assert found["constant"] == expected.constant == 0
    assert (found["format"], found["units"], found["visible"], found["hidden"]) == (
        "npz", "spins", 5, 3,
    )  # fmt: skip
    assert found["names"] == {"w": "J", "a": "h", "b": "c"}
    text = call("import", "training.h5", "--update", 10, "-o", "rbms.h5").stdout
    assert "rbms, bits; w = update_10/params/weight_matrix" in text
    constant = load_model("training.h5", update=10).constant
    assert f"constant    {constant:.10f} (log weights there minus those of the model)" in text


def test_export(here: Path) -> None:
    model = SqRBM.uniform(4, 2, "Z", seed=1)
    model.save("model.h5")
    words = ["export", "model.h5", "--units", "spins", "--rows", "hidden", "--names", "w=J"]
    found = json.loads(call(*words, "-o", "out.npz", "--json").stdout)
    arrays = to_arrays(model, units="spins", rows="hidden")
    with np.load("out.npz") as file:
        assert (file["J"] == arrays.w).all()
    assert found["constant"] == arrays.constant
    assert "written to  again.npz (bits, rows of W: visible units, n = 4, m = 2)" in (
        call("export", "model.h5", "-o", "again.npz").stdout
    )
    call("import", "out.npz", "-o", "back.h5", "--names", "w=J")
    assert np.abs(SqRBM.load("back.h5").to_vector() - model.to_vector()).max() < 1e-15


def test_messages(here: Path) -> None:
    assert "more than one reading" in message("import", "arrays.npz", "-o", "model.h5")
    assert "there is no update 7" in message(
        "import", "training.h5", "--update", 7, "-o", "model.h5"
    )
    assert "does not exist" in message("import", "absent.pt", "-o", "model.h5")
    assert "must end in one of .h5" in message("import", "arrays.npz", "-o", "model.npz")
    assert "not of the form key=value" in message(
        "import", "arrays.npz", "-o", "model.h5", "--names", "J", code=2
    )
    assert "more than one name for w" in message(
        "import", "arrays.npz", "-o", "model.h5", "--names", "w=J,w=K", code=2
    )
    assert not Path("model.h5").exists()
    SqRBM.uniform(4, 2, "XZ", seed=1).save("model.h5")
    assert "only models with the Pauli set 'Z'" in message("export", "model.h5", "-o", "out.npz")
