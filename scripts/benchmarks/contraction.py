"""Exact contraction: time and memory, forecast against measured, and the time of planning.

    python scripts/benchmarks/contraction.py             # lines, rings, lattices, a wide unit
    python scripts/benchmarks/contraction.py --help

XYZ models unless the name says otherwise, one thread. Memory is NumPy's (tracemalloc), beyond the
model itself; "log Z" and "moments" are one call each after the first plan, and "sample" is one of
10000 independent states. Where quimb contracts the same network (log Z alone; searching a path
and making the tensors not counted), its time stands beside.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from typing import Any

from timing import add_options, best_seconds, one_thread, print_rows, write_json

one_thread()

import numpy as np  # noqa: E402

from tnqbm import SqRBM  # noqa: E402
from tnqbm.core import connectivity  # noqa: E402
from tnqbm.networks import Contraction, network  # noqa: E402
from tnqbm.networks.graph import graph  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--cases", default="", help="comma-separated; default all but the largest")
parser.add_argument("--max-gigabytes", type=float, default=8.0)
parser.add_argument("--no-quimb", action="store_true", help="without the comparison")
add_options(parser, rounds=2, seconds=0.5)

QUIMB_WIDTH = 20
"""Largest tensor (base-2 logarithm) that quimb is asked to contract here."""


def wide(n: int, k: int) -> np.ndarray:
    """A line with windows of 4 and one hidden unit with k neighbours spread over it."""
    mask = np.zeros((n, n - 2), dtype=bool)
    mask[:, :-1] = connectivity.line(n, 4)
    mask[np.linspace(0, n - 1, k).astype(int), -1] = True
    return mask


CASES: dict[str, tuple[np.ndarray, str]] = {
    "line-400": (connectivity.line(400, 4), "XYZ"),
    "ring-400": (connectivity.line(400, 4, periodic=True), "XYZ"),
    "lattice-8x8": (connectivity.lattice(8, 8), "XYZ"),
    "lattice-16x16": (connectivity.lattice(16, 16), "XYZ"),
    "lattice-20x20": (connectivity.lattice(20, 20), "XYZ"),
    "torus-8x8": (connectivity.lattice(8, 8, periodic=True), "XYZ"),
    "lattice-10x10-3x3": (connectivity.lattice(10, 10, (3, 3)), "XYZ"),
    "lattice-10x10-3x3 Z": (connectivity.lattice(10, 10, (3, 3)), "Z"),
    "wide-60-20": (wide(60, 20), "XYZ"),
    "wide-60-40": (wide(60, 40), "XYZ"),
    "dense-100x12 Z": (np.ones((100, 12), dtype=bool), "Z"),
    "dense-16x50": (np.ones((16, 50), dtype=bool), "XYZ"),
}
LARGEST = ("lattice-20x20",)


def measure(name: str, mask: np.ndarray, paulis: str, args: argparse.Namespace) -> dict[str, Any]:
    model = SqRBM.uniform(*mask.shape, paulis, scale=0.3, seed=1, mask=mask)
    clock = time.process_time if args.cpu_time else time.perf_counter
    start = clock()
    contraction = Contraction.of(model, max_bytes=args.max_gigabytes * 1e9)
    forecast = contraction.forecast
    planning = clock() - start
    calls = {
        "log Z": lambda: contraction.log_partition(model),
        "moments": lambda: contraction.moments(model),
    }
    times = best_seconds(calls, args.rounds, args.seconds, args.cpu_time)
    tracemalloc.start()
    log_z, _ = contraction.log_partition_and_moments(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    row: dict[str, Any] = {
        "case": name,
        "n": mask.shape[0],
        "m": mask.shape[1],
        "width": forecast.width,
        "Mops": forecast.operations / 1e6,
        "slices": forecast.slices,
        "plan s": planning,
        "log Z ms": 1e3 * times["log Z"],
        "moments ms": 1e3 * times["moments"],
        "forecast ms": 1e3 * forecast.seconds,
        "ratio": times["moments"] / forecast.seconds,
        "peak MB": peak / 1e6,
        "forecast MB": forecast.bytes / 1e6,
        "sample us": None,
        "quimb log Z ms": None,
    }
    try:
        contraction.sample(model, 1, seed=0)
        two = {k: (lambda k=k: contraction.sample(model, k, seed=0)) for k in (0, 10000)}
        taken = best_seconds({str(k): call for k, call in two.items()}, 1, 0.2, args.cpu_time)
        row["sample us"] = 1e2 * (taken["10000"] - taken["0"])
    except (ValueError, MemoryError):
        pass
    if not args.no_quimb and forecast.width <= QUIMB_WIDTH:
        row["quimb log Z ms"] = 1e3 * quimb_seconds(model, log_z, args)
    return row


def quimb_seconds(model: SqRBM, log_z: float, args: argparse.Namespace) -> float:
    """quimb's own contraction of the same network, checked for an equal result."""
    import cotengra

    widest = max(units.size for units in graph(model))
    tn = network(model, split="never" if widest <= QUIMB_WIDTH else "wide")
    search = cotengra.RandomGreedyOptimizer(seed=0, parallel=False, max_repeats=4)
    tree = tn.contraction_tree(search, output_inds=())

    def contract() -> float:
        mantissa, exponent = tn.contract(optimize=tree, output_inds=(), strip_exponent=True)
        return float(np.log(mantissa) + exponent * np.log(10.0))

    found = contract()
    if abs(found - log_z) > 1e-9 * max(1.0, abs(log_z)):
        raise SystemExit(f"quimb finds log Z = {found}, we {log_z}")
    return best_seconds({"quimb": contract}, 1, args.seconds, args.cpu_time)["quimb"]


BETTER = dict.fromkeys(
    ("Mops", "plan s", "log Z ms", "moments ms", "peak MB", "sample us"), "lower"
)


def main() -> None:
    args = parser.parse_args()
    names = args.cases.split(",") if args.cases else [c for c in CASES if c not in LARGEST]
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    rows = [measure(name, *CASES[name], args) for name in names]
    if args.json:
        write_json(args.json, "contraction", rows, BETTER)
    print_rows(rows)


if __name__ == "__main__":
    main()
