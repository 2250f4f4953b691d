"""``tnqbm sample``: what it writes and prints, and one clear message for every bad call."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from mc.sampling.policies import Chains, Perfect, Tempered
from mc.sampling.sample import sample
from tests.mc.cli.calling import caller, message_of
from tests.synthetic import ladder, write
from tnqbm.core.model import SqRBM
from tnqbm.datasets import load, read_samples
from tnqbm.files.storage import check_seal

call = caller("sample")
message = message_of(call)

QUICK = ["-n", "20", "--chains", "30", "--kernel", "collapsed", "--seed", "4"]


@pytest.fixture
def model() -> SqRBM:
    return SqRBM.uniform(6, 2, "XZ", scale=0.4, seed=3)


@pytest.fixture
def path(tmp_path: Path, model: SqRBM) -> Path:
    model.save(tmp_path / "model.h5")
    return tmp_path / "model.h5"


def test_help_has_an_example() -> None:
    text = call("--help").output
    assert "tnqbm sample model.h5" in text
    assert "--json" in text


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".csv"])
def test_samples_are_written_and_read_back(
    path: Path, tmp_path: Path, model: SqRBM, suffix: str
) -> None:
    out = tmp_path / f"samples{suffix}"
    text = call(path, *QUICK, "-o", out).output
    assert str(out) in text
    assert "30 chains x 20" in text
    assert "mixed" in text
    expected, info = sample(model, 20, Chains(chains=30, kernel="collapsed"), seed=4)
    found = read_samples(out)
    assert (found.reshape(expected.shape) == expected).all()
    assert "exists" in message(path, *QUICK, "-o", out)
    call(path, *QUICK, "--seed", "5", "-o", out, "--overwrite")
    assert (read_samples(out) != found).any()
    if suffix == ".csv":
        assert "# kernel: collapsed" in out.read_text()
        assert f"# burn_in: {info.burn_in}" in out.read_text()


def test_the_file_says_where_it_comes_from(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.h5"
    call(path, *QUICK, "-o", out, "--clamp", "0=1, 5=0")
    assert check_seal(out).status == "whole"
    with h5py.File(out, "r") as file:
        facts = dict(file.attrs)
        states = file["states"][()]
    assert facts["chains"] == 30
    assert facts["samples_per_chain"] == 20
    assert facts["seed"] == 4
    assert facts["kernel"].decode() == "collapsed"
    assert facts["model"].decode() == str(path)
    assert facts["clamp"].decode() == "0=1, 5=0"
    assert json.loads(facts["mixed"]) is True
    assert json.loads(facts["pilots"])[0]["kernel"] == "collapsed"
    assert {"tnqbm", "numpy", "written", "format", "format_version"} <= facts.keys()
    assert (states[:, 0] == 1).all()
    assert (states[:, 5] == 0).all()


def test_clamp_files(path: Path, tmp_path: Path) -> None:
    row = np.array([1, -1, -1, -1, -1, 0])
    np.save(tmp_path / "held.npy", row)
    (tmp_path / "held.csv").write_text("# a completion\n1,-1,-1,-1,-1,0\n")
    for name in ("held.npy", "held.csv"):
        out = tmp_path / f"{name}.out.npy"
        call(path, *QUICK, "-o", out, "--clamp-file", tmp_path / name)
        assert (read_samples(out)[:, 0] == 1).all()
        assert (read_samples(out)[:, 5] == 0).all()
    (tmp_path / "held.csv").write_text("1,x\n")
    assert "held.csv" in message(path, *QUICK, "--clamp-file", tmp_path / "held.csv")
    assert "none.csv" in message(path, *QUICK, "--clamp-file", tmp_path / "none.csv")
    np.save(tmp_path / "held.npy", row[:3])
    assert "(6,)" in message(path, *QUICK, "--clamp-file", tmp_path / "held.npy")


def test_json_and_the_table_of_pilots(path: Path) -> None:
    found = json.loads(call(path, "-n", "20", "--json").stdout)
    assert found["visible"] == 6
    assert found["mixed"] is True
    assert {pilot["kernel"] for pilot in found["pilots"]} >= {"collapsed", "bloch"}
    assert found["pilots"][0]["ess_per_second"] > 0
    text = call(path, "-n", "20").output
    assert "chosen" in text
    assert "ESS/s" in text


def test_a_run_of_an_archive_and_its_data(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.h5", ladder({1: [0.5, 0.3]}))
    found = json.loads(
        call(archive, "--run", "seed=2", *QUICK, "--json", "--init", "data", "--data", "bas").stdout
    )
    assert found["run"]["seed"] == 2
    assert found["data"] == "bas"
    assert "--run" in message(archive, *QUICK, code=2)


def test_chains_that_did_not_mix_give_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "modes.h5"
    SqRBM(np.zeros(6), np.zeros((1, 2)), np.full((1, 6, 2), 4.0), "Z").save(path)
    result = call(path, *QUICK, "--burn-in", "20", "--thin", "1")
    assert "Warning: the chains may not have mixed" in result.stderr
    assert "mixed               no" in result.stdout
    found = json.loads(call(path, *QUICK, "--burn-in", "20", "--thin", "1", "--json").stdout)
    assert found["mixed"] is False
    assert found["warnings"]


def test_picture(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "samples.png"
    assert str(out) in call(path, *QUICK, "--picture", out, "--shape", "2x3").output
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "exists" in message(path, *QUICK, "--picture", out)
    call(path, *QUICK, "--picture", out, "--overwrite")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--kernel", "gibbs"], 2, "'gibbs'"),
        (["--kernel", "block"], 1, "'block'"),
        (["-n", "0"], 1, "samples must be at least 1"),
        (["--chains", "0"], 2, "chains must be at least 1"),
        (["--thin", "0"], 2, "thin"),
        (["--seed", "-1"], 1, "seed"),
        (["--clamp", "0"], 2, "unit=bit"),
        (["--clamp", "0=2"], 2, "'0=2'"),
        (["--clamp", "0=1,0=0"], 2, "twice"),
        (["--clamp", "6=1"], 1, "no visible unit 6"),
        (["--clamp", "0=1,1=1,2=1,3=1,4=1,5=1"], 1, "nothing to sample"),
        (["--clamp", "0=1", "--clamp-file", "x.csv"], 2, "exclude"),
        (["--init", "data"], 2, "--data"),
        (["--init", "data", "--data", "bass"], 1, "'bass'"),
        (["-o", "samples.txt"], 1, ".h5, .hdf5, .npy, .csv"),
        (["-o", "no/such/folder/samples.h5"], 1, "does not exist"),
        (["--shape", "2x3"], 2, "--picture"),
        (["--picture", "x.png", "--shape", "4x4"], 2, "pixels"),
        (["--picture", "x.png", "--shape", "six"], 2, "HxW"),
        (["--picture", "x.gif"], 1, ".png"),
    ],
)
def test_bad_calls(path: Path, words: list[str], code: int, says: str) -> None:
    if "--picture" in words:
        pytest.importorskip("matplotlib")
    assert says in message(path, *words, code=code)


# --- tensor networks ----------------------------------------------------------------------------


def test_perfect_samples_come_with_their_weights(path: Path, tmp_path: Path, model: SqRBM) -> None:
    out = tmp_path / "samples.h5"
    words = [path, "--method", "perfect", "-n", "500", "--max-bond", "2", "--seed", "4"]
    text = call(*words, "-o", out).output
    assert "effective samples" in text
    assert "bond dimension" in text
    assert "log Z" in text
    states, info = sample(model, 500, Perfect(max_bond=2), seed=4)
    with h5py.File(out, "r") as file:
        assert (file["states"][()] == states).all()
        assert (file["log_weights"][()] == info.log_weights).all()
        assert file["log_weights"].dims[0].label == "sample"
        facts = dict(file.attrs)
    assert facts["method"].decode() == "perfect"
    assert (facts["chains"], facts["samples_per_chain"]) == (1, 500)
    assert facts["ess"] == info.ess
    assert check_seal(out).status == "whole"
    assert (read_samples(out, weighted=True) == states).all()
    with pytest.raises(ValueError, match=r"samples\.h5: .* weights .* --resample"):
        read_samples(out)
    found = json.loads(call(*words, "--json").stdout)
    assert found["ess"] == info.ess
    assert found["log_partition"] == info.log_partition
    assert "kernel" not in found


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".csv"])
def test_resampled_ones_need_no_weights(
    path: Path, tmp_path: Path, model: SqRBM, suffix: str
) -> None:
    out = tmp_path / f"samples{suffix}"
    words = [path, "--method", "perfect", "-n", "300", "--max-bond", "2", "--seed", "4"]
    text = call(*words, "--resample", "-o", out, "--clamp", "0=1").output
    assert "of 300 drawn" in text
    assert "given the clamped units" in text
    states, info = sample(model, 300, Perfect(max_bond=2, resample=True), clamp={0: 1}, seed=4)
    assert len(states) == int(info.ess)
    assert (read_samples(out) == states).all()
    assert (states[:, 0] == 1).all()
    if suffix == ".h5":
        with h5py.File(out, "r") as file:
            assert "log_weights" not in file


def test_chains_with_global_moves(path: Path, model: SqRBM) -> None:
    words = [path, "-n", "20", "--chains", "30", "--kernel", "tensor", "--max-bond", "4"]
    found = json.loads(call(*words, "--json").stdout)
    _, info = sample(model, 20, Chains(chains=30, kernel="tensor", max_bond=4), seed=0)
    assert found["kernel"] == "tensor"
    assert found["acceptance"] == info.acceptance
    assert found["ess_energy"] == info.mixing.ess_energy


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--method", "perfect", "--kernel", "block"],
            "--kernel is an option of --method chains, tempered, snapshots, not of",
        ),
        (
            ["--method", "perfect", "--burn-in", "5"],
            "--burn-in is an option of --method chains, tempered",
        ),
        (["--method", "perfect", "--chains", "100"], "--chains is an option of"),
        (["--resample"], "--resample is an option of --method perfect, not of --method chains"),
        (["--feed", "tempered"], "--feed is an option of --method perfect"),
        (["--max-bond", "4"], "max_bond is for kernel = 'tensor'"),
        (
            ["--method", "tempered", "--max-bond", "4"],
            "--max-bond is an option of --method chains, perfect",
        ),
        (["--method", "tempered", "--init", "data", "--data", "bas"], "init must be 'spread'"),
        (["--method", "perfect", "--feed", "tea"], "'tea'"),
    ],
)
def test_options_that_do_not_go_together(path: Path, words: list[str], says: str) -> None:
    assert says in message(path, *words, code=2)


def test_tempered_chains(path: Path, tmp_path: Path, model: SqRBM) -> None:
    out = tmp_path / "samples.h5"
    words = [path, "--method", "tempered", "-n", "20", "--chains", "6", "--temperatures", "3"]
    text = call(*words, "-o", out, "--data", "bas").output
    assert "6 chains x 20" in text
    assert "round trips" in text
    policy = Tempered(chains=6, temperatures=3)
    states, info = sample(model, 20, policy, data=load("bas", 6), seed=0)
    assert (read_samples(out) == states.reshape(-1, 6)).all()
    found = json.loads(call(*words, "--data", "bas", "--json").stdout)
    assert found["betas"] == [0.0, 0.5, 1.0]
    assert found["rhat_energy"] == info.mixing.rhat_energy
    assert found["mixed"] == info.mixed
    assert "tempering holds no units fixed" in message(*words, "--clamp", "0=1")


def test_bad_calls_for_networks(path: Path, tmp_path: Path) -> None:
    for suffix in (".npy", ".csv"):
        text = message(path, "--method", "perfect", "-o", tmp_path / f"samples{suffix}")
        assert "--resample" in text
        assert ".h5" in text
    assert "max_bond" in message(path, "--method", "perfect", "--max-bond", "0", code=2)
    assert "samples must be" in message(path, "--method", "perfect", "-n", "0")
