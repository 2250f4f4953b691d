"""Shared by the tests of studies."""

from __future__ import annotations

import pytest

from tests.mc.studies.samples import run, tiny


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the tiny study, run without a disturbance."""
    return run(tiny(), tmp_path_factory.mktemp("reference") / "out.h5").fingerprint()
