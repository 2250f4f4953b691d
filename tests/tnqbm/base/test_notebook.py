"""Tables for notebooks: well-formed, escaped, with the facts of what they show."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

import mc
from tests.archive_samples import coordinates, make_archive, records
from tnqbm import Archive, SqRBM, Target, datasets, train
from tnqbm.base.notebook import MOST_CHARACTERS, facts_table


def cells(text: str) -> dict[str, str]:
    """Names and values of a table, parsed as XML."""
    table = ElementTree.fromstring(text)
    rows = ((row.findtext("th") or "", row.findtext("td") or "") for row in table.findall("tr"))
    return dict(rows)


def test_text_is_escaped_and_cut() -> None:
    text = facts_table("<b>&", {"<script>": "a & b\x1b[31m", "gone": None, "long": "x" * 1000})
    assert "<script>" not in text
    assert "\x1b" not in text
    found = cells(text)
    assert found["<script>"].startswith("a & b")
    assert "gone" not in found
    assert len(found["long"]) == MOST_CHARACTERS


def test_models_targets_trainings_and_estimates() -> None:
    model, target = SqRBM.uniform(4, 2, "XZ", seed=1), datasets.load("bas", 4)
    assert cells(model._repr_html_())["free parameters"] == str(model.n_parameters)
    assert cells(target._repr_html_())["states"] == "4"
    samples = Target.from_samples(target.states)
    assert cells(samples._repr_html_())["samples"] == "4"
    path = train(model, target, iterations=3)
    assert float(cells(path._repr_html_())["tvd"]) == pytest.approx(path.final["tvd"], rel=1e-5)
    estimate = cells(mc.log_partition(model, seed=1)._repr_html_())
    assert estimate["trusted"] == "yes"
    assert "warnings" not in estimate


def test_archives(tmp_path: Path) -> None:
    blocks = [records(coordinates(p, note="<i>"), [1, 2]) for p in ("Z", "XZ")]
    found = cells(Archive(make_archive(tmp_path / "a.h5", blocks))._repr_html_())
    assert found["runs finished"] == "4 of 4"
    assert found["paulis"] == "Z, XZ"
    assert found["note"] == "<i>"
