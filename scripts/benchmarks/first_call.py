"""Processor time of first calls on a machine without compiled kernels.

    python scripts/benchmarks/first_call.py
    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES= python scripts/benchmarks/first_call.py   # AVX2

Each call runs in a process of its own with an empty folder for machine code, and then once more
with the folder that the first one filled; the difference is what compilation takes. Calls that need
no kernel must leave the folder empty.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import add_json, print_rows, write_json

_PCD = """
from tnqbm import SqRBM, datasets, train
train(SqRBM.uniform(8, 4, {paulis!r}, seed=1), datasets.load("bas", 8), gradient="pcd",
      batch_size=4, chains=20, iterations=5, records=2, evaluate="none", seed=1)
"""

_EXACT = """
from tnqbm import SqRBM, exact
exact.log_partition(SqRBM.uniform(8, 4, {paulis!r}, seed=1))
"""

_EVERYTHING = """
import numpy as np
from mc.kernels import KERNELS, Sweeper, check_kernel
from tnqbm import SqRBM, datasets, exact, train
data = datasets.load("bas", 8)
for paulis in ("Z", "XYZ"):
    model = SqRBM.uniform(8, 3, paulis, seed=1)
    for method in ("enumeration", "contraction", "quadrature"):
        exact.log_partition(model, method=method)
        exact.moments(model, method=method)
    exact.probabilities(model)
    for kernel in KERNELS:
        if kernel != "block" or paulis == "Z":
            states, keys = np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.uint64)
            Sweeper(model.shape, kernel).sweep(model.to_vector()[None], states, keys, 0, 1)
    for gradient in ("exact", "pcd", "tempered", "weighted"):
        chains = {} if gradient == "exact" else {"chains": 20}
        train(model, data, gradient=gradient, iterations=3, records=2, seed=1, **chains)
"""

_HELP = """
import runpy, sys
sys.argv[1:] = ["--help"]
runpy.run_module("tnqbm", run_name="__main__")
"""

CALLS = {
    "log Z, XYZ": _EXACT.format(paulis="XYZ"),
    "log Z, Z": _EXACT.format(paulis="Z"),
    "PCD, XYZ": _PCD.format(paulis="XYZ"),
    "PCD, Z": _PCD.format(paulis="Z"),
    "everything": _EVERYTHING,
    "no kernel": _HELP,
}


def processor_seconds(code: str, folder: str) -> float:
    """User and system time of a new process that runs ``code`` with this folder of machine code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"NUMBA_CACHE_DIR": folder, "NUMBA_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measured(name: str, code: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        first = processor_seconds(code, folder)
        kernels = len(list(Path(folder).rglob("*.nbc")))
        second = processor_seconds(code, folder)
    if name == "no kernel" and kernels:
        sys.exit(f"the command line's help compiled {kernels} kernels")
    return {
        "call": name,
        "first s": first,
        "again s": second,
        "compiling s": first - second,
        "kernels": float(kernels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", default=";".join(CALLS), help="separated by ;, default all")
    add_json(parser)
    chosen = parser.parse_args()
    wanted = chosen.calls.split(";")
    for name in wanted:
        if name not in CALLS:
            parser.error(f"--calls: no call {name!r}; there are {'; '.join(CALLS)}")
    rows = [measured(name, CALLS[name]) for name in wanted]
    if chosen.json:
        write_json(chosen.json, "first_call", rows, "lower")
    print_rows(rows)


if __name__ == "__main__":
    main()
