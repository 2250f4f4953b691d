"""Trajectory tempering: round trips, log Z of snapshots, and training, against other ways.

    python scripts/benchmarks/trajectory.py trips               # ladders of snapshots and of betas
    python scripts/benchmarks/trajectory.py logz                # all snapshots, and annealing
    python scripts/benchmarks/trajectory.py training --visible 16 --seeds 3
    python scripts/benchmarks/trajectory.py trips --data digits.csv --visible 64 --hidden 32

"trips" counts round trips per 1000 sweeps of one rung (a figure that does not depend on the
machine) and per processor second. "logz" compares mc.log_partitions with enumeration, n <= 20, and
with three runs of forward annealing of the last model. "training" trains by each gradient for about
the same processor time (updates are chosen by a short run) and prints the total variation distance;
"tuned" is tempering whose temperatures follow the parameters.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial
from typing import Any

import numpy as np


def trained(chosen: argparse.Namespace, seed: int) -> tuple[Any, Any]:
    """A data set, and a run on it with snapshots."""
    import tnqbm

    target = tnqbm.datasets.load(chosen.data, chosen.visible)
    start = tnqbm.SqRBM.uniform(
        chosen.visible, chosen.hidden, chosen.paulis, scale=chosen.scale, seed=seed
    )
    sampled = {} if chosen.gradient == "exact" else {"chains": 200, "seed": seed}
    run = tnqbm.train(
        start,
        target,
        gradient=chosen.gradient,
        iterations=chosen.iterations,
        learning_rate=chosen.learning_rate,
        snapshots=30,
        records=2,
        evaluate="none",
        **sampled,
    )
    return target, run


def _seeds(chosen: argparse.Namespace) -> range:
    return range(chosen.first_seed, chosen.first_seed + chosen.seeds)


def trips(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Round trips on a ladder of temperatures, and on ladders of snapshots."""
    from mc.sampling.path import reference_fields
    from mc.sampling.tempering.ladder import Tempering
    from mc.sampling.tempering.ladders import Ladders
    from mc.sampling.tempering.rungs import choose_rungs, snapshot_path
    from mc.sampling.tempering.sample import tune_ladder
    from tnqbm.core.shape import Shape

    lines = []
    for seed in _seeds(chosen):
        target, run = trained(chosen, seed)
        n = chosen.visible
        fields = reference_fields(target, n)
        shape = Shape(*run.model.shape)
        keys = np.array([seed], dtype=np.uint64)
        theta = run.model.to_vector()[None]
        beta = Tempering(shape, betas=[0.0, 1.0], chains=20, keys=keys, reference=fields)
        tune_ladder(beta, theta)
        lines.append(_counted("temperatures", seed, beta, partial(beta.advance, theta), chosen))
        models = np.stack([model.to_vector() for _, model in run.snapshots])
        for rate in (0.3, 0.5):
            path = snapshot_path(models, shape, fields)
            rungs = choose_rungs(path, shape, key=seed, target_swap_rate=rate).theta
            ladders = Ladders(shape, rungs=len(rungs), chains=20, keys=keys)
            line = _counted(
                f"snapshots {rate}",
                seed,
                ladders,
                partial(ladders.advance_rungs, rungs[None]),
                chosen,
            )
            lines.append(line)
    return lines


def _counted(
    name: str, seed: int, ladders: Any, advance: Any, chosen: argparse.Namespace
) -> dict[str, Any]:
    advance(chosen.sweeps // 10)
    ladders.reset_counters()
    begun = time.process_time()
    advance(chosen.sweeps)
    spent = time.process_time() - begun
    count, rungs = int(ladders.round_trips.sum()), ladders.chains.shape[1]
    work = chosen.sweeps * rungs * ladders.chains.shape[2]
    return {
        "ladder": name, "seed": seed, "rungs": rungs,
        "least swap rate": float(ladders.swap_rates.min()), "round trips": count,
        "per 1000 sweeps": 1000 * count / work, "per second": count / spent,
    }  # fmt: skip


def logz(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """log Z of all snapshots against enumeration."""
    import mc
    from tnqbm import exact

    lines = []
    for seed in _seeds(chosen):
        target, run = trained(chosen, seed)
        models = [model for _, model in run.snapshots]
        truth = np.array([exact.log_partition(model) for model in models])
        mc.log_partitions(models[:2], data=target, seed=0)  # compiles
        mc.log_partition(models[-1], "ais", data=target, seed=0)
        begun = time.process_time()
        found = mc.log_partitions(models, data=target, seed=seed)
        between = time.process_time()
        for k in range(3):
            mc.log_partition(models[-1], "ais", data=target, seed=k)
        off = np.abs(np.array([one.value for one in found]) - truth)
        errors = off / np.array([one.standard_error for one in found])
        lines.append(
            {
                "seed": seed, "snapshots": len(models), "largest error": float(off.max()),
                "median error": float(np.median(off)), "within 0.05": int((off < 0.05).sum()),
                "in standard errors": float(errors.max()),
                "trusted": sum(one.trusted for one in found),
                "seconds": between - begun, "three annealings": time.process_time() - between,
            }
        )  # fmt: skip
    return lines


def training(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Total variation distance after about equal processor time."""
    import tnqbm
    from mc.estimators.settings import provide

    provide()
    target = tnqbm.datasets.load(chosen.data, chosen.visible)
    ways = {
        "pcd": {"gradient": "pcd", "steps": 1},
        "tempered": {"gradient": "tempered"},
        "tuned": {"gradient": "tempered", "temperatures": 30, "target_swap_rate": 0.5},
        "trajectory": {"gradient": "trajectory"},
    }
    lines = []
    for seed in _seeds(chosen):
        start = tnqbm.SqRBM.uniform(
            chosen.visible, chosen.hidden, chosen.paulis, scale=chosen.scale, seed=seed
        )
        budget = 0.0
        for name in ("trajectory", "tempered", "tuned", "pcd"):
            common = {
                "chains": 200, "seed": seed, "records": 2, "evaluate": "none",
                "learning_rate": chosen.learning_rate, "schedule": "cosine", "decay": 0.01,
                **ways[name],
            }  # fmt: skip
            updates = chosen.iterations
            begun = time.process_time()
            tnqbm.train(start, target, iterations=200, **common)  # compiles
            if budget:
                begun = time.process_time()
                tnqbm.train(start, target, iterations=200, **common)
                updates = max(200, int(200 * budget / (time.process_time() - begun)))
            begun = time.process_time()
            run = tnqbm.train(start, target, iterations=updates, **common)
            spent = time.process_time() - begun
            budget = budget or spent
            lines.append(
                {
                    "gradient": name, "seed": seed, "updates": updates, "seconds": spent,
                    "tvd": distance(run.model, target),
                    "rungs": float(run.estimator_records.get("rungs", [np.nan])[-1]),
                }
            )  # fmt: skip
    return lines


def distance(model: Any, target: Any) -> float:
    """Total variation distance by enumeration."""
    from tnqbm import exact

    on_support = np.exp(model.log_weight(target.states) - exact.log_partition(model))
    off = 1.0 - on_support.sum()
    return float(0.5 * (np.abs(target.probabilities - on_support).sum() + off))


def main() -> None:
    from timing import add_json, print_rows, write_json

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["trips", "logz", "training"])
    parser.add_argument("--data", default="bas", help="a set's name or a file, default bas")
    parser.add_argument("--visible", type=int, default=16, help="default 16")
    parser.add_argument("--hidden", type=int, default=8, help="default 8")
    parser.add_argument("--paulis", default="XYZ", help="default XYZ")
    parser.add_argument("--gradient", default="exact", help="of trips and logz, default exact")
    parser.add_argument("--iterations", type=int, default=500, help="updates, default 500")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="default 0.1")
    parser.add_argument("--scale", type=float, default=0.1, help="of the start, default 0.1")
    parser.add_argument("--seeds", type=int, default=3, help="how many, default 3")
    parser.add_argument("--first-seed", type=int, default=1, help="the others follow, default 1")
    parser.add_argument("--sweeps", type=int, default=2000, help="of trips, default 2000")
    add_json(parser)
    chosen = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = {"trips": trips, "logz": logz, "training": training}[chosen.what](chosen)
    if chosen.json:
        write_json(chosen.json, f"trajectory, {chosen.what}", lines)
    print_rows(lines)


if __name__ == "__main__":
    main()
