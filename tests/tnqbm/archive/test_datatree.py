"""Archives as trees of xarray: every run once, with its coordinates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.archive_samples import coordinates, make_archive, record, records
from tests.tnqbm.archive.test_netcdf import reported
from tnqbm.archive import Archive
from tnqbm.base.errors import ArchiveError, MissingExtraError

xarray = pytest.importorskip("xarray")


def test_groups_are_nodes(tmp_path: Path) -> None:
    made = {p: records(coordinates(p), [1, 2, 3]) for p in ("XZ", "Z")}
    tree = Archive(make_archive(tmp_path / "a.h5", list(made.values()))).to_datatree()
    assert list(tree.children) == ["XZ-n3-m2-parity-exact", "Z-n3-m2-parity-exact"]
    assert tree.attrs["study"] == 'name = "sample"\n'
    for letters, runs in made.items():
        node = tree[f"{letters}-n3-m2-parity-exact"]
        assert node.attrs == coordinates(letters)
        for run in runs:
            path, here = run.trajectory, node.to_dataset().sel(seed=run.seed)
            assert np.array_equal(here["tvd"], path.tvd)
            assert np.array_equal(here["parameters"], path.model.to_vector())
            assert here["tvd"].sel(step=9).item() == path.tvd[3]
            at = list(node["snapshot_step"].values).index(10)
            assert np.array_equal(here["snapshots"][at], path.snapshots[1][1].to_vector())
        model, w = runs[0].trajectory.model, node["parameters"].sel(seed=1)
        assert w.sel(parameter="w[Z,2,1]") == model.w[letters.index("Z"), 2, 1]
        assert w.sel(parameter="a[1]") == model.a[1]


def test_blocks_of_a_group_are_joined(tmp_path: Path) -> None:
    """With other lengths, other metrics, and a run that failed."""
    first = records(coordinates(), [4, 2], rows=5)
    more = record(coordinates(), 3, rows=9, metrics=("kl",), snapshots=0, model=False)
    failed = dataclasses.replace(more.trajectory, stopped="failed", cause="no memory", model_step=4)
    second = [dataclasses.replace(more, trajectory=failed)]
    tree = Archive(make_archive(tmp_path / "a.h5", [first, second])).to_datatree()
    (node,) = tree.children.values()
    assert node["seed"].values.tolist() == [2, 3, 4]
    assert node["step"].values.tolist() == [k**2 for k in range(9)]
    assert np.array_equal(node["kl"].sel(seed=3), more.trajectory.kl)
    assert np.array_equal(node["kl"].sel(seed=4)[:5], first[0].trajectory.kl)
    assert np.isnan(node["kl"].sel(seed=4)[5:]).all()
    for missing in ("tvd", "parameters", "snapshots"):
        assert np.isnan(node[missing].sel(seed=3)).all()
    assert node["cause"].values.tolist() == ["", "no memory", ""]
    assert node["model_step"].values.tolist() == [-1, 4, -1]


def test_schedules_of_their_own(tmp_path: Path) -> None:
    one, two = record(coordinates(), 1, rows=4), record(coordinates(), 2, rows=3)
    shifted = dataclasses.replace(two.trajectory, step=np.array([1, 2, 3]))
    path = make_archive(tmp_path / "a.h5", [[one], [dataclasses.replace(two, trajectory=shifted)]])
    (node,) = Archive(path).to_datatree().children.values()
    assert node["step"].values.tolist() == [[0, 1, 4, 9], [1, 2, 3, -1]]
    assert node["tvd"].dims == node["step"].dims


def test_reports_are_nodes_of_their_own(tmp_path: Path) -> None:
    runs = [reported(record(coordinates(), seed), shots=seed) for seed in (1, 2)]
    (node,) = Archive(make_archive(tmp_path / "a.h5", [runs])).to_datatree().children.values()
    assert node["estimator"]["shots"].sel(seed=2) == 2
    assert node["estimator_records"]["kept_shots"].sel(step=9).values.tolist() == [1.0, 1.0]


def test_further_coordinates_make_distinct_names(tmp_path: Path) -> None:
    blocks = [records(coordinates(connectivity=name), [1]) for name in ("line-2", "dense")]
    tree = Archive(make_archive(tmp_path / "a.h5", blocks)).to_datatree()
    assert len(tree.children) == 2
    assert {node.attrs["connectivity"] for node in tree.children.values()} == {"line-2", "dense"}


def test_trees_can_be_written_and_opened_again(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    tree = Archive(make_archive(tmp_path / "a.h5", [records(coordinates(), [1])])).to_datatree()
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as back:
        (node,), (again,) = tree.children.values(), back.children.values()
        assert np.array_equal(again["kl"], node["kl"])


def test_damage(tmp_path: Path) -> None:
    path = make_archive(
        tmp_path / "a.h5", [records(coordinates(p), [1], rows=200) for p in ("XZ", "Z")]
    )
    whole = Archive(path).to_datatree()
    data = bytearray(path.read_bytes())
    at = data.index(whole["Z-n3-m2-parity-exact/parameters"].values.tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="block Z-n3"):
        Archive(path).to_datatree()
    assert list(Archive(path).to_datatree(skip_damaged=True).children) == ["XZ-n3-m2-parity-exact"]


def test_without_xarray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(make_archive(tmp_path / "a.h5", [records(coordinates(), [1])]))
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(MissingExtraError, match="the extra 'xarray' of tnqbm"):
        archive.to_datatree()
