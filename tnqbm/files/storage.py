"""Sealed HDF5 files, and trees of arrays in them (checkpoints, saved models).

Three facts about HDF5 shape this module. A file cut short by a kill or a full disk may be
unreadable, so a file is written under a temporary name, synced and renamed (tnqbm.files.atomic). A
full disk makes the HDF5 library crash the process when it closes the file, so files are built in
memory and written with ordinary system calls. A damaged file can make the library crash, loop or
return wrong numbers, so every file carries a *seal*: the SHA-256 of all its bytes in an HDF5 user
block (512 bytes before the HDF5 data, which every HDF5 reader skips). A file whose seal holds is
safe to open; a file whose seal is broken is not opened in this process. The seal guards against
accidents; what a stranger sealed is still read through :mod:`tnqbm.files.gate` only.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.atomic import atomic_write, check_target
from tnqbm.files.content import read_group, set_attribute, write_group
from tnqbm.files.gate import Arrays, Attribute, first_line
from tnqbm.files.kinds import described, hint, irregular

SEAL_SIZE = 512
TREE_VERSION = 1

_TITLE = "tnqbm sealed HDF5"
_SEAL = re.compile(r"kind: ([a-z-]{1,40})\nsize: (\d{1,19})\nsha256: ([0-9a-f]{64})\n")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OPEN_FOR_WRITING = 0b101
"""Flags of the superblock: open for writing, and for writing while others read."""
_BUFFER = 1 << 20
# Readable by every HDF5 library since 1.10 (2016), with checksummed metadata and an index of a
# few bytes, not 2 KB, for a data set of one chunk.
_LIBVER = ("v110", "v110")
_counter = itertools.count()


@dataclass(frozen=True)
class Seal:
    """What the first 512 bytes say about a file, compared with the file itself.

    ``status`` is "whole" (the file is byte for byte what was written), "broken" (it is not;
    ``detail`` says how) or "absent" (not written by tnqbm, or rewritten by another program).
    ``truncated``: the end of the file is missing, so HDF5 cannot read any of it.
    """

    status: Literal["whole", "broken", "absent"]
    kind: str = ""
    detail: str = ""
    truncated: bool = False


def check_seal(path: str | Path) -> Seal:
    """Compare a file with its seal; reads the whole file (about 1 GB/s) but not as HDF5.

    Raises FileNotFoundError if there is no such file, ArchiveError if it is a folder, a pipe or the
    like, or empty, BeingWrittenError if its seal does not hold because another process is writing
    it, and OSError if it cannot be read.
    """
    path = Path(path)
    if kind := irregular(path):
        raise ArchiveError(f"{path} is {kind}, not an HDF5 file")
    seal = _compared(path)
    if seal.status != "whole":
        _check_not_being_written(path)
    return seal


def _compared(path: Path) -> Seal:
    with path.open("rb") as handle:
        head = handle.read(SEAL_SIZE)
        size = os.fstat(handle.fileno()).st_size
        if not head:
            raise ArchiveError(f"{path} is empty (0 bytes): nothing was ever written to it")
        text = head.decode("ascii", "replace")
        if not text.startswith(_TITLE):
            return Seal("absent")
        match = _SEAL.search(text)
        if match is None:
            detail = f"its first {SEAL_SIZE} bytes are damaged"
            return Seal("broken", "", detail, truncated=size <= SEAL_SIZE)
        kind, expected, digest = match[1], int(match[2]), match[3]
        if size < expected:
            detail = f"truncated, {size} of its {expected} bytes are left"
            return Seal("broken", kind, detail, truncated=True)
        if size > expected:
            return Seal("broken", kind, f"{size - expected} bytes were added at its end")
        actual = _file_digest(handle, kind, expected)
    if actual != digest:
        return Seal("broken", kind, "its bytes do not match its SHA-256 checksum")
    if head != _seal_block(kind, expected, digest):
        return Seal("broken", kind, f"its first {SEAL_SIZE} bytes are damaged")
    return Seal("whole", kind)


def sealed_kind(path: str | Path) -> str:
    """The kind that a file's seal names, whether it holds or not; "" if there is none."""
    with Path(path).open("rb") as handle:
        head = handle.read(SEAL_SIZE).decode("ascii", "replace")
    match = _SEAL.search(head)
    return match[1] if match is not None and head.startswith(_TITLE) else ""


class BeingWrittenError(ArchiveError):
    """A file is open for writing in another process, so what is in it cannot be judged."""


def _check_not_being_written(path: Path) -> None:
    """Raise BeingWrittenError if another process has locked the file, or HDF5 marked it."""
    with path.open("rb") as handle:
        if _locked(handle):
            raise BeingWrittenError(
                f"{path} is being written by another process; try again when that has closed it"
            )
        for offset in _superblocks(handle):
            handle.seek(offset + len(_SIGNATURE))
            head = handle.read(4)
            # Since version 3 of the superblock its last byte says who has the file open.
            if len(head) == 4 and head[0] >= 3 and head[3] & _OPEN_FOR_WRITING:
                raise BeingWrittenError(
                    f"{path} is marked as open for writing: another process is writing it (try "
                    "again when that has closed it), or it is damaged, because one was killed "
                    f"meanwhile (the mark goes with: h5clear -s {path})"
                )


def _locked(handle: Any) -> bool:
    """Whether another process holds the lock that HDF5 takes on files that it writes."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def _file_digest(handle: Any, kind: str, size: int) -> str:
    digest = hashlib.sha256(f"{kind} {size}\n".encode())
    while block := handle.read(_BUFFER):
        digest.update(block)
    return digest.hexdigest()


def _seal_block(kind: str, size: int, digest: str) -> bytes:
    text = (
        f"{_TITLE}\nThis is an HDF5 file: any HDF5 reader skips these {SEAL_SIZE} bytes.\n"
        f"kind: {kind}\nsize: {size}\nsha256: {digest}\n"
    )
    return text.encode("ascii").ljust(SEAL_SIZE - 1) + b"\n"


def write_sealed(
    path: str | Path, kind: str, fill: Callable[[Any], None], *, overwrite: bool = True
) -> None:
    """Write a sealed HDF5 file of which ``fill(root_group)`` makes the content.

    The file is built in memory (twice its size) and then written atomically; errors are those of
    :func:`atomic_write`.
    """
    import h5py

    check_target(Path(path), overwrite)
    with h5py.File(
        f"in-memory-{os.getpid()}-{next(_counter)}",
        "w",
        driver="core",
        backing_store=False,
        block_size=_BUFFER,
        libver=_LIBVER,
        userblock_size=SEAL_SIZE,
    ) as file:
        fill(file)
        file.flush()
        image = file.id.get_file_image()
    size = SEAL_SIZE + len(image)
    digest = hashlib.sha256(f"{kind} {size}\n".encode())
    digest.update(image)
    with (
        atomic_write(path, overwrite=overwrite) as temporary,
        open(temporary, "wb", buffering=0) as handle,
    ):
        _write_all(handle, _seal_block(kind, size, digest.hexdigest()))
        _write_all(handle, image)


def _write_all(handle: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]


def open_hdf5(path: str | Path) -> Any:
    """Open an HDF5 file for reading, without locks, as an ``h5py.File`` (a context manager).

    A sealed file is opened only if it is whole. Raises FileNotFoundError if it is missing, and
    ArchiveError if it is damaged, empty, a folder or not HDF5.
    """
    seal = check_seal(path)
    if seal.status == "broken":
        raise ArchiveError(f"{path} is damaged: {seal.detail}")
    return open_unchecked(path)


def open_unchecked(path: str | Path) -> Any:
    """:func:`open_hdf5` without a look at the seal: a damaged file may crash the process."""
    import h5py

    try:
        # A writer never changes a file in place, so readers need no locks, and some cluster
        # file systems have none.
        return h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except PermissionError:
        raise PermissionError(f"no permission to read {path}") from None
    except (OSError, RuntimeError, ValueError, KeyError) as exc:
        if not _has_signature(Path(path)):
            raise ArchiveError(f"{path} is not an HDF5 file{hint(Path(path))}") from None
        raise ArchiveError(f"{path} is damaged and cannot be read: {first_line(exc)}") from None


def _has_signature(path: Path) -> bool:
    with path.open("rb") as handle:
        return any(True for _ in _superblocks(handle))


def _superblocks(handle: Any) -> Iterator[int]:
    """Where HDF5 data can begin in a file and a signature stands."""
    size = os.fstat(handle.fileno()).st_size
    offset = 0
    while offset < size:
        handle.seek(offset)
        if handle.read(len(_SIGNATURE)) == _SIGNATURE:
            yield offset
        offset = max(512, 2 * offset)


class NewerFormatError(ArchiveError):
    """A file was written in a later version of its format than this one can read."""


class OtherFileError(ArchiveError):
    """A file holds something else than what was asked for; the message says what it is."""


def set_format(root: Any, name: str, version: int, kind: str) -> None:
    """Write the attributes by which :func:`check_format` knows a file."""
    set_attribute(root, "format", name)
    set_attribute(root, "format_version", version)
    set_attribute(root, "kind", kind)
    set_attribute(root, "created_by", f"tnqbm {package_version()}")


def check_format(root: Any, path: str | Path, name: str, version: int, what: str) -> str:
    """Return the kind of a file of format ``name``; ArchiveError if it is another or newer."""
    with gate.reading(str(path)):
        attributes = {
            key: gate.attribute(root, key) for key in _FORMAT_KEYS if gate.has_attribute(root, key)
        }
        names = gate.members(root)
    if attributes.get("format") != name:
        raise OtherFileError(f"{path} is not {what} of tnqbm, but {described(attributes, names)}")
    number = attributes.get("format_version")
    if not isinstance(number, int) or number < 1:
        raise ArchiveError(f"{path} is damaged: its format version is {number!r}")
    if number > version:
        raise NewerFormatError(
            f"{path} has format version {number}, written by {_creator(root)}; "
            f"this is tnqbm {package_version()}, which reads versions up to {version}: update it"
        )
    return str(attributes.get("kind", ""))


_FORMAT_KEYS = ("format", "format_version", "kind")


def _creator(root: Any) -> str:
    try:
        return str(gate.attribute(root, "created_by"))
    except Exception:  # whatever this version cannot read
        return "a later tnqbm"


def package_version() -> str:
    """The version of the running tnqbm."""
    import tnqbm

    version = getattr(tnqbm, "__version__", None)
    if isinstance(version, str):
        return version
    from importlib import metadata

    try:
        return metadata.version("tnqbm")
    except metadata.PackageNotFoundError:
        return "(version unknown)"


def write_tree(
    path: str | Path,
    arrays: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Attribute],
    *,
    kind: str = "tree",
    dims: Mapping[str, tuple[str, ...]] | None = None,
    compress: bool = True,
    overwrite: bool = True,
) -> None:
    """Write arrays (names may be nested, "a/b") and attributes to a sealed HDF5 file, atomically.

    ``kind`` ("tree", "model", "checkpoint") must be given again to :func:`read_tree`. Raises
    ValueError or TypeError for what cannot be stored and OSError as :func:`atomic_write` does.
    """

    def fill(root: Any) -> None:
        set_format(root, "tnqbm-tree", TREE_VERSION, kind)
        write_group(root.create_group("content"), arrays, attributes, dims=dims, compress=compress)

    write_sealed(path, f"tnqbm-{kind}", fill, overwrite=overwrite)


def read_tree(path: str | Path, *, kind: str = "tree") -> tuple[Arrays, dict[str, Attribute]]:
    """Read a file of :func:`write_tree`, verified.

    Raises FileNotFoundError if it is missing, ArchiveError if it is damaged, foreign, of another
    kind, or newer than this version can read.
    """
    with open_hdf5(path) as root, gate.reading(str(path)):
        stored_kind = check_format(root, path, "tnqbm-tree", TREE_VERSION, f"a {kind} file")
        if stored_kind != kind:
            other = described({"format": "tnqbm-tree", "kind": stored_kind}, [])
            raise OtherFileError(f"{path} is not a {kind} file of tnqbm, but {other}")
        return read_group(gate.subgroup(root, "content"), str(path))
