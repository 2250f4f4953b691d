"""A data file and the array in it: its name taken apart, its bytes read with limits.

A file may be a stranger's, may be written while it is read, and may be a few bytes that unpack to
all of the memory.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tnqbm.base.errors import DataError
from tnqbm.base.limits import MEMORY_SHARE, available_bytes, in_words
from tnqbm.files.kinds import check_regular

MAX_UNPACKED = 1 << 32
"""Most bytes that a compressed file may unpack to; an unpacked file may be of any size."""

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Source:
    """A file, and the name of an array in it ("" if none was given)."""

    path: Path
    array: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.array}" if self.array else str(self.path)

    @property
    def gzipped(self) -> bool:
        return self.path.suffix.lower() == ".gz"

    @property
    def name(self) -> str:
        """The file's name in small letters, without a final .gz."""
        name = self.path.name.lower()
        return name.removesuffix(".gz") if self.gzipped else name

    def read_bytes(self) -> bytes:
        """All bytes of the file, unpacked if it ends in .gz; DataError if they are too many."""
        with self.path.open("rb") as file:
            if not self.gzipped:
                check_room(os.fstat(file.fileno()).st_size, "its text")
                return file.read()
            return unpacked(file)

    def open(self) -> BinaryIO:
        """The file's bytes as a stream, unpacked if it ends in .gz."""
        return io.BytesIO(self.read_bytes()) if self.gzipped else self.path.open("rb")


def unpacked(file: BinaryIO) -> bytes:
    """What a gzip stream unpacks to; DataError beyond the limit, or if it is damaged."""
    free = available_bytes()
    limit = MAX_UNPACKED if free is None else min(MAX_UNPACKED, int(MEMORY_SHARE * free / 2))
    blocks = bytearray()
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while block := stream.read(_BLOCK):
                blocks += block
                if len(blocks) > limit:
                    raise DataError(
                        f"it unpacks to more than {in_words(limit)}, the most that is unpacked "
                        "here; if that is right, unpack it first: gunzip -k FILE"
                    )
    except EOFError:
        raise DataError("the gzip file ends too early; copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"it is no whole gzip file ({error}); if it is not packed at all, rename it without .gz"
        ) from None
    return bytes(blocks)


def check_room(size: int, what: str) -> None:
    """DataError if so many bytes are more than the memory that is free."""
    free = available_bytes()
    if free is not None and size > MEMORY_SHARE * free:
        raise DataError(
            f"{what} would take {in_words(size)} of memory, and {in_words(free)} are free; take "
            "fewer rows, or a machine with more"
        )


def located(path: str | os.PathLike[str], known: tuple[str, ...]) -> Source:
    """A path, possibly with the name of an array: "file.h5:train".

    The part after the last colon is an array's name if what stands before it ends in one of the
    ``known`` suffixes and no file has the whole name.
    """
    text = os.fspath(path)
    head, colon, array = text.rpartition(":")
    if colon and head.lower().removesuffix(".gz").endswith(known) and not os.path.exists(text):
        return Source(Path(head), array)
    return Source(Path(text))


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raise DataError if a file is another one after the body than before it.

    Raises FileNotFoundError if it is not there, ValueError if it is no ordinary file.
    """
    check_regular(path)
    before = _state(path)
    yield
    if _state(path) != before:
        raise DataError("it changed while it was read; try again when nothing writes to it")


def _state(path: Path) -> tuple[int, ...]:
    found = os.stat(path)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, "sha256:..."; OSError if it cannot be read."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
