"""Feed mutated files to everything that reads files, and count how each reading ends.

Archives, models, samples (sealed again, so that only what is inside is judged) and study files.
Mutations are read in a child process, which goes on until it crashes or hangs. That is counted, and
another child goes on with the next mutation:

    python scripts/fuzz.py --count 1000 --seed 1 --kind model --kind study

"read" and "refused" are as it should be; the exit code is 0 if nothing else happened. An archive
that is found whole must have the numbers of the one that was changed. Anything else is printed with
the number of its mutation, and the file is kept in --keep.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import itertools
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mc.sampling.samples_file import chains_of, write_samples  # noqa: E402
from mc.studies.file import load_study  # noqa: E402
from tests.tnqbm.archive.hostile import (  # noqa: E402
    mutations,
    outcomes,
    raw,
    reseal,
    small_archive,
)
from tnqbm.archive import Archive  # noqa: E402
from tnqbm.archive.verify import verify_archive  # noqa: E402
from tnqbm.base.errors import ArchiveError, StudyError  # noqa: E402
from tnqbm.core.model import SqRBM  # noqa: E402
from tnqbm.datasets import read_samples  # noqa: E402

SECONDS = 60
"""Processor time after which a mutation counts as hanging; ten times as long, if it only waits."""

FINE = ("read", "refused")


def main() -> int:
    """Read the mutations of every kind of file; 0 if each was read or refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="Mutations of each kind of file.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="Folder for files that were not refused well.")
    parser.add_argument("--kind", action="append", choices=tuple(KINDS), help="[default: all]")
    options = parser.parse_args()
    strange = 0
    for kind in options.kind or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            strange += _fuzzed(kind, Path(folder), options.count, options.seed, options.keep)
    return 1 if strange else 0


def _fuzzed(kind: str, folder: Path, count: int, seed: int, keep: Path | None) -> int:
    """Read the mutations of one kind of file and print what came of it; how many were strange."""
    make, read, seal = KINDS[kind]
    path = folder / ("x.toml" if kind == "study" else "x.h5")
    source = make(folder / "source")
    path.write_bytes(source)
    if (end := read(path)) != "read":  # in this process, so that children need not import anything
        raise SystemExit(f"the {kind} before any mutation: {end}")

    def made() -> Iterator[bytes]:
        return (_texts if kind == "study" else mutations)(source, count, seed)

    def reading(data: bytes) -> str:
        path.write_bytes(data)
        if seal:
            reseal(path, seal)
        return read(path)

    ends: collections.Counter[str] = collections.Counter()
    for number, (data, end) in enumerate(zip(made(), _ends(reading, made, count), strict=True)):
        ends[end if end in FINE else "strange"] += 1
        if end not in FINE:
            print(f"{kind} {number}: {end}", flush=True)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind}-{number}{path.suffix}").write_bytes(data)
    digest = hashlib.sha256(source).hexdigest()[:12]
    counts = ", ".join(f"{ends[end]} {end}" for end in (*FINE, "strange"))
    print(f"{kind}: {count} mutations of {digest}, seed {seed}: {counts}", flush=True)
    return ends["strange"]


def _ends(
    read: Callable[[bytes], str], made: Callable[[], Iterator[bytes]], count: int
) -> Iterator[str]:
    """How reading each of ``count`` mutations ends: "read", "refused", or what happened instead."""
    done = 0
    while done < count:
        inlet, outlet = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(inlet)
            # A child at a time does not read all, in case that reading leaves memory behind.
            _read_all(read, itertools.islice(made(), done, done + 1000), outlet)
        os.close(outlet)
        with os.fdopen(inlet) as pipe:
            for line in pipe:
                yield json.loads(line)
                done += 1
        _, status = os.waitpid(pid, 0)
        if status:
            yield f"ended by signal {os.WTERMSIG(status)}"
            done += 1


def _read_all(read: Callable[[bytes], str], mutated: Iterator[bytes], outlet: int) -> NoReturn:
    """Say how reading each ends, a line for each, and exit."""
    for data in mutated:
        signal.alarm(10 * SECONDS)
        limit = int(time.process_time()) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            words = read(data)
        except BaseException as error:
            words = f"{type(error).__name__}: {str(error)[:200]}"
        os.write(outlet, json.dumps(words).encode() + b"\n")
    os._exit(0)


def _archive(path: Path) -> bytes:
    return small_archive(path.with_suffix(".h5")).read_bytes()


def _model(path: Path) -> bytes:
    target = path.with_suffix(".h5")
    SqRBM.uniform(6, 20, "XYZ", seed=1).save(target)
    return target.read_bytes()


def _samples(path: Path) -> bytes:
    rows = np.random.default_rng(1).integers(0, 2, (4, 200, 8), np.uint8)
    target = path.with_suffix(".h5")
    write_samples(target, rows, {"note": "of a model"}, log_weights=np.zeros(800))
    return target.read_bytes()


def _study(path: Path) -> bytes:
    return (ROOT / "scripts" / "studies" / "demo.toml").read_bytes()


def _texts(source: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Study files with words exchanged, numbers made large, and characters put in or taken out."""
    rng = np.random.default_rng(seed)
    odd = (b"-1", b"1e400", b"nan", b"[]", b"{}", b'""', b"true", b"'\\u001b'", b"10**9", b"9" * 30)
    for k in range(count):
        words = re.split(rb"(\W)", source)
        for at in rng.integers(0, len(words), 1 + k % 4):
            choice = rng.integers(4)
            other = words[int(rng.integers(len(words)))]
            words[at] = (other, odd[int(rng.integers(len(odd)))], b"", words[at] * 2)[int(choice)]
        data = bytearray(b"".join(words))
        if k % 5 == 0:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        yield bytes(data)


_WHOLE: dict[str, str] = {}
"""The numbers of the archive that is mutated, before it is."""


def _read_archive(path: Path) -> str:
    found = outcomes(path)
    if strange := raw(found):
        return str(strange)
    refused = any(found.values())
    # The first is the one that has not been mutated.
    if verify_archive(path).ok and (
        refused or _WHOLE.setdefault("numbers", _numbers(path)) != _numbers(path)
    ):
        return f"called whole, but not the same: {found}"
    return "refused" if refused else "read"


def _numbers(path: Path) -> str:
    """All numbers of an archive, and those of its tables once more."""
    with Archive(path) as archive:
        return f"{archive.fingerprint()} {archive.rows()} {archive.groups()} {archive.plan}"


def _reading(
    errors: tuple[type[Exception], ...], *readers: Callable[[Path], object]
) -> Callable[[Path], str]:
    def read(path: Path) -> str:
        try:
            for reader in readers:
                reader(path)
        except errors:
            return "refused"
        return "read"

    return read


KINDS: dict[str, tuple[Callable[[Path], bytes], Callable[[Path], str], str]] = {
    "archive": (_archive, _read_archive, "tnqbm-archive"),
    "model": (_model, _reading((ArchiveError,), SqRBM.load), "tnqbm-model"),
    "samples": (
        _samples,
        _reading((ArchiveError, ValueError), lambda p: read_samples(p, weighted=True), chains_of),
        "tnqbm-samples",
    ),
    "study": (_study, _reading((StudyError,), load_study), ""),
}


if __name__ == "__main__":
    sys.exit(main())
