"""``tnqbm show --csv``: the same rows as ``--json``, as a spreadsheet reads them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.archive_samples import coordinates, make_archive, record, records
from tests.mc.cli.calling import caller, message_of

call = caller("show")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    failed = record(coordinates("Z", gradient="quantum"), 3)
    path = dataclasses.replace(
        failed.trajectory,
        stopped="failed",
        cause='no memory,\n"none" at all',
        estimator={"shots": 10, "backend": "aer"},
    )
    blocks = [records(coordinates(), [1, 2]), [dataclasses.replace(failed, trajectory=path)]]
    return make_archive(tmp_path_factory.mktemp("csv") / "a.h5", blocks)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(("words", "name"), [((), "groups"), (("--runs",), "runs")])
def test_rows_are_those_of_json(archive: Path, words: tuple[str, ...], name: str) -> None:
    document = json.loads(call(archive, *words, "--json").stdout)
    rows = table(call(archive, *words, "--csv").stdout)
    assert len(rows) == len(document[name])
    for row, expected in zip(rows, document[name], strict=True):
        expected.pop("estimator", None)
        for key, value in expected.pop("failure", {}).items():
            assert row[f"failure_{key}"] == cell(value)
        for key, value in expected.items():
            assert row[key] == cell(value) or float(row[key]) == value


def cell(value: Any) -> str:
    return "" if value is None else str(value).replace("\n", "\\n")


def test_text_and_reports_stay_in_one_cell(archive: Path) -> None:
    rows = table(call(archive, "--runs", "--csv").stdout)
    assert [row["estimator_shots"] for row in rows] == ["", "", "10"]
    assert [row["estimator_backend"] for row in rows] == ["", "", "aer"]
    assert rows[-1]["cause"] == 'no memory,\\n"none" at all'


def test_lists_are_words(archive: Path) -> None:
    (row, *_) = table(call(archive, "--min-hidden", "--csv").stdout)
    assert row["tried"] == "2"


def test_one_form_at_a_time(archive: Path) -> None:
    assert "choose one" in message_of(call)(archive, "--json", "--csv", code=2)
