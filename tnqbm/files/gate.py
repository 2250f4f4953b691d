"""The one gate through which HDF5 files are read: it lets plain groups, arrays and numbers pass.

A file may come from a stranger. HDF5 can make a reader open other files (external links, external
storage, virtual data sets) or wait for a pipe, take any amount of memory (a small file that claims
a huge array), follow a circle of links, or meet types that mean nothing here. Nothing is opened
before its link is known to be a hard one, and nothing is read before its layout, filters, type and
size have been looked at. What is refused is a :class:`NotPlainError`; :func:`reading` turns that,
and whatever else damaged bytes make a library raise, into an ArchiveError that names the place.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import ArchiveError
from tnqbm.base.limits import check_memory
from tnqbm.files.heap import variable_text

Arrays = dict[str, NDArray[Any]]
Attribute = str | int | float

MAX_DEPTH = 16
"""Groups inside groups that are followed."""

_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
"""deflate, shuffle, Fletcher-32, szip, nbit, scale-offset, lzf: those that come with h5py. Any
other makes the library look for a plug-in."""

_MOST_SHRUNK = 1100
"""gzip shrinks at most 1032-fold: a larger claim is not what was stored."""

PLACEHOLDER = b"This is a netCDF dimension but not a netCDF variable."
"""How the name of a dimension scale begins that gives an axis its name and holds no numbers, as the
netCDF-4 library writes it and expects it."""

_SLACK = 4096
_ATTRIBUTE_BYTES = 1 << 16


class NotPlainError(ValueError):
    """Something in a file is not of the plain kinds that are read; the message says what."""


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what the bytes of a file make the body raise into an ArchiveError: "WHERE is damaged".

    An ArchiveError, a MemoryError and a FileNotFoundError of the body pass as they are.
    """
    try:
        yield
    except (ArchiveError, MemoryError, FileNotFoundError):
        raise
    except Exception as exc:
        # h5py raises nearly any type for a damaged file, and so do those who interpret what it
        # read; all of them mean the same here.
        raise ArchiveError(f"{where} is damaged: {first_line(exc)}") from exc


def first_line(exc: BaseException) -> str:
    """The first line of an error's message, for use inside another message."""
    if isinstance(exc, KeyError) and exc.args:
        text = str(exc.args[0])
        if " " not in text:  # a key that was looked for, not a message of h5py
            return f"it has no {text}"
    else:
        text = str(exc)
    lines = text.strip().splitlines()
    return lines[0] if lines else type(exc).__name__


# --- members of groups ------------------------------------------------------------------------


def members(group: Any) -> list[str]:
    """Names of all that is linked in a group, in order of name."""
    return sorted(group)


def has(group: Any, name: str) -> bool:
    """Whether a group has a member of that name, whatever it is."""
    return bool(group.id.links.exists(_encoded(name)))


def subgroup(group: Any, name: str) -> Any:
    """The h5py.Group of that name; NotPlainError if it is another thing, KeyError if none."""
    import h5py

    opened = _opened(group.id, name)
    if not isinstance(opened, h5py.h5g.GroupID):
        raise NotPlainError(f"{name} is no group")
    return h5py.Group(opened)


def array(group: Any, name: str) -> NDArray[Any]:
    """The array of that name, text decoded; NotPlainError if it is none, KeyError if absent."""
    import h5py

    opened = _opened(group.id, name)
    if not isinstance(opened, h5py.h5d.DatasetID):
        raise NotPlainError(f"{name} is no array")
    return _read(opened, name)


def text(group: Any, name: str) -> str:
    """The single text of that name, of fixed or variable length; NotPlainError if it is none."""
    import h5py

    opened = _opened(group.id, name)
    if not isinstance(opened, h5py.h5d.DatasetID):
        raise NotPlainError(f"{name} is no text")
    stored, plan = opened.get_type(), opened.get_create_plist()
    single = opened.get_space().get_simple_extent_npoints() == 1 and not plan.get_external_count()
    if stored.get_class() != h5py.h5t.STRING or not single:
        raise NotPlainError(f"{name} is not a single text in this file")
    if stored.is_variable_str():
        return variable_text(opened).decode()
    value = _read(opened, name).item()
    return value.decode() if isinstance(value, bytes) else str(value)


def shapes(group: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the plain arrays in a group by name; everything else in it is left alone."""
    import h5py

    by_name = {}
    for name in members(group):
        try:
            opened = _opened(group.id, name)
            if isinstance(opened, h5py.h5d.DatasetID):
                by_name[name] = _check_stored(opened, opened.get_type(), name)
        except NotPlainError:
            continue
    return by_name


def tree(group: Any) -> Arrays:
    """All arrays of a group and of the groups in it, by name ("a/b").

    Placeholders of dimensions (:mod:`tnqbm.files.scales`) are no arrays: they are left alone.
    Raises NotPlainError if there is anything else, or one thing under two names.
    """
    arrays: Arrays = {}
    _collect(group, "", arrays, {_address(group.id)}, 0)
    return arrays


def _collect(
    group: Any, prefix: str, arrays: Arrays, seen: set[tuple[int, int]], depth: int
) -> None:
    import h5py

    if depth > MAX_DEPTH:
        raise NotPlainError("its groups are nested without end")
    for name in members(group):
        path = prefix + name
        opened = _opened(group.id, name)
        address = _address(opened)
        if address in seen:
            raise NotPlainError(f"{path} is linked twice")
        seen.add(address)
        if isinstance(opened, h5py.h5d.DatasetID):
            if not _is_placeholder(opened):
                arrays[path] = _read(opened, path)
        elif isinstance(opened, h5py.h5g.GroupID):
            _collect(h5py.Group(opened), path + "/", arrays, seen, depth + 1)
        else:
            raise NotPlainError(f"{path} is neither an array nor a group")


def _opened(parent: Any, name: str) -> Any:
    """The low-level object behind a hard link."""
    import h5py

    if name in ("", ".", "..") or "/" in name:
        raise NotPlainError(f"{name!r} is not a name")
    link, links = _encoded(name), parent.links
    if not links.exists(link):
        raise KeyError(name)
    if links.get_info(link).type != h5py.h5l.TYPE_HARD:
        raise NotPlainError(f"{name} is a link to another place, which is not followed")
    return h5py.h5o.open(parent, link)


def _is_placeholder(dataset: Any) -> bool:
    """Whether a data set only names an axis; all that is read is its attribute NAME, if plain."""
    import h5py

    if not h5py.h5a.exists(dataset, b"NAME"):
        return False
    name = h5py.h5a.open(dataset, b"NAME")
    kind, size = name.get_type(), name.get_type().get_size()
    text = kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str()
    scalar = name.get_space().get_simple_extent_type() == h5py.h5s.SCALAR
    if not (text and scalar and len(PLACEHOLDER) < size <= _SLACK):
        return False
    value = np.empty((), f"S{size}")
    name.read(value)
    return bytes(value.item()).startswith(PLACEHOLDER)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _address(opened: Any) -> tuple[int, int]:
    import h5py

    info = h5py.h5o.get_info(opened)
    return int(info.fileno), int(info.addr)


# --- arrays -----------------------------------------------------------------------------------


def _read(dataset: Any, name: str) -> NDArray[Any]:
    import h5py

    # Every call into HDF5 counts here: archives have a dozen small arrays in each of thousands of
    # blocks.
    stored = dataset.get_type()
    shape = _check_stored(dataset, stored, name)
    value = np.empty(shape, stored.dtype)
    if value.size:  # without h5py.Dataset, which takes most of the time of reading a small array
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    if stored.get_class() == h5py.h5t.STRING:
        value = value.astype(f"S{stored.get_size()}")  # without h5py's note on the encoding
        if stored.get_cset() == h5py.h5t.CSET_UTF8:
            value = np.char.decode(value, "utf-8")
    return value


def _check_stored(dataset: Any, stored: Any, name: str) -> tuple[int, ...]:
    """The shape of an array; NotPlainError unless it lies in this file and is packed as known.

    It must not claim more than what is ``stored``, its type, can take.
    """
    import h5py

    plan = dataset.get_create_plist()
    layout = plan.get_layout()
    if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise NotPlainError(f"{name} is made of parts of other files, which are not opened")
    if plan.get_external_count():
        raise NotPlainError(f"{name} is stored outside this file, where nothing is opened")
    filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    if not _FILTERS.issuperset(filters) or len(set(filters)) < len(filters):
        raise NotPlainError(f"{name} is packed by unknown filters ({filters})")
    itemsize = _itemsize(stored, name)
    space = dataset.get_space()
    if space.get_simple_extent_type() not in (h5py.h5s.SCALAR, h5py.h5s.SIMPLE):
        raise NotPlainError(f"{name} is an array without a shape")
    shape = tuple(map(int, space.get_simple_extent_dims()))
    claimed = math.prod(shape) * itemsize
    if not claimed:
        return shape
    if layout == h5py.h5d.CHUNKED:
        claimed = max(claimed, math.prod(plan.get_chunk()) * itemsize)
    if claimed > _SLACK:
        size = h5py.h5i.get_file_id(dataset).get_filesize()
        held = dataset.get_storage_size()
        if claimed > _MOST_SHRUNK * min(held, size) + _SLACK:
            raise NotPlainError(f"{name} claims {claimed} bytes, and {held} in {size} hold it")
    if claimed > 1 << 20:
        # Text is decoded, at four bytes a character, and compared with what was stored.
        cure = "free some, or read the file on a machine with more"
        check_memory(8 * claimed if itemsize > 16 else 2 * claimed, f"the array {name}", cure)
    return shape


def _itemsize(stored: Any, name: str) -> int:
    """Bytes of an element of a type; NotPlainError if the type is none that is read."""
    import h5py

    kind, size = stored.get_class(), int(stored.get_size())
    if kind == h5py.h5t.STRING:
        if stored.is_variable_str():
            raise NotPlainError(f"{name} holds text of variable length")
        return size
    if size == 8 and (stored.equal(h5py.h5t.IEEE_F64LE) or stored.equal(h5py.h5t.STD_I64LE)):
        return size  # nearly all are of these types
    plain = kind in (h5py.h5t.INTEGER, h5py.h5t.FLOAT) and size <= 8
    plain = plain or (kind == h5py.h5t.ENUM and size == 1)  # bool, as h5py writes it
    if kind == h5py.h5t.COMPOUND and size <= 16 and stored.get_nmembers() == 2:
        # Complex numbers, as h5py writes them.
        plain = all(stored.get_member_class(k) == h5py.h5t.FLOAT for k in (0, 1))
    if plain:
        dtype = stored.dtype
        if dtype.kind in "biufc" and h5py.h5t.py_create(dtype).equal(stored):
            return size
    raise NotPlainError(
        f"{name} holds neither numbers of up to 64 bits, nor true and false, nor text"
    )


# --- attributes -------------------------------------------------------------------------------


def attributes(item: Any) -> dict[str, Attribute]:
    """All attributes of a group; NotPlainError if one is neither text nor a single number."""
    import h5py

    count = h5py.h5a.get_num_attrs(item.id)
    names = [h5py.h5a.open(item.id, index=k).name.decode("utf-8") for k in range(count)]
    return {name: attribute(item, name) for name in names}


def has_attribute(item: Any, name: str) -> bool:
    """Whether a group has an attribute of that name, whatever it is."""
    import h5py

    return bool(h5py.h5a.exists(item.id, name.encode()))


def attribute(item: Any, name: str) -> Attribute:
    """One attribute of a group; KeyError if it has none of that name, else as above."""
    import h5py

    if not has_attribute(item, name):
        raise KeyError(name)
    opened = h5py.h5a.open(item.id, name.encode())
    kind, space = opened.get_type(), opened.get_space()
    if _itemsize(kind, f"the attribute {name}") > _ATTRIBUTE_BYTES:
        raise NotPlainError(f"the attribute {name} is too long")
    if space.get_simple_extent_type() != h5py.h5s.SCALAR:
        raise NotPlainError(f"the attribute {name} is not a single value")
    value = item.attrs[name]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    raise NotPlainError(f"the attribute {name} is neither text nor a number")
