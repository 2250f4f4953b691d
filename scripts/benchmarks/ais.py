"""Annealed importance sampling against enumeration, on random models of several weight scales.

    python scripts/benchmarks/ais.py             # 100 models with 8 to 20 visible units
    python scripts/benchmarks/ais.py --help

Prints how many estimates lie within 3 of their own standard errors, how the deviations are
distributed, and how many estimates say themselves that they cannot be trusted.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter

from timing import add_json, print_rows, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--models", type=int, default=100, help="number of models, default 100")
parser.add_argument("--chains", type=int, default=200, help="chains per estimate, default 200")
parser.add_argument("--betas", type=int, default=500, help="temperatures, default 500")
parser.add_argument("--seed", type=int, default=1)
add_json(parser)
ARGS = parser.parse_args()

import numpy as np  # noqa: E402

import mc  # noqa: E402
import tnqbm  # noqa: E402

SCALES = (0.1, 0.3, 1.0, 2.0)
PAULIS = ("Z", "XZ", "XYZ")


def main() -> None:
    rng = np.random.default_rng(ARGS.seed)
    deviations: dict[float, list[float]] = {scale: [] for scale in SCALES}
    outside: Counter[str] = Counter()
    for k in range(ARGS.models):
        n, m = int(rng.integers(8, 21)), int(rng.integers(1, 21))
        scale, paulis = SCALES[k % len(SCALES)], PAULIS[k % len(PAULIS)]
        model = tnqbm.SqRBM.uniform(n, m, paulis, scale=scale, seed=int(rng.integers(1 << 31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mc.EstimateWarning)
            found = mc.log_partition(
                model, mc.Annealing(chains=ARGS.chains, betas=ARGS.betas), seed=k
            )
        exact = float(tnqbm.exact.log_partition(model))
        z = (found.value - exact) / found.standard_error
        deviations[scale].append(z)
        place = "trusted" if found.trusted else "not trusted"
        outside[f"{place}, {'within' if abs(z) <= 3 else 'beyond'} 3"] += 1
    every = np.concatenate([np.array(z) for z in deviations.values()])
    rows = [
        {
            "weights up to": str(scale),
            "models": len(z),
            "within 3": int((np.abs(z) <= 3).sum()),
            "rms": float(np.sqrt(np.mean(np.square(z)))),
        }
        for scale, z in [*deviations.items(), ("all", every)]
    ]
    if ARGS.json:
        write_json(ARGS.json, "ais", rows)
    print("deviations in standard errors")
    print_rows(rows)
    for name, count in sorted(outside.items()):
        print(f"  {name} standard errors: {count}")


if __name__ == "__main__":
    main()
