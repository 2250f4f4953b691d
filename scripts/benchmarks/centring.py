"""Test log-likelihoods of sampled training: plain and centred gradients, learning rates, starts.

    python scripts/benchmarks/centring.py                     # small: exact log Z, minutes
    python scripts/benchmarks/centring.py --data wide,digits  # log Z by annealing, an hour

Data of categories in one-hot form, as tables of attributes give them, have bits that are mostly 0:
one attribute after another, in classes that make attributes depend on each other. ``small`` has 16
bits and ``wide`` 112; their own log-likelihood, the best a model can reach, is known and printed.
``digits`` are the 8 x 8 images. All are trained by persistent chains (5 sweeps per update), with
batches of 100 rows and SGD, or, in the rows "defaults", as ``tnqbm.train`` does by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from timing import add_json, print_rows, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="small", help="of small, wide, digits; default small")
parser.add_argument("--rates", default="0.005,0.01,0.02,0.05", help="learning rates")
parser.add_argument("--gradients", default="plain,centred", help="of plain, centred")
parser.add_argument("--starts", default="uniform,data", help="visible fields at the start")
parser.add_argument("--schedule", default="cosine", help="of the learning rate, default cosine")
parser.add_argument("--iterations", type=int, default=5000, help="updates, default 5000")
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--paulis", default="Z,XYZ", help="default Z,XYZ")
add_json(parser)

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import mc  # noqa: E402
import tnqbm  # noqa: E402

Bits = NDArray[np.uint8]

HIDDEN = {
    "small": {"Z": 12, "XYZ": 4},
    "wide": {"Z": 36, "XYZ": 12},
    "digits": {"Z": 64, "XYZ": 24},
}
"""Hidden units, about as many parameters with either set of Paulis."""

CATEGORIES = {"small": [4] * 4, "wide": [2, 3, 4, 5, 6, 7, 8, 9, 12] * 2}


def categories(sizes: list[int], rows: int, classes: int = 8) -> tuple[Bits, float]:
    """One-hot rows of a mixture of ``classes``, and their own mean log-probability."""
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.full(classes, 3.0))
    tables = [rng.dirichlet(np.full(size, 0.15), classes) for size in sizes]
    which = rng.choice(classes, rows, p=shares)
    parts, given = [], np.tile(np.log(shares), (rows, 1))
    for table in tables:
        edges = table.cumsum(axis=1)[which]
        values = np.minimum((rng.random((rows, 1)) > edges).sum(axis=1), table.shape[1] - 1)
        parts.append(np.eye(table.shape[1], dtype=np.uint8)[values])
        given += np.log(np.maximum(table[:, values].T, 1e-300))
    return np.hstack(parts), float(np.logaddexp.reduce(given[rows // 2 :], axis=1).mean())


def data(name: str) -> tuple[tnqbm.Target, Bits, float]:
    """Rows to train with, rows to test with, and the test rows' own log-probability or nan."""
    if name == "digits":
        train, test = tnqbm.datasets.split(tnqbm.datasets.samples("digits", 64), 0.2, seed=0)
        return tnqbm.Target.from_samples(train), test, float("nan")
    sizes = CATEGORIES[name]
    rows, best = categories(sizes, 6000)
    return tnqbm.Target.from_samples(rows[:3000]), rows[3000:], best


def start(paulis: str, hidden: int, target: tnqbm.Target, fields: str, seed: int) -> tnqbm.SqRBM:
    n = target.n_visible
    model = tnqbm.SqRBM.uniform(n, hidden, paulis, scale=0.02, seed=seed)
    if fields == "uniform":
        return model
    return tnqbm.SqRBM(tnqbm.datasets.visible_fields(target), model.b, model.w, paulis)


def log_likelihood(model: tnqbm.SqRBM, train: tnqbm.Target, test: Bits, seed: int) -> float:
    if model.n_visible <= 20:
        log_z = tnqbm.exact.log_partition(model)
    else:
        log_z = mc.log_partition(
            model,
            mc.Annealing("both", chains=200, betas=1000, precision="single"),
            data=train,
            seed=seed,
        ).value
    return float(model.log_weight(test).mean()) - log_z


def plans(arguments: argparse.Namespace) -> list[tuple[str, str, dict[str, object]]]:
    """What is tried: name, start, settings."""
    found: list[tuple[str, str, dict[str, object]]] = [("defaults", "uniform", {})]
    for fields in arguments.starts.split(","):
        for gradient in arguments.gradients.split(","):
            for rate in arguments.rates.split(","):
                settings: dict[str, object] = {
                    "optimizer": "sgd", "learning_rate": float(rate), "batch_size": 100,
                    "schedule": arguments.schedule, "decay": 0.01, "steps": 5,
                    "centred": gradient == "centred",
                }  # fmt: skip
                found.append((f"{gradient}, {rate}", fields, settings))
    return found


def main() -> None:
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in arguments.data.split(","):
        train, test, best = data(name)
        for paulis in arguments.paulis.split(","):
            for what, fields, settings in plans(arguments):
                found, seconds = [], 0.0
                for seed in range(1, arguments.seeds + 1):
                    begin = time.process_time()
                    model = start(paulis, HIDDEN[name][paulis], train, fields, seed)
                    run = tnqbm.train(
                        model, train, gradient="pcd", seed=seed, precision="single",
                        iterations=arguments.iterations, evaluate="none", records=1, **settings,
                    )  # fmt: skip
                    seconds += time.process_time() - begin
                    assert run.model is not None
                    found.append(log_likelihood(run.model, train, test, seed))
                rows.append(
                    {
                        "data": name,
                        "paulis": paulis,
                        "gradient, rate": what,
                        "fields": fields,
                        "test LL": float(np.mean(found)),
                        "worst": min(found),
                        "best possible": best,
                        "seconds": seconds / arguments.seeds,
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
    if arguments.json:
        write_json(arguments.json, "centring", rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
