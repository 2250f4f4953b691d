"""docs/study-files.md lists the keys that study files have."""

from __future__ import annotations

import pytest

from tests.scripts.loading import load

study_keys = load("docs").study_keys


def test_the_page_lists_the_keys_that_there_are() -> None:
    page = study_keys.PAGE.read_text(encoding="utf-8")
    assert study_keys.updated(page) == page, "python scripts/docs/study_keys.py --write"


def test_every_key_is_listed_and_says_what_it_means() -> None:
    from mc.studies.file import schemas

    block = study_keys.block()
    for section in schemas().values():
        for name, field in section.model_fields.items():
            assert f"{name}` |" in block, name
            assert field.description, name


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="one line <!-- keys -->"):
        study_keys.updated("# Study files\n")
