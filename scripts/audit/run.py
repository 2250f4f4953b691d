"""The equivalence audit: is one qubit with P Paulis the same as P classical hidden units?

    python scripts/audit/run.py -o audit.jsonl            # all of it, on one core
    python scripts/audit/run.py -o quick.jsonl --quick    # a small choice, in seconds

Computes ranks, best fits, scaling with the weights and Schmidt values (docs/equivalence.md) into a
file of one JSON line for each part. Parts that are in the file already are not computed again, so a
run that was stopped goes on where it was. Numbers depend on the seed in study.py only.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from results import AuditFile  # noqa: E402
from study import SEED, compute, plan  # noqa: E402

from mc.running.lock import Lock, OutputBusyError  # noqa: E402
from tnqbm.base.errors import ArchiveError  # noqa: E402
from tnqbm.files.atomic import check_target, remove_stale  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: nice -n 10 python scripts/audit/run.py -o audit.jsonl",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--quick", action="store_true", help="a small choice of every part")
    parser.add_argument(
        "--only", nargs="+", metavar="KIND", help="rank, special, schmidt, control, fit, scaling"
    )
    arguments = parser.parse_args()
    cells = plan(quick=arguments.quick)
    kinds = list(dict.fromkeys(cell["kind"] for cell in cells))
    for kind in arguments.only or ():
        if kind not in kinds:
            parser.error(f"there is no part {kind!r}; there are {', '.join(kinds)}")
    if arguments.only:
        cells = [cell for cell in cells if cell["kind"] in arguments.only]
    try:
        check_target(arguments.output, overwrite=True)
        lock = arguments.output.with_name(f".{arguments.output.name}.lock")
        with Lock(lock, f"the audit {arguments.output}"):
            remove_stale(arguments.output)
            return _run(AuditFile(arguments.output, seed=SEED), cells)
    except (ArchiveError, OutputBusyError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {arguments.output}", file=sys.stderr)
        return 130


def _run(file: AuditFile, cells: list[dict[str, object]]) -> int:
    missing = [cell for cell in cells if cell not in file]
    print(f"{len(cells)} parts, {len(cells) - len(missing)} of them in {file.path} already")
    begun = time.perf_counter()
    for done, cell in enumerate(missing, start=1):
        start = time.perf_counter()
        file.add(cell, compute(cell))
        words = " ".join(f"{name}={value}" for name, value in cell.items())
        print(f"{done}/{len(missing)}  {time.perf_counter() - start:6.1f} s  {words}", flush=True)
    if missing:
        print(f"{time.perf_counter() - begun:.0f} s")
    print(f"{file.path}: {len(file)} parts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
