"""Arrays and attributes in an HDF5 group, with a SHA-256 digest of what they say.

The digest covers names, types, shapes and values, not their layout in the file, so it survives
copying, repacking and other compression, and no damaged number is ever returned.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import is_number, is_whole
from tnqbm.files import gate
from tnqbm.files.gate import Arrays, Attribute
from tnqbm.files.scales import write_labels, write_scales

DIGEST = "sha256"
"""Name of the attribute that holds the digest of a group's content."""

_COMPACT_BYTES = 1024
_CHUNK_BYTES = 1 << 20
_MAX_ATTRIBUTE_BYTES = 60_000


def write_group(
    group: Any,
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Attribute],
    *,
    dims: Mapping[str, tuple[str, ...]] | None = None,
    scales: Mapping[str, Sequence[str]] | None = None,
    compress: bool = True,
) -> str:
    """Store arrays and attributes in an h5py group, with their digest, which is returned.

    Array names may be nested ("a/b"). Arrays above 1 KiB are chunked, shuffled, compressed with
    gzip and checksummed (Fletcher-32); smaller ones are stored in the object header. ``dims``
    names the axes; with ``scales`` {axis: names of its coordinates} they have dimension scales, too
    (:mod:`tnqbm.files.scales`). Raises ValueError or TypeError for what cannot be stored.
    """
    stored = {name: storable(name, array) for name, array in arrays.items()}
    names = set(stored)
    for name in names:
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise ValueError(f"array name {name!r} has an empty or dotted part")
        parents = itertools.accumulate(name.split("/")[:-1], lambda a, b: f"{a}/{b}")
        if clash := names.intersection(parents):
            raise ValueError(f"array name {name!r} lies inside the array {clash.pop()!r}")
    checked = {name: _attribute(name, value) for name, value in attributes.items()}
    datasets = {
        name: _create(group, name, stored[name], np.asarray(arrays[name]).dtype.kind, compress)
        for name in sorted(stored)
    }
    write_labels(datasets, dims or {})
    if scales is not None:
        write_scales(group, datasets, dims or {}, scales)
    for name in sorted(checked):
        set_attribute(group, name, checked[name])
    digest = content_digest(stored, checked)
    set_attribute(group, DIGEST, digest)
    return digest


def read_group(group: Any, where: str) -> tuple[Arrays, dict[str, Attribute]]:
    """Arrays and attributes of a group written by :func:`write_group`, verified.

    ``where`` names the group in error messages. Raises ArchiveError if anything cannot be read
    or does not match the digest.
    """
    with gate.reading(where):
        arrays, attributes = gate.tree(group), gate.attributes(group)
        expected = attributes.pop(DIGEST, None)
        digest = content_digest({k: storable(k, v) for k, v in arrays.items()}, attributes)
        if expected != digest:
            raise gate.NotPlainError("its content does not match its SHA-256 checksum")
    return arrays, attributes


def group_digest(group: Any) -> str:
    """The digest that a group carries, whether or not it is right."""
    return str(gate.attribute(group, DIGEST))


def content_digest(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Attribute]) -> str:
    """SHA-256 of names, types, shapes and bytes, whatever the layout and compression."""
    digest = hashlib.sha256()

    def add(*parts: str | bytes) -> None:
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)

    for name in sorted(attributes):
        value = attributes[name]
        add(
            "attribute",
            name,
            type(value).__name__,
            value.hex() if isinstance(value, float) else str(value),
        )
    for name in sorted(arrays):
        array = arrays[name]
        add("array", name, array.dtype.str, repr(array.shape), array.tobytes())
    return digest.hexdigest()


def storable(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """The array as it is stored: C order, little-endian, text as UTF-8 bytes.

    Raises TypeError for a dtype that HDF5 cannot hold portably.
    """
    array = np.asarray(value)
    kind = array.dtype.kind
    if kind == "U":
        array = np.char.encode(array, "utf-8")
        kind = "S"
    if kind == "S":
        # HDF5 has no text of length zero.
        return np.ascontiguousarray(array, f"S{max(1, array.dtype.itemsize)}").reshape(array.shape)
    limit = {"f": 8, "c": 16}.get(kind, 8)
    if kind not in "biufc" or array.dtype.itemsize > limit:
        raise TypeError(
            f"array {name!r} has dtype {array.dtype}, which cannot be stored; "
            "use numbers of up to 64 bits, bool or text"
        )
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, little).reshape(array.shape)


def _create(group: Any, name: str, array: NDArray[Any], kind: str, compress: bool) -> Any:
    import h5py

    if kind == "U":
        array = array.astype(h5py.string_dtype("utf-8", array.dtype.itemsize))
    options: dict[str, Any] = {}
    if 0 < array.nbytes <= _COMPACT_BYTES:
        options["dcpl"] = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options["dcpl"].set_layout(h5py.h5d.COMPACT)
    elif array.ndim and array.size:
        options = {"chunks": _chunks(array), "fletcher32": True}
        if compress:
            options |= {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    return group.create_dataset(name, data=array, dtype=array.dtype, **options)


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    """Whole array where it is small, else split from the first axis on to about 1 MiB."""
    chunk = list(array.shape)
    axis = 0
    while int(np.prod(chunk, dtype=object)) * array.itemsize > _CHUNK_BYTES:
        if chunk[axis] == 1:
            axis += 1
        else:
            chunk[axis] = (chunk[axis] + 1) // 2
    return tuple(chunk)


def _attribute(name: str, value: object) -> Attribute:
    if name == DIGEST:
        raise ValueError(f"the attribute name {DIGEST!r} is reserved")
    if isinstance(value, str):
        size = len(value.encode())
        if size > _MAX_ATTRIBUTE_BYTES:
            raise ValueError(
                f"attribute {name!r} has {size} bytes, more than HDF5 can hold "
                f"({_MAX_ATTRIBUTE_BYTES}); store it as an array: np.array(text)"
            )
        if "\0" in value:
            raise ValueError(f"attribute {name!r} contains a NUL character")
        return str(value)
    if is_whole(value):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"attribute {name!r} = {value} does not fit into 64 bits")
        return int(value)
    if is_number(value):
        return float(value)
    raise TypeError(f"attribute {name!r} must be str, int or float, got {type(value).__name__}")


def set_attribute(group: Any, name: str, value: Attribute) -> None:
    import h5py

    if isinstance(value, str):
        # Fixed length: it lies in the object header, not in a heap shared by the whole file.
        data = value.encode()
        group.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", max(1, len(data))))
    else:
        group.attrs.create(name, value, dtype="<i8" if isinstance(value, int) else "<f8")
