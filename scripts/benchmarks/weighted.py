"""Weighted chains: how well log Z follows a training, what they cost, and whether they help.

    python scripts/benchmarks/weighted.py log-z     # against enumeration, n = 16
    python scripts/benchmarks/weighted.py time      # milliseconds of an update, against pcd
    python scripts/benchmarks/weighted.py bas       # bars and stripes: TVD, against pcd
    python scripts/benchmarks/weighted.py witnesses # log Z by witnesses and by the others
    python scripts/benchmarks/weighted.py --help

"off" is log Z minus the exact one at recorded updates: its largest magnitude, and the same in
stated standard errors. "low" says by how much log Z of the last update is below the weight of the
data alone, and "flagged" whether `tnqbm show` would say that this log Z cannot be right. Times are
of one thread; quote ratios of one run.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from timing import add_options, best_seconds, one_thread, print_rows, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("what", choices=("log-z", "time", "bas", "witnesses"))
parser.add_argument("--data", default="bas,on2,cardinality", help="of log-z")
parser.add_argument("--paulis", default="Z,XZ,XYZ", help="of log-z and time")
parser.add_argument("--visible", type=int, default=0, help="default 16; 24 for bas")
parser.add_argument("--hidden", type=int, default=0, help="default half the visible units")
parser.add_argument("--chains", default="", help="default 4000; 1000 for time and bas")
parser.add_argument("--gradients", default="pcd,weighted", help="of bas")
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--iterations", type=int, default=5000)
parser.add_argument("--optimizer", default="sgd")
parser.add_argument("--learning-rate", type=float, default=0.05)
parser.add_argument("--schedule", default="constant")
parser.add_argument("--step-share", type=float, default=0.9)
add_options(parser, rounds=7, seconds=0.4)
ARGS = parser.parse_args()
one_thread()

import numpy as np  # noqa: E402

import mc.estimators.settings  # noqa: E402
from tnqbm import SqRBM, Trainer, TrainingSettings, datasets, exact  # noqa: E402
from tnqbm.training import SqRBMProblem  # noqa: E402
from tnqbm.training.trajectory import untrusted  # noqa: E402

mc.estimators.settings.provide()
N = ARGS.visible or (24 if ARGS.what == "bas" else 16)
M = ARGS.hidden or N // 2
ENUMERABLE = 24


def trainer_of(data: str, paulis: str, n: int, m: int, seed: int, **settings: Any) -> Trainer:
    random = {"seed": seed} if datasets.is_random(data) else {}
    target = datasets.load(data, n, **random)
    model = SqRBM.uniform(n, m, paulis, scale=0.05, seed=seed)
    values = {
        "optimizer": ARGS.optimizer, "learning_rate": ARGS.learning_rate, "records": 12,
        "iterations": ARGS.iterations, "schedule": ARGS.schedule, "decay": 0.01, "evaluate": "none",
    } | settings  # fmt: skip
    keys = np.array([1000 + seed], np.uint64)
    return Trainer(SqRBMProblem([model], [target]), TrainingSettings(**values), keys=keys)


def trained(trainer: Trainer) -> Any:
    while not trainer.finished:
        trainer.advance(500)
    return trainer.trajectories()[0]


def distance(model: SqRBM, data: str) -> float:
    """Total variation distance from a data set that is not drawn at random, by enumeration."""
    target = datasets.load(data, model.n_visible)
    p = np.exp(model.log_weight(target.states) - exact.log_partition(model))
    return float(0.5 * (np.abs(target.probabilities - p).sum() + 1.0 - p.sum()))


def facts(path: Any) -> dict[str, Any]:
    """How log Z ended, and what the run itself says of it."""
    final = path.final
    used = path.estimator_records
    return {
        "error": float(path.log_partition_error[-1]),
        "low": max(0.0, float(path.log_partition_bound[-1] - path.log_partition[-1])),
        "flagged": "yes" if untrusted(final) else "no",
        "resamplings": int(used["resamplings"][-1]),
        "least fraction": float(used["step_fraction"].min()),
    }


def log_z_rows() -> list[dict[str, Any]]:
    rows = []
    chains = int(ARGS.chains or 4000)
    for data in ARGS.data.split(","):
        for paulis in ARGS.paulis.split(","):
            for seed in range(ARGS.seeds):
                path = trained(
                    trainer_of(
                        data, paulis, N, M, seed, gradient="weighted", chains=chains, snapshots=12,
                        step_share=ARGS.step_share,
                    )
                )  # fmt: skip
                at = np.searchsorted(path.step, [step for step, _ in path.snapshots])
                log_z = np.array([exact.log_partition(model) for _, model in path.snapshots])
                off = path.log_partition[at] - log_z
                ratio = np.abs(off[1:]) / path.log_partition_error[at][1:]
                row = {"data": data, "paulis": paulis, "seed": seed}
                row |= {"off": np.abs(off).max(), "in errors": ratio.max()}
                rows.append(row | {"off at the end": off[-1]} | facts(path))
                print(rows[-1], flush=True)
    return rows


def bas_rows() -> list[dict[str, Any]]:
    rows = []
    for chains in map(int, (ARGS.chains or "1000").split(",")):
        for seed in range(ARGS.seeds):
            for name in ARGS.gradients.split(","):
                own = {"step_share": ARGS.step_share} if name == "weighted" else {}
                trainer = trainer_of("bas", "XYZ", N, M, seed, gradient=name, chains=chains, **own)
                start = time.process_time()
                path = trained(trainer)
                seconds = time.process_time() - start
                row = {"gradient": name, "chains": chains, "seed": seed, "seconds": seconds}
                if ENUMERABLE >= N:
                    log_z = exact.log_partition(path.model)
                    row["TVD"] = distance(path.model, "bas")
                if name == "weighted":
                    if ENUMERABLE >= N:
                        row["off at the end"] = float(path.log_partition[-1]) - log_z
                    row |= facts(path)
                rows.append(row)
                print(rows[-1], flush=True)
    return rows


def time_rows() -> list[dict[str, Any]]:
    rows = []
    chains = int(ARGS.chains or 1000)
    for n, m in ((16, 8), (24, 12), (64, 32)) if not ARGS.visible else ((N, M),):
        for paulis in ARGS.paulis.split(","):
            for precision in ("double", "single"):
                trainers = {
                    name: trainer_of(
                        "bas", paulis, n, m, 0, gradient=name, chains=chains, records=1,
                        precision=precision, iterations=10**7, learning_rate=0.001,
                    )
                    for name in ("pcd", "weighted")
                }  # fmt: skip
                calls = {name: (lambda t=t: t.advance(20)) for name, t in trainers.items()}
                best = best_seconds(calls, ARGS.rounds, ARGS.seconds, ARGS.cpu_time)
                row = {"n": n, "m": m, "paulis": paulis, "precision": precision}
                row |= {f"{name}, ms": 1e3 * seconds / 20 for name, seconds in best.items()}
                rows.append(row | {"ratio": best["weighted"] / best["pcd"]})
    return rows


def log_growth_of_others(trainer: Trainer) -> list[float]:
    """What the chains that averages are of would say of the growth of log Z, added up in place."""
    estimator: Any = trainer._estimator
    weigh, total = estimator._weigh, [0.0]

    def watched(theta: Any, rows: Any) -> Any:
        some = estimator._groups.spans[0]
        old, new = (
            estimator._moments.log_weights(parameters, estimator._chains[rows])
            for parameters in (estimator._theta[rows], theta)
        )
        total[0] += np.log(estimator._weights[0, some] @ np.exp((new - old)[0, some]))
        return weigh(theta, rows)

    # Every step is weighed once: none is tried and shortened.
    estimator._weigh, estimator._step_share = watched, 0.0
    return total


def witnesses_rows() -> list[dict[str, Any]]:
    """log Z at the end by the witnesses, and by those chains that the averages are of."""
    rows = []
    for data in ARGS.data.split(","):
        for chains in map(int, (ARGS.chains or "500,2000").split(",")):
            trainer = trainer_of(data, "XYZ", N, M, 0, gradient="weighted", chains=chains)
            others = log_growth_of_others(trainer)
            path = trained(trainer)
            start = exact.log_partition(SqRBM.uniform(N, M, "XYZ", scale=0.05, seed=0))
            log_z = exact.log_partition(path.model)
            row = {"data": data, "chains": chains, "witnesses, off": path.log_partition[-1] - log_z}
            error = path.log_partition_error[-1]
            rows.append(row | {"error": error, "others, off": start + others[0] - log_z})
            print(rows[-1], flush=True)
    return rows


ROWS = {"log-z": log_z_rows, "time": time_rows, "bas": bas_rows, "witnesses": witnesses_rows}

if __name__ == "__main__":
    found = ROWS[ARGS.what]()
    if ARGS.json:
        write_json(ARGS.json, f"weighted, {ARGS.what}", found)
    shared = [name for name in found[-1] if all(name in row for row in found)]
    print_rows([{name: row[name] for name in shared} for row in found])
