"""Time and memory of exact evaluation of Pauli Hamiltonians: forecast against measured.

    python scripts/benchmarks/hamiltonian.py           # one thread, about a minute
    python scripts/benchmarks/hamiltonian.py --help

Each row is one gradient of the negative log-likelihood by all coefficients, in a process of its
own: "peak" is the process's largest resident memory less that before the evaluation. "sqbm" has all
couplings in and between the layers, "qrbm" all nine pairs of Pauli matrices between them. The
coefficients in tnqbm/base/forecast.toml are fitted to these times.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from typing import Any

from timing import add_json, one_thread, print_rows, write_json

one_thread()

import numpy as np  # noqa: E402

from tnqbm import SqRBM, Target  # noqa: E402
from tnqbm.hamiltonian import PauliHamiltonian, qrbm, sqbm, tfim  # noqa: E402

MODELS = (
    ("sqbm XYZ", 10, 5), ("sqbm XYZ", 12, 4), ("sqbm XYZ", 4, 8), ("sqbm XZ", 10, 5),
    ("sqbm Z", 16, 2), ("sqrbm XYZ", 14, 2), ("qrbm", 4, 4), ("qrbm", 6, 4), ("tfim", 5, 5),
    ("tfim", 6, 5),
)  # fmt: skip


def build(name: str, n: int, m: int) -> PauliHamiltonian:
    family, _, paulis = name.partition(" ")
    if family == "sqbm":
        return sqbm(n, m, paulis=paulis, scale=0.3, seed=1)
    if family == "sqrbm":
        return PauliHamiltonian.from_sqrbm(SqRBM.uniform(n, m, paulis, scale=0.3, seed=1))
    return {"qrbm": qrbm, "tfim": tfim}[family](n, m, scale=0.3, seed=1)


def measure(name: str, n: int, m: int) -> dict[str, Any]:
    """One row of the table."""
    h = build(name, n, m)
    target = Target.from_dense(np.random.default_rng(0).dirichlet(np.ones(1 << n)))
    cost = h.forecast()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    h.gradient(target)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "model": name,
        "n": n,
        "m": m,
        "terms": len(h.terms),
        "method": cost.method,
        "seconds": seconds,
        "forecast": cost.seconds,
        "peak_MB": peak / 1024,
        "forecast_MB": cost.bytes / 2**20,
    }


BETTER = dict.fromkeys(("seconds", "peak_MB"), "lower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_json(parser)
    arguments = parser.parse_args()
    rows = []
    for model in MODELS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, model))
    if arguments.json:
        write_json(arguments.json, "hamiltonian", rows, BETTER)
    print_rows(rows)


if __name__ == "__main__":
    main()
