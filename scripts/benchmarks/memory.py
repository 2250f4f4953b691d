"""What --dry-run says of a study's memory, against the peaks that the kernel counts.

    python scripts/benchmarks/memory.py
    python scripts/benchmarks/memory.py --kinds "pcd;tensor" --ranks 2 --json memory.jsonl

Every kind is a small study with large arrays, forecast and then run on so many ranks. The peak of
each rank is the largest resident set of its process (getrusage, as /usr/bin/time -v has it).
Several ranks need an mpiexec beside this Python.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import add_json, print_rows, write_json

ROWS = 5000
"""Rows of the data files."""

KINDS: dict[str, dict[str, Any]] = {
    "enumeration": {"model": ("XYZ", 12, 2000), "training": {"gradient": "exact"}},
    "pcd": {"model": ("XYZ", 400, 8), "training": {"gradient": "pcd-1", "chains": 4000}},
    "pcd, large model": {"model": ("Z", 784, 500), "training": {"gradient": "pcd-1"}},
    "ladders": {"model": ("Z", 64, 8), "training": {"gradient": "tempered-1", "chains": 4000}},
    "contraction": {
        "model": ("XYZ", 16, 4),
        "connectivity": "lattice-4x4-4x4",
        "training": {"gradient": "contraction"},
    },
    "tensor": {"model": ("XYZ", 20, 5), "training": {"gradient": "tensor", "chains": 4000}},
}


def toml(kind: str, folder: Path) -> Path:
    """The study file of a kind, beside its data, with work for four ranks."""
    import numpy as np

    letters, n, m = KINDS[kind]["model"]
    rng = np.random.default_rng(1)
    np.save(folder / "rows.npy", rng.integers(0, 2, (ROWS, n), dtype=np.uint8))
    training = {"iterations": 2, **KINDS[kind]["training"]}
    if training["gradient"] not in ("exact", "contraction"):
        training["evaluate"] = "none"
    lines = ['name = "memory"', "seeds = 8", "[run]", "batch = 2", "[output]", "records = 3"]
    lines += ["[data]", 'name = "rows.npy"', "[model]", f'paulis = "{letters}"']
    lines += [f"visible = {n}", f"hidden = {m}"]
    if connectivity := KINDS[kind].get("connectivity"):
        lines.append(f'connectivity = "{connectivity}"')
    lines += ["[training]", *(f"{key} = {json.dumps(value)}" for key, value in training.items())]
    path = folder / "study.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def launched(ranks: int, command: list[str]) -> list[str]:
    """The command on so many ranks."""
    if ranks == 1:
        return command
    return [str(Path(sys.executable).parent / "mpiexec"), "-n", str(ranks), *command]


def compare(kind: str, ranks: int) -> dict[str, Any]:
    """Forecast and peaks of one kind."""
    tnqbm = [sys.executable, "-m", "tnqbm", "run"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = str(toml(kind, folder))
        planned = subprocess.run(
            launched(ranks, [*tnqbm, study, "--dry-run", "--json"]),
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        forecast = json.loads(planned.stdout)["memory"]
        (folder / "peaks").mkdir()
        own = [sys.executable, __file__, "--peak-of", str(folder / "peaks"), "--"]
        run = [*tnqbm, study, "-o", str(folder / "out.h5"), "--no-progress"]
        subprocess.run(launched(ranks, [*own, *run]), check=True, stdout=subprocess.DEVNULL)
        peaks = [float(path.read_text()) for path in (folder / "peaks").iterdir()]
    largest = max(forecast["first"], forecast["rank"] if ranks > 1 else 0.0)
    return {
        "kind": kind,
        "ranks": ranks,
        "forecast_rank_mb": largest / 1e6,
        "peak_rank_mb": max(peaks) / 1e6,
        "rank_ratio": largest / max(peaks),
        "forecast_total_mb": forecast["total"] / 1e6,
        "peak_total_mb": sum(peaks) / 1e6,
        "total_ratio": forecast["total"] / sum(peaks),
    }


def note_peak(folder: Path, command: list[str]) -> int:
    """Run a command as this rank and write the largest resident set of its process, in bytes."""
    code = subprocess.run(command, close_fds=False).returncode  # MPICH's ranks inherit a socket
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (folder / str(os.getpid())).write_text(str(peak))
    return code


def main() -> None:
    """The table, or one rank of a study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", default=";".join(KINDS), help="which, separated by semicolons")
    parser.add_argument("--ranks", default="1,2,4", help="numbers of ranks, separated by commas")
    parser.add_argument("--peak-of", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    add_json(parser)
    args = parser.parse_args()
    if args.peak_of:
        sys.exit(note_peak(args.peak_of, args.command))
    kinds, numbers = args.kinds.split(";"), [int(ranks) for ranks in args.ranks.split(",")]
    rows = [compare(kind, ranks) for kind in kinds for ranks in numbers]
    if args.json:
        write_json(args.json, "memory", rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
