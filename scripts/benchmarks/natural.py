"""Time of an update by SGD and by natural gradients, from persistent chains on the digits' size.

    python scripts/benchmarks/natural.py
    python scripts/benchmarks/natural.py --cpu-time --json natural.jsonl

n = m = 64, 200 chains, one sweep, batches of 100, single precision, one thread. Fisher solves for
one number per chain, the Kubo-Mori metric by conjugate gradients.
"""

from __future__ import annotations

import argparse
from typing import Any

from timing import add_options, best_seconds, one_thread, print_rows, write_json

one_thread()

from tnqbm import SqRBM, Trainer, TrainingSettings, datasets  # noqa: E402
from tnqbm.training import SqRBMProblem  # noqa: E402

UPDATES = 20
N = M = 64
TRAINERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.02},
    "fisher": {"optimizer": "natural"},
    "kubo-mori": {"optimizer": "natural", "metric": "kubo-mori"},
}
NATURAL = {"learning_rate": 0.01, "damping": 0.3, "trust_radius": 0.3}


def trainer(paulis: str, name: str) -> Trainer:
    """One run, some updates from its start."""
    chosen = TRAINERS[name]
    settings = TrainingSettings(
        gradient="pcd",
        steps=1,
        chains=200,
        batch_size=100,
        iterations=10**9,
        records=2,
        evaluate="none",
        precision="single",
        **((NATURAL | chosen) if name != "sgd" else chosen),
    )
    start = SqRBM.uniform(N, M, paulis, scale=0.02, seed=1)
    found = Trainer(SqRBMProblem([start], [datasets.load("digits", N)]), settings)
    found.advance(100)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, rounds=3, seconds=2.0)
    given = parser.parse_args()
    rows = []
    for paulis in ("Z", "XZ", "XYZ"):
        trainers = {name: trainer(paulis, name) for name in TRAINERS}
        calls = {name: (lambda one=one: one.advance(UPDATES)) for name, one in trainers.items()}
        found = best_seconds(calls, given.rounds, given.seconds, given.cpu_time)
        row: dict[str, Any] = {"paulis": paulis}
        row |= {f"{name} (ms)": 1e3 * found[name] / UPDATES for name in TRAINERS}
        row |= {f"{name} / sgd": found[name] / found["sgd"] for name in list(TRAINERS)[1:]}
        rows.append(row)
    if given.json:
        write_json(given.json, "natural", rows, "lower")
    print_rows(rows)


if __name__ == "__main__":
    main()
