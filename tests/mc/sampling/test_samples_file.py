"""Files of samples as other programs see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mc.sampling.samples_file import chains_of, write_samples
from tests.tnqbm.archive.test_netcdf import alone
from tnqbm.datasets import read_samples

XARRAY = """
import xarray
with xarray.open_datatree(path, engine="h5netcdf") as tree:
    data = tree.to_dataset()
    print(dict(data.sizes), sorted(data.coords), data["log_weights"].dims)
    chains = data["states"].set_index(sample=["chain", "draw"]).unstack("sample")
    print(chains.transpose("chain", "draw", "visible").values.tolist())
"""

NETCDF4 = """
import netCDF4
with netCDF4.Dataset(path) as file:
    print(file["states"].dimensions, file["draw"][:].tolist(), file.seed)
"""


def test_samples_have_named_axes(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    pytest.importorskip("netCDF4")
    chains = np.random.default_rng(0).integers(0, 2, (2, 3, 4), dtype=np.uint8)
    path = write_samples(tmp_path / "s.h5", chains, {"seed": 5}, log_weights=np.zeros(6))
    sizes, values = alone(XARRAY, path)
    assert sizes == "{'sample': 6, 'visible': 4} ['chain', 'draw'] ('sample',)"
    assert values == str(chains.tolist())
    assert alone(NETCDF4, path) == ["('sample', 'visible') [0, 1, 2, 0, 1, 2] 5"]
    assert np.array_equal(read_samples(path, weighted=True), chains.reshape(6, 4))
    assert chains_of(path) == 2
