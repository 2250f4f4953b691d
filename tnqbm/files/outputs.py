"""The rule for every file that a command or a call writes: its name, and what it may replace.

An output never is an input of the same call, and ``overwrite`` replaces only what was written as
the same kind of output before: no study file, no data, nobody's picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tnqbm.files.atomic import check_target, check_writable
from tnqbm.files.storage import sealed_kind

HEAD = 1 << 16
"""Bytes at a file's beginning in which its kind shows."""


@dataclass(frozen=True)
class Kind:
    """A kind of output: what messages call it, its endings, and whether a file was written so."""

    what: str
    suffixes: tuple[str, ...]
    written: Callable[[Path], bool]


def check_output(
    path: str | Path,
    kind: Kind,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Path:
    """The path if an output of this kind can be written there; nothing is written.

    ``inputs`` are the files that the same call reads; files are compared, not names, so links to
    them are found, too. Raises ValueError for no name, for another ending than those of ``kind``,
    for an input, and where ``overwrite`` would replace a file of another kind (an empty one may be
    replaced); FileExistsError for a file that exists, unless ``overwrite``, and for a symbolic
    link, a pipe or a device in any case; IsADirectoryError for a folder; FileNotFoundError,
    NotADirectoryError and PermissionError if the folder cannot be written.
    """
    target = check_place(path, kind, inputs)
    check_target(target, overwrite)
    if target.exists() and target.stat().st_size and not kind.written(target):
        raise ValueError(
            f"{target} is not replaced: it was not written as {kind.what} of tnqbm; choose another "
            "output, or remove the file yourself"
        )
    return target


def check_place(path: str | Path, kind: Kind, inputs: Iterable[str | Path] = ()) -> Path:
    """:func:`check_output` for a call that goes on with the output if it is there already."""
    target = check_name(path, kind)
    for source in inputs:
        if same_file(target, source):
            raise ValueError(
                f"{target} cannot be written: it is the file {source}, which is read here; choose "
                "another output"
            )
    check_target(target, overwrite=True)
    check_writable(target)
    return target


def check_name(path: str | Path, kind: Kind) -> Path:
    """The path if its name fits ``kind``; ValueError says what is wrong. Reads no file."""
    given, target = os.fspath(path), Path(path)
    if not target.name or target.name == ".." or given.endswith(os.sep):
        raise ValueError(
            f"{given!r} is no file name; {kind.what} needs one, such as out{kind.suffixes[0]}"
        )
    if target.suffix.lower() not in kind.suffixes:
        ending = f"not in {target.suffix}" if target.suffix else "and has no ending"
        raise ValueError(
            f"{target}: the name of {kind.what} must end in one of {', '.join(kind.suffixes)}, "
            f"{ending}"
        )
    return target


def same_file(a: str | Path, b: str | Path) -> bool:
    """Whether two paths lead to one file: by symbolic or hard links, or by the same name."""
    try:
        return os.path.samefile(a, b)
    except OSError:  # one of them does not exist
        return os.path.realpath(a) == os.path.realpath(b)


def _sealed(kind: str) -> Callable[[Path], bool]:
    # A damaged file still says what it was.
    return lambda path: sealed_kind(path) == f"tnqbm-{kind}"


def _is_samples(path: Path) -> bool:
    head = _head(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        comments = [line for line in head.splitlines() if line.startswith(b"#")]
        return any(line.startswith(b"# tnqbm:") for line in comments)
    if suffix == ".npy":  # has no room for a name; this is what samples look like
        return head.startswith(b"\x93NUMPY") and b"'descr': '|u1'" in head[:128]
    return sealed_kind(path) == "tnqbm-samples"


def _is_figure(path: Path) -> bool:
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[path.suffix.lower()]
    # PDF names its maker at the end.
    return _head(path).startswith(start) and b"Matplotlib" in path.read_bytes()


def _is_report(path: Path) -> bool:
    return b'<meta name="generator" content="tnqbm ' in _head(path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


ARCHIVE = Kind("an archive", (".h5", ".hdf5"), _sealed("archive"))
MODEL = Kind("a model", (".h5", ".hdf5"), _sealed("model"))
NETWORK = Kind("an amplitude network", (".h5", ".hdf5"), _sealed("network"))
SAMPLES = Kind("a file of samples", (".h5", ".hdf5", ".npy", ".csv"), _is_samples)
FIGURE = Kind("a figure", (".png", ".pdf", ".svg"), _is_figure)
REPORT = Kind("a report", (".html", ".htm"), _is_report)
