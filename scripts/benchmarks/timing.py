"""One thread, turns that alternate, tables and lines of JSON: what the benchmarks share."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def one_thread() -> None:
    """Leave this process one core and every library one thread; call before importing any.

    Where the system has CPU affinity, it holds whatever a library thinks of the variables.
    """
    for variable in THREADS:
        os.environ[variable] = "1"
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 "
        + os.environ.get("XLA_FLAGS", "")
    )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def add_options(parser: argparse.ArgumentParser, rounds: int, seconds: float) -> None:
    """Options on time and output that the benchmarks share."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns, default {rounds}")
    parser.add_argument("--seconds", type=float, default=seconds, help="length of a turn")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count the processor's time instead of the clock's: for machines that others use",
    )
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every benchmark has: where its figures are written, for table.py."""
    parser.add_argument("--json", metavar="FILE", help="add a line of JSON per figure to this file")


def best_seconds(
    calls: Mapping[str, Callable[[], Any]], rounds: int, seconds: float, cpu_time: bool = False
) -> dict[str, float]:
    """Smallest duration of one call of each, over ``rounds`` turns of about ``seconds``.

    All have a turn in every round, so that other work on the machine meets all of them. A call
    that comes before the clock starts compiles what has to be compiled; every turn begins with one
    that does not count, which brings its data back into the caches.
    """
    best = dict.fromkeys(calls, math.inf)
    clock = time.process_time if cpu_time else time.perf_counter
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            end = time.perf_counter() + seconds
            start = clock()
            call()
            first = clock() - start
            # A call longer than a turn counts at once.
            if time.perf_counter() > end:
                best[name] = min(best[name], first)
            while time.perf_counter() < end:
                start = clock()
                call()
                best[name] = min(best[name], clock() - start)
    return best


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal keys as a table; floats with three digits, None as a dash."""
    if not rows:
        return
    cells = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    for line in cells:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def write_json(
    path: str,
    benchmark: str,
    rows: Sequence[Mapping[str, Any]],
    better: str | Mapping[str, str] = "",
) -> None:
    """Add a line of JSON to a file for every float of ``rows``, its figures; the rest says of what.

    ``better`` is whether smaller figures are ("lower"), or larger ones ("higher"), "" if neither;
    of each figure where they differ, "" for those it does not name.
    Lines say on which processor, with which vectors, versions and commit a figure was measured.
    """
    from mc.running.provenance import processor, vectors
    from tnqbm.base.commit import commit

    kind = {"processor": processor(), "vectors": vectors(), "commit": commit()}
    kind["versions"] = versions(*PACKAGES)
    with open(path, "a", encoding="utf-8") as file:
        for row in rows:
            where = {k: v for k, v in row.items() if not isinstance(v, float) and v is not None}
            for name, value in row.items():
                if isinstance(value, float) and math.isfinite(value):
                    line = {"benchmark": benchmark, "where": where, "figure": name}
                    way = better if isinstance(better, str) else better.get(name, "")
                    line |= {"value": float(f"{value:.6g}"), "better": way}
                    file.write(json.dumps(line | kind) + "\n")


PACKAGES = (
    "tnqbm", "numpy", "numba", "scipy", "quimb", "cotengra", "jax", "torch", "scikit-learn", "rbms",
)  # fmt: skip
"""Whose versions are written with figures, if installed."""


def versions(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
