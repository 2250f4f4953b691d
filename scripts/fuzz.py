"""Feed mutated files to everything that reads files, and count how each reading ends.

Archives, models, samples (sealed again, so that only what is inside is judged) and study files.
Every mutation is read in a child process, so that a crash or a hang of a library is counted too:

    python scripts/fuzz.py --count 1000 --seed 1 --kind model --kind study

"read" and "refused" are as it should be; the exit code is 0 if nothing else happened. Anything else
is printed with the number of its mutation, and the file is kept in --keep.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

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
from tnqbm.base.errors import ArchiveError, StudyError  # noqa: E402
from tnqbm.core.model import SqRBM  # noqa: E402
from tnqbm.datasets import read_samples  # noqa: E402

SECONDS = 60
"""A mutation that takes longer is counted as hanging."""


def main() -> int:
    """Read the mutations of every kind of file; 0 if each was read or refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="Mutations of each kind of file.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="Folder for files that were not refused well.")
    parser.add_argument("--kind", action="append", choices=tuple(KINDS), help="[default: all]")
    options = parser.parse_args()
    strange = 0
    with tempfile.TemporaryDirectory() as name:
        for kind in options.kind or KINDS:
            make, read, seal = KINDS[kind]
            ends: collections.Counter[str] = collections.Counter()
            path = Path(name) / ("x.toml" if kind == "study" else "x.h5")
            source = make(Path(name) / f"source-{kind}")
            found = _texts if kind == "study" else mutations
            for number, data in enumerate(found(source, options.count, options.seed)):
                path.write_bytes(data)
                if seal:
                    reseal(path, seal)
                end = _in_child(read, path)
                ends[end if end in ("read", "refused") else "strange"] += 1
                if end not in ("read", "refused"):
                    print(f"{kind} {number}: {end}", flush=True)
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        (options.keep / f"{kind}-{number}{path.suffix}").write_bytes(data)
            strange += ends["strange"]
            digest = hashlib.sha256(source).hexdigest()[:12]
            counts = ", ".join(f"{ends[end]} {end}" for end in ("read", "refused", "strange"))
            print(f"{kind}: {options.count} mutations of {digest}: {counts}", flush=True)
    return 1 if strange else 0


def _in_child(read: Callable[[Path], str], path: Path) -> str:
    """How reading ends: "read", "refused", or what happened instead."""
    inlet, outlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(inlet)
        signal.alarm(SECONDS)
        try:
            words = read(path)
        except BaseException as error:
            words = f"{type(error).__name__}: {str(error)[:200]}"
        os.write(outlet, words.encode("utf-8", "backslashreplace")[:4000])
        os._exit(0)
    os.close(outlet)
    with os.fdopen(inlet, "rb") as pipe:
        words = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    return words or f"ended by signal {os.WTERMSIG(status)}"


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


def _read_archive(path: Path) -> str:
    found = outcomes(path)
    if strange := raw(found):
        return str(strange)
    return "refused" if any(found.values()) else "read"


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
