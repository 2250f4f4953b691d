"""Time of a PCD update of a classical RBM on digits, against PyTorch and the package rbms.

    python scripts/benchmarks/pcd.py            # everything installed, one thread
    python scripts/benchmarks/pcd.py --help

64 visible and 64 hidden units, single precision, plain gradient steps, milliseconds per update.
Turns alternate within one run, the fastest call counts. All start from the same parameters, and
what they learn is measured before: the log pseudo-likelihood of the data, and the log-likelihood by
annealed importance sampling. Quote ratios of one run: absolute times are noisy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from timing import add_options, best_seconds, one_thread, print_json, print_rows, versions

PEERS = "torch,rbms,rbms-train"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--peers", default=PEERS, help=f"comma-separated, default {PEERS}")
parser.add_argument("--hidden", type=int, default=64, help="hidden units, default 64")
parser.add_argument("--batch", type=int, default=100, help="rows per update, default 100")
parser.add_argument("--chains", type=int, default=100, help="default 100")
parser.add_argument("--steps", default="1,10", help="the k of PCD-k, default 1,10")
parser.add_argument("--learning-rate", type=float, default=0.02, help="default 0.02")
parser.add_argument("--check", type=int, default=2000, help="updates of the check of learning")
add_options(parser, rounds=10, seconds=0.3)
parser.add_argument("--profile", action="store_true", help="profile our updates, nothing else")
ARGS = parser.parse_args()
one_thread()

import numpy as np  # noqa: E402
from peers_pcd import Learner, RbmsTrain, Training, make  # noqa: E402

import mc.estimators.settings  # noqa: E402
from mc.sampling.log_z.policies import Annealing, Auto  # noqa: E402
from mc.sampling.partition import log_partition  # noqa: E402
from tnqbm import SqRBM, Trainer, TrainingSettings, datasets  # noqa: E402
from tnqbm.training import SqRBMProblem  # noqa: E402
from tnqbm.training.minibatches import epoch_rows  # noqa: E402

N = 64
CALL = 20
"""Updates a call."""


class Ours:
    """:class:`tnqbm.Trainer`, as a user has it."""

    def __init__(self, model: SqRBM, target: datasets.Target, training: Training) -> None:
        mc.estimators.settings.provide()
        self._model = model
        settings = TrainingSettings(
            gradient="pcd",
            optimizer="sgd",
            learning_rate=training.learning_rate,
            iterations=10**9,
            batch_size=training.batch,
            chains=training.chains,
            steps=training.steps,
            precision="single",
            records=1,
            evaluate="none",
        )
        self._trainer = Trainer(SqRBMProblem([model], [target]), settings)

    def advance(self, updates: int) -> None:
        self._trainer.advance(updates)

    def model(self) -> SqRBM:
        theta = np.asarray(self._trainer.state()["theta"], np.float64)[0]
        return SqRBM.from_vector(theta, self._model.n_visible, self._model.n_hidden, "Z")


def pseudo_likelihood(model: SqRBM, target: datasets.Target) -> float:
    """Mean over the data of sum_i log p(v_i | the other bits), in nats."""
    v = target.states
    weight = model.log_weight(v)
    total = np.zeros(len(v))
    for i in range(v.shape[1]):
        other = v.copy()
        other[:, i] ^= 1
        total -= np.logaddexp(0, model.log_weight(other) - weight)
    return float(target.probabilities @ total)


def likelihood(model: SqRBM, target: datasets.Target) -> float:
    """Mean log-likelihood of the data, log Z by annealed importance sampling, in nats."""
    log_z = log_partition(model, Auto(Annealing(chains=500, betas=1000)), data=target, seed=1)
    return float(target.probabilities @ model.log_weight(target.states) - log_z.value)


def learners(
    model: SqRBM, target: datasets.Target, training: Training, names: list[str]
) -> dict[str, Learner | RbmsTrain | None]:
    rows = epoch_rows(target.probabilities)
    assert rows is not None
    data = target.states[rows]
    found: dict[str, Learner | RbmsTrain | None] = {"tnqbm": Ours(model, target, training)}
    return found | {name: make(name, model, data, training) for name in names}


def check(
    model: SqRBM, target: datasets.Target, training: Training, names: list[str]
) -> list[dict[str, Any]]:
    """What everyone has learnt after a number of updates; stops if PyTorch's differs from ours."""
    first = pseudo_likelihood(model, target)
    rows: list[dict[str, Any]] = []
    for name, learner in learners(model, target, training, names).items():
        if learner is None or isinstance(learner, RbmsTrain):
            continue
        learner.advance(ARGS.check)
        learnt = learner.model()
        rows.append(
            {
                "steps": training.steps,
                "updates": ARGS.check,
                "learner": name,
                "pseudo at start": first,
                "pseudo-likelihood": pseudo_likelihood(learnt, target),
                "log-likelihood": likelihood(learnt, target),
            }
        )
        ours, theirs = (rows[k]["pseudo-likelihood"] for k in (0, -1))
        # The same updates with other random numbers.
        if name == "torch" and abs(ours - theirs) > 0.1 * abs(first - ours):
            sys.exit(f"pseudo-likelihoods differ: {ours:.3f} with tnqbm, {theirs:.3f} with PyTorch")
        if rows[-1]["pseudo-likelihood"] < first + 0.5 * (ours - first):
            sys.exit(f"{name} does not learn: pseudo-likelihood {theirs:.3f}, ours {ours:.3f}")
    return rows


def measure(
    model: SqRBM, target: datasets.Target, training: Training, names: list[str]
) -> dict[str, Any]:
    """Milliseconds per update of all learners, in turns."""
    found = learners(model, target, training, names)

    def call(learner: Learner) -> Callable[[], Any]:
        return lambda: learner.advance(CALL)

    calls = {
        name: call(learner)
        for name, learner in found.items()
        if learner is not None and not isinstance(learner, RbmsTrain)
    }
    times = best_seconds(calls, ARGS.rounds, ARGS.seconds, ARGS.cpu_time)
    times = {name: seconds / CALL for name, seconds in times.items()}
    whole = found.get("rbms-train")
    if isinstance(whole, RbmsTrain):
        # The difference of two lengths leaves the preparations out.
        few, many = (
            min(whole.train(length, ARGS.cpu_time) for _ in range(3)) for length in (51, 251)
        )
        times["rbms-train"] = (many - few) / 200
    ours = times["tnqbm"]
    return {
        "size": f"{model.n_visible}x{model.n_hidden}",
        "steps": training.steps,
        "batch": training.batch,
        "chains": training.chains,
        **{f"{name} ms": times[name] * 1e3 if name in times else None for name in found},
        **{f"{name}/ours": times[name] / ours if name in times else None for name in names},
    }


def profile(model: SqRBM, target: datasets.Target, training: Training) -> None:
    """Where the time of our updates goes."""
    import cProfile
    import pstats

    ours = Ours(model, target, training)
    ours.advance(200)
    profiler = cProfile.Profile()
    profiler.runcall(ours.advance, 2000)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    names = [name for name in ARGS.peers.split(",") if name]
    target = datasets.load("digits", N)
    # Small random weights, and biases that give every bit its mean in the data.
    rng = np.random.default_rng(1)
    mean = target.probabilities @ (1.0 - 2.0 * target.states)
    a = -np.arctanh(np.clip(mean, -0.99, 0.99))
    w = 0.01 * rng.normal(size=(1, N, ARGS.hidden))
    model = SqRBM(a, np.zeros((1, ARGS.hidden)), w, "Z")
    rows: list[dict[str, Any]] = []
    learnt: list[dict[str, Any]] = []
    for steps in map(int, ARGS.steps.split(",")):
        training = Training(ARGS.batch, ARGS.chains, steps, ARGS.learning_rate)
        if ARGS.profile:
            profile(model, target, training)
            continue
        if ARGS.check:
            learnt += check(model, target, training, names)
        rows.append(measure(model, target, training, names))
    if ARGS.json:
        found = versions("numpy", "numba", "torch", "rbms")
        print_json({"benchmark": "pcd", "versions": found, "rows": rows, "learnt": learnt})
    elif rows:
        print("PCD updates, single precision, one thread: milliseconds per update")
        print_rows(rows)
        if learnt:
            print("\nwhat was learnt, nats per row of data")
            print_rows(learnt)


if __name__ == "__main__":
    main()
