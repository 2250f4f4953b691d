"""Dimension scales, by which xarray and netCDF know the axes of arrays in an HDF5 file by name.

An axis whose name is that of a vector in the same group has this vector as its scale and
coordinate. Any other name needs a data set of its own, a *placeholder*, which has a length and no
content, as the netCDF-4 library writes one. Object references tie the arrays to their scales; they
lie in attributes of data sets, which :mod:`tnqbm.files.gate` never reads, and neither the scales
nor the placeholders belong to a group's digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tnqbm.files.gate import PLACEHOLDER


def write_labels(datasets: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]]) -> None:
    """Give the axes of data sets, both by name, the names ``dims``."""
    import h5py

    for name, dataset in datasets.items():
        for axis, label in enumerate(dims.get(name, ())):
            h5py.h5ds.set_label(dataset.id, axis, label.encode())


def write_scales(
    group: Any,
    datasets: Mapping[str, Any],
    dims: Mapping[str, tuple[str, ...]],
    coordinates: Mapping[str, Sequence[str]],
) -> None:
    """Give data sets of an h5py group, by name, the scales of their axes.

    ``dims`` names the axes, of which those of one name must have one length. ``coordinates``
    {axis: names} are data sets that say what the entries of an axis belong to: an attribute of this
    name (of the CF conventions) on all other arrays with the axis tells xarray so.
    """
    import h5py

    scales: dict[str, Any] = {}
    for name, dataset in datasets.items():
        axes = dims.get(name, ())
        for axis, label in enumerate(axes):
            if label not in scales:
                scales[label] = _scale(group, datasets, label, dataset.shape[axis])
            if label != name:
                h5py.h5ds.attach_scale(dataset.id, scales[label], axis)
        others = [other for label in axes for other in coordinates.get(label, ())]
        present = [other for other in others if other in datasets]
        if present and name not in present:
            _set_text(dataset.id, b"coordinates", " ".join(present).encode())


def _scale(group: Any, datasets: Mapping[str, Any], label: str, length: int) -> Any:
    """The low-level data set that is the scale of an axis, made if there is none of its name."""
    import h5py

    if label in datasets:
        scale = datasets[label].id
        h5py.h5ds.set_scale(scale, label.encode())
        return scale
    space, plan = h5py.h5s.create_simple((int(length),)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_obj_track_times(False)  # equal content makes equal files
    scale = h5py.h5d.create(group.id, label.encode(), h5py.h5t.IEEE_F32BE, space, plan)
    h5py.h5ds.set_scale(scale, b"%s%10d" % (PLACEHOLDER, length))
    return scale


def _set_text(dataset: Any, name: bytes, text: bytes) -> None:
    """An attribute of fixed length; h5py's own way takes three times as long."""
    import h5py

    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(text))
    kind.set_strpad(h5py.h5t.STR_NULLPAD)  # no terminator takes the place of the last letter
    attribute = h5py.h5a.create(dataset, name, kind, h5py.h5s.create(h5py.h5s.SCALAR))
    attribute.write(np.array(text))
