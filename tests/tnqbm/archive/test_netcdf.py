"""Archives as other programs see them: xarray and netCDF4 know every axis by name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.archive_samples import (
    assert_same_trajectory,
    coordinates,
    make_archive,
    record,
    records,
)
from tests.tnqbm.archive.hostile import changed, redigested, small_archive
from tnqbm.archive import Archive, RunRecord, merge, write_block
from tnqbm.archive.verify import verify_archive
from tnqbm.base.errors import ArchiveError
from tnqbm.files.content import group_digest

WITHOUT_TNQBM = """
import sys
sys.modules["tnqbm"] = sys.modules["mc"] = None  # importing either is an error
path = sys.argv[1]
"""

XARRAY = """
import json
import xarray
with xarray.open_datatree(path, engine="h5netcdf") as tree:
    for name, node in tree["blocks"].children.items():
        print(json.loads(node.attrs["run_coordinates"])["paulis"], dict(node.sizes))
        print(sorted(node.coords), node["tvd"].dims, node["snapshots"].dims)
        curve = node["tvd"].sel(seed=2).isel(record=-1)
        print(curve.values.item() == node["tvd"].values[1, -1], node["step"].values[-1])
"""

NETCDF4 = """
import netCDF4
with netCDF4.Dataset(path) as file:
    for name, block in file["blocks"].groups.items():
        print({key: len(size) for key, size in block.dimensions.items()})
        print(block["tvd"].dimensions, block["seed"][:].tolist(), block["stopped"][0])
"""


def alone(code: str, path: Path) -> list[str]:
    """What code prints in a process that cannot import tnqbm; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", WITHOUT_TNQBM + code, str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def reported(one: RunRecord, shots: int) -> RunRecord:
    """The run with a report of its estimator."""
    rows = len(one.trajectory.step)
    path = dataclasses.replace(
        one.trajectory,
        estimator={"shots": shots, "backend": "aer"},
        estimator_records={"kept_shots": np.arange(rows) / 3},
    )
    return dataclasses.replace(one, trajectory=path)


def test_xarray_opens_an_archive_without_tnqbm(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    path = small_archive(tmp_path / "a.h5")
    lines = alone(XARRAY, path)
    assert lines[0] == "XZ {'seed': 2, 'record': 80, 'parameter': 19, 'snapshot': 2}"
    assert lines[1] == (
        "['seed', 'snapshot_step', 'step'] ('seed', 'record') ('seed', 'snapshot', 'parameter')"
    )
    assert lines[2] == f"True {79**2}"
    assert lines[3].startswith("Z {'seed': 2")


def test_netcdf4_opens_an_archive_without_tnqbm(tmp_path: Path) -> None:
    pytest.importorskip("netCDF4")
    lines = alone(NETCDF4, small_archive(tmp_path / "a.h5"))
    assert lines[0] == "{'parameter': 19, 'record': 80, 'seed': 2, 'snapshot': 2}"
    assert lines[1] == "('seed', 'record') [1, 2] iterations"


def test_runs_with_schedules_of_their_own_and_reports(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    early = reported(record(coordinates(), 3, rows=5), shots=7)
    late = reported(record(coordinates(), 4, rows=6), shots=8)
    late = dataclasses.replace(
        late, trajectory=dataclasses.replace(late.trajectory, step=np.arange(6) + 1)
    )
    path = make_archive(tmp_path / "a.h5", [[early, late]])
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        (block,) = tree["blocks"].children.values()
        assert block["step"].dims == ("seed", "record")
        assert "step" in block.coords
        assert block["estimator/shots"].dims == ("seed",)
        assert block["estimator/shots"].sel(seed=4) == 8
        assert block["estimator_records/kept_shots"].dims == ("seed", "record")


def test_published_archives_without_scales_are_read(tmp_path: Path) -> None:
    old = Path(__file__).parents[3] / "data" / "results" / "digits.h5"
    copy = tmp_path / "copy.h5"
    merge([old], copy)
    assert Archive(copy).fingerprint() == Archive(old).fingerprint()
    with h5py.File(copy) as new, h5py.File(old) as before:
        for block in new["blocks"].values():
            assert h5py.h5ds.is_scale(block["seed"].id)
        assert not any(h5py.h5ds.is_scale(block["seed"].id) for block in before["blocks"].values())


def test_scales_change_no_digest_and_no_run(tmp_path: Path) -> None:
    made = records(coordinates(), [1, 2])
    part, path = tmp_path / "part.h5", make_archive(tmp_path / "a.h5", [made])
    write_block(part, made, {"host": "test", "tnqbm": "0"})
    with h5py.File(part) as plain, h5py.File(path) as scaled:
        (one,), (two,) = plain["blocks"].values(), scaled["blocks"].values()
        assert group_digest(one) == group_digest(two)
        assert set(two) - set(one) == {"record", "parameter", "snapshot"}
    for run, one in zip(Archive(path).runs(), made, strict=True):
        assert_same_trajectory(run.trajectory, one.trajectory)


def test_numbers_that_are_called_a_dimension_are_missed(tmp_path: Path) -> None:
    """Whoever marks an array as a placeholder hides it from readers, which notice."""
    source = small_archive(tmp_path / "source.h5")
    name = b"This is a netCDF dimension but not a netCDF variable.        80"

    def hidden(_, block) -> None:
        block["tvd"].attrs["NAME"] = np.bytes_(name)

    path = changed(source, tmp_path / "hidden.h5", hidden)
    with pytest.raises(ArchiveError, match="does not match its SHA-256"):
        _ = next(Archive(path).runs()).trajectory

    def needed(root, block) -> None:
        block["seed"].attrs["NAME"] = np.bytes_(name)
        redigested(block)

    path = changed(source, tmp_path / "needed.h5", needed)
    with pytest.raises(ArchiveError, match="damaged"):
        _ = next(Archive(path).runs()).trajectory


@pytest.mark.parametrize(
    "value",
    [
        "This is a netCDF dimension but not a netCDF variable.   12",  # of variable length
        np.array([b"This is a netCDF dimension but not a netCDF variable.   12"] * 3),
        np.bytes_(b"x" * 60_000),
        7,
    ],
    ids=["variable", "several", "long", "number"],
)
def test_names_of_odd_types_hide_nothing(tmp_path: Path, value: object) -> None:
    source = small_archive(tmp_path / "source.h5")

    def named(_, block) -> None:
        block["tvd"].attrs.create("NAME", value)

    path = changed(source, tmp_path / "named.h5", named)
    assert verify_archive(path).ok
    assert Archive(path).fingerprint() == Archive(source).fingerprint()


def test_placeholders_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    source = small_archive(tmp_path / "source.h5")

    def linked(_, block) -> None:
        del block["record"]
        block["record"] = h5py.ExternalLink("elsewhere.h5", "/record")

    path = changed(source, tmp_path / "linked.h5", linked)
    with pytest.raises(ArchiveError, match="link to another place"):
        _ = next(Archive(path).runs()).trajectory
