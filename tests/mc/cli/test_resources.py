"""``tnqbm resources``: what it prints, its JSON, its figure, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mc.cli.calling import caller, check_help
from tnqbm import SqBM
from tnqbm.model_tools.structure import classical_twin
from tnqbm.quantum.resources import RandomModel, estimate

call = caller("resources")

SMALL = ("--visible", "4", "--hidden", "2", "--scale", "0.1")


def test_help_has_examples() -> None:
    check_help("resources")


def test_json_is_the_estimate() -> None:
    words = (
        "--against-rbm",
        "--trotter-steps",
        "3",
        "--order",
        "1",
        "--target-error",
        "0.02",
        "--seed",
        "5",
    )
    result = json.loads(call(*SMALL, *words, "--coupling-map", "line", "--json").stdout)
    model = RandomModel(4, 2, "XYZ", 0.1, 5).draw()
    expected = {
        name: [
            estimate(
                one, trotter_steps=3, order=1, target_error=0.02, coupling_map="line"
            ).as_dict()
        ]
        for name, one in (("sqRBM XYZ", model), ("RBM, same parameters", classical_twin(model)))
    }
    assert result["resources"] == expected
    one, other = (row[0]["n_parameters"] for row in result["resources"].values())
    assert one == other
    assert (result["scale"], result["seed"], result["figure"]) == (0.1, 5, None)


def test_lateral_couplings_are_those_of_an_sqbm() -> None:
    words = ("--hidden-edges", "groups-2", "--visible-edges", "line", "--seed", "3")
    result = json.loads(call(*SMALL, *words, "--strategy", "both", "--json").stdout)
    model = SqBM(4, 2, hidden_edges="groups-2", visible_edges="line", scale=0.1, seed=3)
    one, two = (result["resources"][f"sqBM XYZ, {kind}"] for kind in ("imaginary-time", "thermal"))
    assert one == [estimate(model).as_dict()]
    thermal = estimate(model, strategy="thermal").as_dict()
    assert {**two[0], "log_partition": None} == {**thermal, "log_partition": None}
    assert (result["visible_edges"], result["hidden_edges"]) == ("line", "groups-2")
    for other in ("--against-rbm", "--closed-form"):
        assert "without edges" in call(*SMALL, *words, other, code=2).stderr
    large = call("--visible", "4", "--hidden", "5", "--hidden-edges", "all", code=1).stderr
    assert "groups have at most 4" in large


def test_table() -> None:
    text = call(*SMALL, "--visible", "6").stdout
    found = [estimate(RandomModel(n, 2, scale=0.1)) for n in (4, 6)]
    lines = [line.split() for line in text.splitlines()]
    for one in found:
        sizes = (one.n_visible, 2, one.n_parameters, one.qubits, one.cx_gates, 0, one.depth)
        row = next(line for line in lines if line[:3] == ["sqRBM", "XYZ", str(one.n_visible)])
        assert row[2:9] == [str(size) for size in sizes]
        assert float(row[9]) == pytest.approx(one.success_probability, abs=6e-4)
        assert float(row[10]) == pytest.approx(one.shots, rel=0.06)


@pytest.mark.parametrize(
    "words", [("2,4,3",), ("2 4 3",), ("2", "4, 3"), ("2", "4", "3", "2")], ids=" / ".join
)
def test_several_sizes_in_one_option_or_in_several(words: tuple[str, ...]) -> None:
    options = [word for one in words for word in ("--visible", one)]
    found = json.loads(call(*options, "--hidden", "1", "--json").stdout)["resources"]
    assert [one["n_visible"] for one in found["sqRBM XYZ"]] == [2, 4, 3]


def test_bounds_and_numbers_beyond_floats_are_marked() -> None:
    text = call("--visible", "60", "--hidden", "40", "--scale", "2").stdout
    row = next(line for line in text.splitlines() if "sqRBM XYZ" in line)
    one = estimate(RandomModel(60, 40, scale=2.0))
    assert one.log10_shots > 308
    assert f"e+{int(one.log10_shots)}" in row
    assert row.count("<= ") == 1
    assert row.count(">= ") == 1


def test_both_strategies_and_closed_form() -> None:
    result = json.loads(call(*SMALL, "--strategy", "both", "--json").stdout)["resources"]
    assert list(result) == ["sqRBM XYZ, imaginary-time", "sqRBM XYZ, thermal"]
    assert result["sqRBM XYZ, thermal"][0]["success_probability"] == 1.0
    closed = json.loads(call(*SMALL, "--closed-form", "--json").stdout)["resources"]
    ratio = result["sqRBM XYZ, imaginary-time"][0]["shots"] / closed["sqRBM XYZ"][0]["shots"]
    assert ratio == pytest.approx(3.0)


def test_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "needs.png"
    assert f"figure: {path}" in call(*SMALL, "-o", path).stdout
    assert path.stat().st_size > 5000
    assert "exists" in call(*SMALL, "-o", path, code=1).stderr
    call(*SMALL, "-o", path, "--overwrite")
    assert "must end in" in call(*SMALL, "-o", tmp_path / "needs.txt", code=1).stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--hidden", "2"), 2, "--visible"),
        (("--visible", "0", "--hidden", "2"), 1, "n >= 1"),
        (("--visible", "4;6", "--hidden", "2"), 2, "such as 4,6,8"),
        (("--visible", ",", "--hidden", "2"), 2, "such as 4,6,8"),
        (("--visible", "4", "--hidden", "2", "--paulis", "XQ"), 1, "XQ"),
        (("--visible", "4", "--hidden", "2", "--trotter-steps", "0"), 1, "trotter_steps"),
        (("--visible", "4", "--hidden", "2", "--order", "3"), 1, "order"),
        (("--visible", "4", "--hidden", "2", "--target-error", "0"), 1, "target_error"),
        (("--visible", "4", "--hidden", "2", "--connectivity", "line-2"), 1, "multiple"),
        (("--visible", "4", "--hidden", "2", "--connectivity", "star"), 1, "star"),
        (("--visible", "4", "--hidden", "2", "--coupling-map", "star"), 2, "star"),
        (("--visible", "4", "--hidden", "2", "--paulis", "Z", "--against-rbm"), 2, "classical"),
        ((*SMALL, "--strategy", "thermal", "--closed-form"), 2, "closed-form"),
    ],
)
def test_messages(words: tuple[str, ...], code: int, message: str) -> None:
    result = call(*words, code=code)
    assert message in result.stderr
    assert "Traceback" not in result.output
