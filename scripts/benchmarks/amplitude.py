"""Quality and cost of amplitude networks of dense sqRBMs.

    python scripts/benchmarks/amplitude.py            # about five minutes on two cores
    python scripts/benchmarks/amplitude.py --help

First table: random models of the sizes given, with parameters uniform in [-scale, scale], several
each. "ESS/K" is the effective share of K importance samples of the network, "SE" the standard
error of log Z from them, and "gap" the difference from a long annealed importance sampling run in
its standard errors (--check). Times are those of the wall clock; "cpu" counts all threads. Second
table: infidelity against bond dimension, with the one that exact truncation of the dense state
would leave, at a size where that is possible.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from timing import add_json, print_rows, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--models",
    default="64x64:0.1:128,32x32:0.2:128,32x32:0.5:128,32x32:0.5:256,32x32:1:128",
    help="comma-separated visible x hidden : scale : largest bond",
)
parser.add_argument("--paulis", default="XYZ")
parser.add_argument("--seeds", type=int, default=5, help="random models of each, default 5")
parser.add_argument("--samples", type=int, default=4000, help="K, default 4000")
parser.add_argument("--feed", choices=["none", "chains"], default="none", help="first endings")
parser.add_argument("--check", action="store_true", help="compare log Z with annealing")
parser.add_argument("--bonds", default="8,16,32,64", help="of the second table; empty: no table")
add_json(parser)
ARGS = parser.parse_args()

import numpy as np  # noqa: E402

import mc  # noqa: E402
from mc.sampling.amplitude.fit import find_states  # noqa: E402
from tnqbm import SqRBM  # noqa: E402
from tnqbm.networks import AmplitudeMPS  # noqa: E402


def measure(n: int, m: int, scale: float, bond: int, seed: int) -> dict[str, Any]:
    model = SqRBM.uniform(n, m, ARGS.paulis, scale=scale, seed=seed)
    begun, cpu = time.perf_counter(), time.process_time()
    samples = None
    if ARGS.feed == "chains":
        samples = find_states(model, 8, key=seed).swapaxes(0, 1).reshape(-1, n)
    network = AmplitudeMPS.fit(model, samples, max_bond=bond, seed=1)
    fitted = time.perf_counter()
    found = network.importance(model, ARGS.samples, seed=2)
    done, cpu = time.perf_counter(), time.process_time() - cpu
    row = {
        "size": f"{n}x{m}",
        "scale": f"{scale:g}",
        "seed": seed,
        "bond": network.max_bond,
        "ESS/K": found.ess / ARGS.samples,
        "SE": found.standard_error,
        "infidelity": network.infidelity(model, seed=3)[0],
        "fit s": fitted - begun,
        "sample s": done - fitted,
        "cpu s": cpu,
    }
    if ARGS.check:
        other = mc.log_partition(model, "ais", seed=1)
        error = np.hypot(other.standard_error, found.standard_error)
        row["gap"] = (found.log_partition - other.value) / error
    return row


def dense_infidelity(model: SqRBM, order: np.ndarray, bond: int) -> float:
    """Squared Schmidt values beyond ``bond``, summed over all cuts of the dense state."""
    n = model.n_visible
    v = ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1).astype(np.uint8)
    log_weight = model.log_weight(v)
    psi = np.exp(0.5 * (log_weight - log_weight.max()))
    psi = (psi / np.linalg.norm(psi)).reshape((2,) * n).transpose(order)
    lost = 0.0
    for cut in range(1, n):
        s = np.linalg.svd(psi.reshape(2**cut, -1), compute_uv=False)
        lost += float(np.sum(s[bond:] ** 2))
    return lost


def rates(bonds: list[int], n: int = 16) -> list[dict[str, Any]]:
    rows = []
    for scale in (0.1, 0.2, 0.5, 1.0):
        model = SqRBM.uniform(n, n, ARGS.paulis, scale=scale, seed=1)
        for bond in bonds:
            network = AmplitudeMPS.fit(model, max_bond=bond, infidelity=0.0, seed=1)
            value, error = network.infidelity(model, 20_000, seed=2)
            best = dense_infidelity(model, network.order, bond)
            row = {"size": f"{n}x{n}", "scale": f"{scale:g}", "bond": bond, "infidelity": value}
            rows.append(row | {"+-": error, "dense": best})
    return rows


BETTER = {"ESS/K": "higher"} | dict.fromkeys(
    ("SE", "infidelity", "fit s", "sample s", "cpu s"), "lower"
)


def main() -> None:
    # What has to be compiled is compiled before the clock starts.
    AmplitudeMPS.fit(SqRBM.uniform(12, 4, ARGS.paulis, seed=0), max_bond=4, seed=0)
    rows = []
    for text in ARGS.models.split(","):
        size, scale, bond = text.split(":")
        n, m = map(int, size.split("x"))
        for seed in range(1, ARGS.seeds + 1):
            rows.append(measure(n, m, float(scale), int(bond), seed))
    second = rates([int(bond) for bond in ARGS.bonds.split(",") if bond])
    if ARGS.json:
        write_json(ARGS.json, "amplitude", rows, BETTER)
    print(f"amplitude networks, {ARGS.paulis}, {ARGS.samples} samples, first endings: {ARGS.feed}")
    print_rows(rows)
    if second:
        print("\ninfidelity against bond dimension")
        print_rows(second)


if __name__ == "__main__":
    main()
