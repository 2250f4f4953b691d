"""The command line: what it prints, its exit codes, and one clear message for every bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from mc.cli import cli
from mc.cli.common import number, parse_pairs, plain
from tests.mc.cli.calling import caller, message_of
from tests.synthetic import TIME, ladder, record, write
from tnqbm import exact
from tnqbm.archive import Archive, RunRecord
from tnqbm.archive.summaries import default_metric
from tnqbm.core.model import SqRBM
from tnqbm.training.trajectory import Trajectory

call = caller()
message = message_of(call)

COMMANDS = [
    "run", "show", "plot", "verify", "merge", "evaluate", "sample", "logz", "quality", "doctor",
    "warm",
]  # fmt: skip

STUDY = """
name = "tiny"
seeds = 2
[model]
paulis = ["Z", "XZ"]
visible = 4
hidden = [1, 2]
[data]
name = ["bas", "on2"]
[training]
iterations = 10
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    runs = ladder({1: [0.5, 0.3], 2: [0.1, 0.2]}) + ladder({1: [0.1, 0.1]}, paulis="XYZ")
    return write(tmp_path / "a.h5", runs, planned=1)


# --- all commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = call(command, "--help")
    text = result.stdout
    assert not result.stderr
    assert "Example" in text
    assert f"tnqbm {command}" in text
    assert "--json" in text


def test_commands_are_those_of_the_table() -> None:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    assert set(COMMANDS) < set(found)
    assert all(command is not None and command.name == name for name, command in found.items())
    assert cli.get_command(context, "other") is None
    assert "No such command 'other'" in call("other", code=2).output
    names = [item.value for item in cli.shell_complete(context, "re")]
    assert names == ["report", "resources"]


def test_version_and_bare_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from mc.cli import command
    from tnqbm import __version__

    for known, words in (("", ""), ("abc+changes", ", commit abc+changes")):
        monkeypatch.setattr(command, "commit", lambda known=known: known)
        for option in ("--version", "-V"):
            assert call(option).output == f"tnqbm {__version__}{words}\n"
    assert all(command in call("--help").output for command in COMMANDS)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """Counted, not timed: nothing but click, the standard library and few modules of our own."""
    code = (
        "import sys, click\n"
        "bare = set(sys.modules)\n"
        "from mc.cli import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: print(*sorted(set(sys.modules) - bare), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    roots = {name.partition(".")[0] for name in loaded}
    assert roots - sys.stdlib_module_names <= {"click", "lazy_loader", "mc", "tnqbm"}
    assert "mc" in roots
    assert len(loaded) < 80


@pytest.mark.parametrize("command", ["show", "verify", "plot", "evaluate", "merge"])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.h5", None, "does not exist"),
        ("empty.h5", b"", "empty"),
        ("text.h5", b"this is not HDF5 at all\n" * 50, "HDF5"),
        ("folder.h5", "folder", "folder"),
    ],
)
def test_bad_archives_give_one_message(
    tmp_path: Path, command: str, name: str, content: Any, says: str
) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    more: dict[str, list[str | Path]] = {
        "plot": ["--kind", "tvd", "-o", tmp_path / "x.png"],
        "merge": ["-o", tmp_path / "x.h5"],
        "evaluate": ["--run", "seed=1"],
    }
    result = call(command, path, *more.get(command, []), code=1)
    assert says in result.output
    assert name in result.output
    assert len(result.output.strip().splitlines()) <= 2


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TNQBM_DEBUG", "1")
    result = CliRunner().invoke(cli, ["show", str(tmp_path / "none.h5")])
    assert isinstance(result.exception, FileNotFoundError)


def test_only_the_first_rank_prints(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "1")
    result = call("show", archive.with_name("none.h5"), code=1)
    assert result.output == ""


def test_a_reader_that_leaves_early_is_no_error_message(archive: Path) -> None:
    code = f"from mc.cli import cli; cli(['show', {str(archive)!r}, '--json'])"
    words = f"{sys.executable} -c {code!r}"
    pipe = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdout.close()
    assert pipe.stderr.read() == b"", words
    assert pipe.wait() == 141


# --- show, verify, merge ------------------------------------------------------------------------


def test_show_has_a_row_per_group_and_the_progress(archive: Path) -> None:
    text = call("show", archive).output
    rows = [line.split() for line in text.splitlines() if " bas " in f" {line} "]
    assert [row[:6] for row in rows] == [
        ["bas", "6", "Z", "1", "2/3", "0.4000"],
        ["bas", "6", "Z", "2", "2/3", "0.1500"],
        ["bas", "6", "XYZ", "1", "2/3", "0.1000"],
    ]
    assert rows[0][6:] == ["0.1000", "0.8000", "0.2000"]
    assert "gradient = exact" in text  # what all groups share needs no column
    assert "6 of 9 runs finished (67%)" in text
    assert "--resume" in text


def test_show_json_has_the_promised_keys(archive: Path) -> None:
    found = json.loads(call("show", archive, "--json").output)
    assert found["progress"] == {"finished": 6, "planned": 9}
    (group,) = [g for g in found["groups"] if g["paulis"] == "XYZ"]
    assert group == {
        "paulis": "XYZ",
        "visible": 6,
        "hidden": 1,
        "data": "bas",
        "gradient": "exact",
        "runs": 3,
        "finished": 2,
        "tvd_mean": pytest.approx(0.1),
        "tvd_std": pytest.approx(0.0),
        "kl_mean": pytest.approx(0.2),
        "kl_std": pytest.approx(0.0),
    }


def test_show_runs_and_selection(archive: Path) -> None:
    found = json.loads(call("show", archive, "--runs", "--where", "hidden=2", "--json").output)
    assert [(run["hidden"], run["seed"], run["tvd"]) for run in found["runs"]] == [
        (2, 1, 0.1),
        (2, 2, 0.2),
    ]
    text = call("show", archive, "--runs", "--where", "paulis=XYZ,seed=2").output
    assert text.count("iterations") == 1
    assert "hidden = 9; there are: 1, 2" in message("show", archive, "--where", "hidden=9")
    assert "key=value" in message("show", archive, "--where", "hidden", code=2)


def test_show_minimum_hidden(archive: Path) -> None:
    found = json.loads(call("show", archive, "--min-hidden", "--json").output)
    minima = {row["paulis"]: row["m_min"] for row in found["minimum_hidden"]}
    assert minima == {"Z": 2, "XYZ": 1}
    assert found["minimum_hidden"][0]["gradient"] == "exact"
    assert [(row["ratio"], row["kind"]) for row in found["ratios"]] == [
        (pytest.approx(1.8), "at least")
    ]
    text = call("show", archive, "--min-hidden", "--threshold", "0.01").output
    assert text.count("not reached") == 2
    assert "> 2" in text


def test_show_minimum_hidden_of_several_gradients(tmp_path: Path) -> None:
    runs = ladder({2: [0.5], 4: [0.1]}) + ladder({2: [0.1]}, paulis="XYZ")
    runs += ladder({2: [0.5], 4: [0.3]}, gradient="cd-1")
    runs += ladder({1: [0.4], 2: [0.1]}, paulis="XYZ", gradient="cd-1")
    path = write(tmp_path / "several.h5", runs)
    found = json.loads(call("show", path, "--min-hidden", "--json").output)
    assert [(row["gradient"], row["kind"], row["ratio"]) for row in found["ratios"]] == [
        ("exact", "at least", 1.75),
        ("cd-1", "at least", pytest.approx(2.4)),
    ]
    lines = call("show", path, "--min-hidden").output.splitlines()
    cells = [line.split() for line in lines]
    assert ["bas", "6", "exact", "XYZ", "≤", "2"] in [row[:6] for row in cells]
    assert ["bas", "6", "cd-1", "Z", ">", "4"] in [row[:6] for row in cells]
    assert ["bas", "6", "cd-1", "XYZ", "≥", "2.40", "3"] in cells
    one = call("show", path, "--min-hidden", "--where", "gradient=cd-1").output
    assert "exact" not in one


def test_show_has_the_test_likelihood_where_there_is_one(archive: Path, tmp_path: Path) -> None:
    assert "test NLL" not in call("show", archive).output
    runs = []
    for seed, last in ((1, 20.0), (2, 22.0)):
        trajectory = Trajectory(step=np.array([0, 4]), test_nll=np.array([30.0, last]))
        runs.append(RunRecord(record(0.1).coordinates, seed, trajectory, TIME, TIME))
    path = write(tmp_path / "tested.h5", [*runs, record(0.1, hidden=3)])
    assert "test NLL" in call("show", path).output
    groups = json.loads(call("show", path, "--json").output)["groups"]
    assert [(g["test_nll_mean"], g["test_nll_std"]) for g in groups] == [(21.0, 1.0), (None, None)]


def samples_run(seed: int, **values: float) -> RunRecord:
    """A run on a file of samples, with these final values."""
    rows = {name: np.array([9.0, value]) for name, value in values.items()}
    coordinates = {**record(0.1).coordinates, "data": "mine.csv"}
    return RunRecord(coordinates, seed, Trajectory(step=np.array([0, 4]), **rows), TIME, TIME)


def test_likelihoods_lead_where_the_data_are_samples(tmp_path: Path) -> None:
    values = {"tvd": 0.99, "kl": 2.0, "nll": 5.0}
    path = write(tmp_path / "a.h5", [samples_run(k, **values, test_nll=6.0) for k in (1, 2)])
    head = next(line for line in call("show", path).output.splitlines() if "NLL" in line)
    assert head.split()[-4:] == ["NLL", "±", "NLL", "±"]
    assert head.index("test NLL") < head.rindex("NLL")
    assert "TVD" not in head
    (group,) = json.loads(call("show", path, "--json").output)["groups"]
    assert (group["test_nll_mean"], group["nll_mean"], group["tvd_mean"]) == (6.0, 5.0, 0.99)
    runs = call("show", path, "--runs").output
    assert runs.index("test_nll") < runs.index(" nll") < runs.index("tvd")
    assert default_metric(Archive(path)) == "test_nll"
    untested = Archive(write(tmp_path / "b.h5", [samples_run(1, **values)]))
    assert default_metric(untested) == "nll"
    assert default_metric([untested, Archive(write(tmp_path / "c.h5", [record(0.1)]))]) == "tvd"


def test_a_log_z_that_cannot_be_right_is_told(tmp_path: Path) -> None:
    estimated = {"log_partition": 3.0, "log_partition_error": 0.1}
    good = samples_run(1, kl=1.0, nll=5.0, **estimated)
    bad = samples_run(2, kl=-2.0, nll=2.0, **estimated)
    path = write(tmp_path / "a.h5", [good, bad])
    why = "seed = 2: the NLL would be 2 nats below the entropy of the data"
    for words in (["show", path], ["show", path, "--runs"], ["verify", path]):
        text = call(*words).output
        assert "log Z of 1 run is not to be trusted" in text
        assert why in text
        assert "seed = 1:" not in text
    drawn = call("plot", path, "--kind", "learning", "--metric", "kl", "-o", tmp_path / "a.png")
    assert why in drawn.output
    (group,) = json.loads(call("show", path, "--json").output)["groups"]
    assert group["log_z_untrusted"] == 1
    rows = json.loads(call("show", path, "--runs", "--json").output)["runs"]
    assert ["log_z_doubt" in row for row in rows] == [False, True]
    assert json.loads(call("verify", path, "--json").output)["log_z_untrusted"] == 1
    assert "not to be trusted" not in call("show", path, "--where", "seed=1", "--runs").output


def test_verify_whole_and_damaged(archive: Path) -> None:
    assert "whole; 3 blocks checked, 6 runs whole" in call("verify", archive).output
    assert json.loads(call("verify", archive, "--json").output)["ok"] is True
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    result = call("verify", archive, code=1)
    assert "damaged: " in result.output
    report = json.loads(call("verify", archive, "--json", code=1).stdout)
    assert report["ok"] is False
    assert report["problems"]


def test_merge_joins_and_refuses(archive: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "b.h5", ladder({3: [0.05]}))
    out = tmp_path / "all.h5"
    result = json.loads(call("merge", archive, other, "-o", out, "--json").output)
    assert result["progress"] == {"finished": 7, "planned": 10}
    assert "all.h5 exists" in message("merge", archive, other, "-o", out)
    call("merge", archive, other, "-o", out, "--overwrite")
    clash = write(tmp_path / "c.h5", ladder({3: [0.06]}))
    assert "different numbers" in message("merge", other, clash, "-o", tmp_path / "no.h5")
    assert not (tmp_path / "no.h5").exists()


# --- plot ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["learning", "tvd", "min-hidden", "gradients"])
def test_plot_writes_figures_and_does_not_overwrite(
    archive: Path, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "figure.pdf"
    assert str(out) in call("plot", archive, "--kind", kind, "-o", out).output
    assert out.read_bytes().startswith(b"%PDF")
    assert "exists" in message("plot", archive, "--kind", kind, "-o", out)
    call("plot", archive, "--kind", kind, "-o", out, "--overwrite")


def test_plot_refuses_what_it_cannot_draw(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "x.png"
    assert "'tvd'" in call("plot", archive, "--kind", "tdv", "-o", out, code=2).output
    assert ".png, .pdf, .svg" in message("plot", archive, "--kind", "tvd", "-o", tmp_path / "x.gif")
    text = message("plot", archive, "--kind", "tvd", "-o", tmp_path / "no" / "x.png")
    assert "does not exist" in text
    assert "not kept" in message("plot", archive, "--kind", "tvd", "--metric", "nll", "-o", out)
    assert "no test data" in message("plot", archive, "--kind", "likelihood", "-o", out)
    for kind, option, value, says in [
        ("min-hidden", "--metric", "kl", "is about the TVD"),
        ("likelihood", "--metric", "kl", "is about the log-likelihood"),
        ("tvd", "--band", "std", "--band is about"),
    ]:
        words = ("plot", archive, "--kind", kind, option, value, "-o", out)
        assert says in message(*words, code=2)
    assert not out.exists()


def test_plot_of_gradients_takes_metric_band_and_selection(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "x.svg"
    more = ["--metric", "kl", "--band", "bootstrap", "--where", "paulis=Z"]
    call("plot", archive, "--kind", "gradients", *more, "-o", out)
    assert out.read_text().startswith("<?xml")


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate_a_saved_model(tmp_path: Path) -> None:
    model = SqRBM.uniform(4, 2, "XYZ", seed=3)
    path = tmp_path / "model.h5"
    model.save(path)
    states = (np.arange(16)[:, None] >> np.arange(4)[::-1]) & 1
    log_z = float(np.logaddexp.reduce(model.log_weight(states)))
    p = np.exp(model.log_weight(states) - log_z)
    q = np.where(states.sum(axis=1) % 2 == 0, 1 / 8, 0.0)
    found = json.loads(call("evaluate", path, "--data", "parity", "--json").output)
    assert found["log_z"] == pytest.approx(log_z, rel=1e-12)
    assert found["tvd"] == pytest.approx(0.5 * np.abs(p - q).sum(), abs=1e-12)
    assert found["kl"] == pytest.approx(float((q[q > 0] * np.log(q[q > 0] / p[q > 0])).sum()))
    assert found["nll"] == pytest.approx(-float(q @ np.log(p)))
    assert "log Z" in call("evaluate", path).output
    assert "'bass'" in message("evaluate", path, "--data", "bass")
    model = SqRBM.uniform(5, 1, "Z", seed=3)
    model.save(tmp_path / "odd.h5")
    assert "even" in message("evaluate", tmp_path / "odd.h5", "--data", "bas")


def test_evaluate_compares_models_on_samples(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 2, (60, 4), dtype=np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    models = [SqRBM.uniform(4, 1, "XZ", seed=k) for k in (1, 2)]
    one, other = tmp_path / "one.h5", tmp_path / "other.h5"
    for model, path in zip(models, (one, other), strict=True):
        model.save(path)
    words = ["evaluate", one, "--data", tmp_path / "rows.npy"]
    found = json.loads(call(*words, "--against", other, "--json").output)
    log_p = [m.log_weight(rows) - exact.log_partition(m) for m in models]
    difference = log_p[0] - log_p[1]
    assert found["nll_error"] == pytest.approx(log_p[0].std(ddof=1) / np.sqrt(60))
    assert found["gain"] == pytest.approx(difference.mean())
    assert found["gain_error"] == pytest.approx(difference.std(ddof=1) / np.sqrt(60))
    assert "log-likelihood gained" in call(*words, "--against", other).output
    assert "--data" in message("evaluate", one, "--against", other, code=2)
    assert "nll_error" not in json.loads(call("evaluate", one, "--data", "bas", "--json").output)


def test_evaluate_a_run_needs_exactly_one(archive: Path) -> None:
    words = ["evaluate", archive, "--run", "paulis=Z", "hidden=2"]
    assert "seed" in message(*words)
    assert "nearest" in message(*words, "seed=77")
    assert "more than one value" in message(*words, "seed=1,2", code=2)
    assert "--run" in message("evaluate", archive, code=2)
    found = json.loads(call(*words, "seed=2", "--data", "bas", "--json").output)
    assert found["run"]["seed"] == 2
    assert found["hidden"] == 2


# --- run ----------------------------------------------------------------------------------------


def test_dry_run_shows_the_plan_and_does_nothing(study: Path) -> None:
    text = call("run", study, "--dry-run").output
    assert "16 runs in 8 groups" in text
    plan = json.loads(call("run", study, "--dry-run", "--json").output)
    assert plan["runs"] == 16
    assert len(plan["groups"]) == 8
    shares = [group["core_seconds"] for group in plan["groups"]]
    assert sum(shares) == pytest.approx(plan["core_seconds"])
    assert sorted(path.name for path in study.parent.iterdir()) == ["study.toml"]
    memory = plan["memory"]
    assert memory["ranks"] == 1
    assert 0 < memory["libraries"] < memory["rank"] <= memory["first"] == memory["total"]
    assert "Memory: at most about" in text


def test_dry_run_warns_of_too_little_memory(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mc.running.memory.available_bytes", lambda: 1000)
    found = call("run", study, "--dry-run")
    assert "1 kB are free" in found.stderr
    assert "take fewer ranks" in found.stderr


def test_run_show_evaluate_agree(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    text = call("run", study, "-o", out, "--no-progress").output
    assert "all 16 runs finished" in text
    assert "exists" in message("run", study, "-o", out, "--no-progress")
    call("run", study, "-o", out, "--resume", "--no-progress")
    # The archive alone is enough to evaluate a run on the data it was trained on.
    pick = "paulis=XZ,hidden=2,data=on2,seed=2"
    (run,) = json.loads(call("show", out, "--runs", "--where", pick, "--json").output)["runs"]
    found = json.loads(call("evaluate", out, "--run", pick, "--json").output)
    assert {key: found[key] for key in ("kl", "tvd", "nll")} == pytest.approx(
        {key: run[key] for key in ("kl", "tvd", "nll")}, rel=1e-9, abs=1e-12
    )


def test_run_refuses_bad_calls_before_any_work(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    assert "-o results.h5" in message("run", study, code=2)
    assert "exclude" in message("run", study, "-o", out, "--resume", "--overwrite", code=2)
    assert "does not exist" in message("run", study, "-o", tmp_path / "no" / "out.h5")
    assert "none.toml" in message("run", tmp_path / "none.toml", "-o", out)
    study.write_text(STUDY.replace('"XZ"', '"XZZ"').replace("hidden", "hiden"))
    text = message("run", study, "-o", out)
    assert "XZZ" in text
    assert "'hidden'" in text or "hidden" in text
    study.write_text("this is = = not TOML")
    assert "line 1" in message("run", study, "-o", out)
    assert not out.exists()


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_an_interruption_says_how_to_go_on(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int, code: int
) -> None:
    from mc.running.failures import StudyInterrupted

    def stop(*_: Any, **__: Any) -> Path:
        raise StudyInterrupted(signum, "out.h5", 3, 16)

    monkeypatch.setattr("mc.cli.run.execute", stop)
    text = call("run", study, "-o", tmp_path / "my out.h5", code=code).stderr
    assert "3 of 16 runs finished" in text
    assert f"tnqbm run {study} -o '{tmp_path}/my out.h5' --resume" in text


@pytest.mark.parametrize(
    ("raises", "says"),
    [
        (lambda: _failed(), "run paulis = 'Z', visible = 4, seed = 1, 7 failed on rank 3: boom"),
        (lambda: MemoryError("cannot allocate 3 TB"), "out of memory: cannot allocate 3 TB"),
        (lambda: OSError(28, "No space left on device", "out.h5"), "out.h5: No space left"),
    ],
)
def test_errors_of_a_run_are_one_message(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raises: Callable[[], Exception],
    says: str,
) -> None:
    def fail(*_: Any, **__: Any) -> Path:
        raise raises()

    monkeypatch.setattr("mc.cli.run.execute", fail)
    assert says in message("run", study, "-o", tmp_path / "out.h5")


def _failed() -> Exception:
    from mc.running.failures import RunFailed

    return RunFailed({"paulis": "Z", "visible": 4}, (1, 7), 3, "boom", "details")


# --- small parts --------------------------------------------------------------------------------


def test_pairs() -> None:
    assert parse_pairs(["data=bas,visible=6,8", "hidden=1", "hidden=2.5"]) == {
        "data": ["bas"],
        "visible": [6, 8],
        "hidden": [1, 2.5],
    }


def test_plain_json_values() -> None:
    value = {"a": np.float64(1.5), "b": np.array([1, 2]), "c": float("nan"), "d": (Path("x"), None)}
    assert plain(value) == {"a": 1.5, "b": [1, 2], "c": None, "d": ["x", None]}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.1235"), (1e-5, "1.00e-05"), (0.0, "0.0000"), (None, "–"), (float("nan"), "–")],
)
def test_numbers_in_tables(value: float | None, text: str) -> None:
    assert number(value) == text


def test_tables_are_not_cut_when_piped(tmp_path: Path) -> None:
    name = "measurements/" + "long_" * 30 + "name.csv"
    path = write(tmp_path / "a.h5", [record(0.1, data=name)])
    environment = {**os.environ, "COLUMNS": "40"}
    code = f"from mc.cli import cli; cli(['show', {str(path)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert name in done.stdout
