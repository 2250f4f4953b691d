"""The 8x8 digits in about a minute of one core: test log-likelihood of RBMs and sqRBMs.

    python scripts/benchmarks/digits.py                     # table
    python scripts/benchmarks/digits.py --pictures digits   # and digits-*.png

Pixels above 8 of 16 are 1; a fifth of a seeded shuffle is held out. Persistent contrastive
divergence with one sweep per update; log Z by forward and reverse annealed importance sampling. The
XYZ model with m = 64 and the RBM with m = 192 have as many parameters.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--iterations", type=int, default=20000, help="updates, default 20000")
parser.add_argument("--models", default="Z-64,Z-192,XYZ-64", help="default Z-64,Z-192,XYZ-64")
parser.add_argument("--chains", type=int, default=200, help="persistent chains, default 200")
parser.add_argument("--weight-decay", type=float, default=0.012, help="default 0.012")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--pictures", metavar="PREFIX", help="write samples to PREFIX-MODEL.png")
parser.add_argument("--json", action="store_true", help="print JSON")
ARGS = parser.parse_args()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from timing import print_json, print_rows  # noqa: E402

import mc  # noqa: E402
import tnqbm  # noqa: E402
from mc.estimators import provide  # noqa: E402

SETTINGS = {
    "negative_phase": "pcd",
    "steps": 1,
    "batch_size": 100,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "schedule": "cosine",
    "decay": 0.01,
    "precision": "single",
    "evaluate": "none",
    "records": 1,
}


def start(paulis: str, hidden: int, target: tnqbm.Target) -> tnqbm.SqRBM:
    """Small random couplings, visible fields that match the data's first moments."""
    model = tnqbm.SqRBM.uniform(64, hidden, paulis, scale=0.02, seed=ARGS.seed)
    fields = tnqbm.datasets.visible_fields(target)
    return tnqbm.SqRBM(fields, model.b, model.w, paulis)


def evaluate(name: str, train: tnqbm.Target, test: NDArray[np.uint8]) -> dict[str, object]:
    paulis, hidden = name.split("-")
    model = start(paulis, int(hidden), train)
    settings = {**SETTINGS, "chains": ARGS.chains, "weight_decay": ARGS.weight_decay}
    tnqbm.train(model, train, iterations=2, **settings)  # compiles
    begin = time.process_time()
    run = tnqbm.train(model, train, iterations=ARGS.iterations, seed=ARGS.seed, **settings)
    seconds = time.process_time() - begin
    trained = run.model
    assert trained is not None
    log_z = mc.log_partition(
        trained, method="both", n_chains=500, n_betas=2000, reference=train, precision="single",
        seed=ARGS.seed,
    )  # fmt: skip
    found = mc.log_likelihood(trained, test, log_z)
    if ARGS.pictures:
        draw(name, trained, train)
    assert log_z.forward is not None
    assert log_z.reverse is not None
    fitted = float(train.probabilities @ trained.log_weight(train.states))
    return {
        "model": name,
        "parameters": trained.n_parameters,
        "seconds": seconds,
        "test LL": found.value,
        "error": found.standard_error,
        "of log Z": log_z.standard_error,
        "forward": found.value + log_z.value - log_z.forward.value,
        "reverse": found.value + log_z.value - log_z.reverse.value,
        "train LL": fitted - log_z.value,
        "trusted": log_z.trusted,
    }


def draw(name: str, model: tnqbm.SqRBM, data: tnqbm.Target) -> None:
    """A picture of samples, one of each of forty independent chains."""
    samples, _ = mc.sample(
        model, 1, n_chains=40, kernel="collapsed", burn_in=5000, thin=1, seed=ARGS.seed
    )
    figure, _ = tnqbm.figures.samples.grid(
        samples[:, 0], (8, 8), data=data.states[:: data.n_states // 40][:40], title=name
    )
    figure.savefig(f"{ARGS.pictures}-{name}.png", dpi=120)


def main() -> None:
    provide()
    images = tnqbm.datasets.samples("digits", 64)
    first, test = tnqbm.datasets.split(images, 0.2, seed=0)
    train = tnqbm.Target.from_samples(first)
    rows = []
    for name in ARGS.models.split(","):
        rows.append(evaluate(name, train, test))
        print(rows[-1], file=sys.stderr)
    if ARGS.json:
        print_json({"arguments": vars(ARGS), "models": rows})
    else:
        print_rows(rows)


if __name__ == "__main__":
    main()
