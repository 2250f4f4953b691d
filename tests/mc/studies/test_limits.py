"""Study files that are absurdly large, or ask for absurd things, are refused before any work."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import Any

import pytest

from mc import load_study
from mc.studies import combinations
from mc.studies import text as limits
from tests.mc.studies.samples import ROOT, changed, problems_of, tiny
from tnqbm.base.limits import MAX_COUNTS
from tnqbm.training.settings import TrainingSettings, all_settings, default_of

TEXT = """name = "x"
seeds = {seeds}
[model]
paulis = ["Z"]
visible = [6]
hidden = {hidden}
[data]
name = ["bas"]
[training]
"""
PLAIN = TEXT.format(seeds=1, hidden=1)
LONG = "0x" + "f" * 90_000  # an integer that Python does not write out in digits


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be made of what the files ask for: neither data, nor models, nor runs."""

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr("tnqbm.datasets.load", never)
    monkeypatch.setattr("mc.studies.study.Study.combinations", never)
    monkeypatch.setattr(combinations, "named", never)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.format(seeds=10**9, hidden=1), "at most 1,000,000 seeds"),
        (TEXT.format(seeds=10**6, hidden="[1, 2]"), "2,000,000 runs"),
        (TEXT.format(seeds=1, hidden=list(range(1, 20001))), "model.hidden has 20,000 values"),
        (PLAIN + "iterations = 1000000000000000\n", "training.iterations = 1000000000000000: must"),
        (PLAIN + "[output]\nrecords = 1000000000\n", "output.records = 1000000000: must"),
        (PLAIN + 'iterations = 9999999\n[output]\nrecords = "all"\n', "records = 1000"),
        (PLAIN + 'x = "' + "a" * 10**6 + '"\n', "longer than 1,000,000 bytes"),
        ("a." * 3000 + "b = 1\n", "more than 8 deep"),
        ("".join(f"{'a.' * 9}b{k} = 1\n" for k in range(3)), "more than 8 deep"),
        (PLAIN + "x = " + "[" * 40000 + "]" * 40000 + "\n", "too many brackets"),
        (PLAIN + "".join(f"k{k} = {k}\n" for k in range(50000)), "training has 50,000 keys"),
        (PLAIN + "[[grid]]\nhidden = 1\n" * 10001, "grid has 10,001 values"),
        (TEXT.format(seeds=1, hidden=LONG), "must be at most 100,000"),
        (PLAIN + f"learning_rate = {LONG}\n", "training.learning_rate = a number of thousands"),
        (PLAIN.replace("[data]", f"scale = {LONG}\n[data]"), "model.scale = a number of thousands"),
        (TEXT.format(seeds=f"[{LONG}]", hidden=1), "every seed must be"),
        (TEXT.format(seeds=1, hidden="9" * 9000), "4300 digits"),
        (TEXT.format(seeds=[*range(50000), 49999], hidden=1), "seed 49999 is listed twice"),
        (PLAIN.replace('"x"', '"' + "x" * 2000 + '"'), "at most 1000 characters"),
        (PLAIN.replace("[6]", "100000").replace("hidden = 1", "hidden = 100000"), "parameters"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_absurd_studies_are_refused_before_any_work(text: str, words: str) -> None:
    message = problems_of(text)
    assert words in message
    assert len(message) < 2000
    assert "work began" not in message


@pytest.mark.parametrize(
    "text",
    [
        PLAIN + "".join(f"k{k} = {k}\n" for k in range(900)),
        TEXT.format(seeds=1, hidden=[-k for k in range(900)]),
        PLAIN.replace('"bas"', ", ".join(f'"no{k}"' for k in range(900))),
        PLAIN + f"gradient = {[f'no{k}' for k in range(900)]}\n",
        PLAIN + "".join(f"[gradients.no{k}]\ngradient = 'pcd'\n" for k in range(900)),
    ],
    ids=["keys", "values", "data", "gradients", "labels"],
)
def test_the_first_problems_are_shown_and_the_others_counted(text: str) -> None:
    first, *lines, last = problems_of(text).splitlines()
    assert first == "the study has 900 problems:"
    assert last == "  and 880 more"
    assert len(lines) == limits.MAX_PROBLEMS
    assert max(map(len, lines)) < 1100


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "study.toml")
    assert "not a regular file" in problems_of(tmp_path / "study.toml")


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "study.toml").open("wb") as large:
        large.truncate(10**12)
    assert "larger than 1,000,000 bytes" in problems_of(tmp_path / "study.toml")


@pytest.mark.parametrize("source", ["a" * 5000, "a\0b", 7, None, ["name"]])
def test_what_is_no_study_at_all(source: Any) -> None:
    assert len(problems_of(source)) < 300


def test_a_mapping_inside_itself() -> None:
    raw = tiny()
    raw["model"]["again"] = raw
    assert "more than 8 deep" in problems_of(raw)


def test_every_count_has_a_limit_that_is_refused_by_name() -> None:
    settings = all_settings()
    for name, largest in MAX_COUNTS.items():
        parts = {kind: names[0] for kind, names in settings[name].owners.items()}
        with pytest.raises(ValueError, match=f"^{name}: "):
            TrainingSettings(**parts, **{name: largest + 1})
    whole = {name for name in settings if type(default_of(name)) is int}
    assert whole <= set(MAX_COUNTS)


def test_the_page_lists_all_limits() -> None:
    page = (ROOT / "docs" / "study-files.md").read_text()
    table = page.partition("## How large a study may be")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+) \| ([\d,]+)(?: bytes)? \|$", table, re.MULTILINE))
    listed = {name: rows[what] for what in rows for name in re.findall(r"`(\w+)`", what)}
    named = {**MAX_COUNTS, "seeds": limits.MAX_SEEDS, "visible": limits.MAX_UNITS}
    assert {name: listed[name] for name in named} == {n: f"{value:,}" for n, value in named.items()}
    others = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    assert f"more than {others.pop('MAX_PROBLEMS')} problems" in page
    assert {f"{value:,}" for value in others.values()} <= set(rows.values())


def test_a_study_at_its_limits_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    raw = changed(
        tiny(), {"seeds": 10**5, "model__paulis": "Z", "model__hidden": list(range(1, 11))}
    )
    assert len(load_study(raw).seeds) == 10**5
