"""What the recipe "auto" reaches on bars and stripes, seed by seed, with nothing else chosen.

    python scripts/benchmarks/recipe.py                    # n = 24, XYZ, 12 hidden units, 20 seeds
    python scripts/benchmarks/recipe.py --paulis Z --hidden 36
    python scripts/benchmarks/recipe.py --gradient pcd --seeds 5
    python scripts/benchmarks/recipe.py --visible 64 --hidden 16

TVD is exact up to 26 visible units; above, log Z is certified, and "lower" and "upper" are the TVD
at the ends of its interval, "certified" whether that is at most 0.1 nats wide. "log Z off" is what
the training itself says of log Z, minus that.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

EXACT = 26
"""Visible units up to which all states are summed over."""


def one(seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """One seed's row."""
    import numpy as np

    import mc
    import tnqbm
    from mc.estimators.settings import provide
    from tnqbm.datasets import visible_fields
    from tnqbm.training.recipes import STARTS

    provide()
    target = tnqbm.datasets.load("bas", chosen.visible)
    model = tnqbm.SqRBM.uniform(
        chosen.visible, chosen.hidden, chosen.paulis, scale=STARTS["auto"]["scale"], seed=seed
    )
    model = tnqbm.SqRBM(visible_fields(target), model.b, model.w, chosen.paulis)
    given = {"chains": chosen.chains, "iterations": chosen.iterations, "gradient": chosen.gradient}
    begun = time.process_time()
    run = tnqbm.train(
        model, target, recipe="auto", seed=seed, records=4, evaluate="none",
        **{name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    seconds = time.process_time() - begun
    exact = chosen.visible <= EXACT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mc.EstimateWarning)
        log_z = mc.log_partition(
            run.model, "enumeration" if exact else "certified", data=target, seed=seed
        )
        tvd = mc.total_variation_on_support(run.model, target, log_z)
    own = np.nan
    if run.nll is not None:
        mean = float(np.asarray(target.probabilities) @ run.model.log_weight(target.states))
        own = float(run.nll[-1]) + mean - log_z.value
    return {
        "seed": seed, "TVD": tvd.value, "lower": tvd.lower, "upper": tvd.upper,
        "certified": log_z.trusted and log_z.width <= 0.1, "log Z off": own, "seconds": seconds,
    }  # fmt: skip


def main() -> None:
    from timing import add_json, print_rows, write_json

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visible", type=int, default=24, help="default 24")
    parser.add_argument("--hidden", type=int, default=12, help="default 12")
    parser.add_argument("--paulis", default="XYZ", help="default XYZ")
    parser.add_argument("--seeds", type=int, default=20, help="how many, default 20")
    parser.add_argument("--first-seed", type=int, default=1, help="the others follow, default 1")
    parser.add_argument("--gradient", help="instead of the recipe's")
    parser.add_argument("--chains", type=int, help="instead of the recipe's")
    parser.add_argument("--iterations", type=int, help="instead of the recipe's")
    parser.add_argument("--workers", type=int, default=2, help="processes, default 2")
    add_json(parser)
    chosen = parser.parse_args()
    os.environ |= {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(partial(one, chosen=chosen), seeds))
    if chosen.json:
        write_json(chosen.json, "recipe", rows)
    print_rows(rows)
    for limit in (0.03, 0.1, 0.2):
        count = sum(row["TVD"] <= limit for row in rows)
        print(f"TVD at most {limit}: {count} of {len(rows)}")


if __name__ == "__main__":
    main()
