"""What ``show`` prints of groups, from typed rows, is what the archive says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mc.cli.group_facts import group_facts
from tnqbm.archive import Archive

RESULTS = Path(__file__).parents[3] / "data" / "results"


@pytest.mark.parametrize("name", ["ising.h5", "digits-settings.h5", "trainers-digits.h5"])
def test_groups_are_those_of_the_archive(name: str) -> None:
    with Archive(RESULTS / name) as archive:
        facts = group_facts(archive.seeds(), archive.rows(), [])
        assert [group.flat([]) for group in facts] == archive.groups()
