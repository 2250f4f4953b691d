"""Time of a PCD update of a classical RBM on digits, against PyTorch and the package rbms.

    python scripts/benchmarks/pcd.py            # everything installed, one thread
    python scripts/benchmarks/pcd.py --help

64 visible and 64 hidden units, single precision, plain gradient steps, milliseconds per update.
Turns alternate within one run, the fastest call counts. Quote ratios of one run: absolute times are
noisy.

What all learn from the same start is compared before: the mean log-likelihood of the data after
equal updates, over several runs each, with so few hidden units that log Z is exact. Runs with other
random numbers differ by 0.1 to 0.3 nats, so that one run of each tells nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from timing import add_options, best_seconds, one_thread, print_rows, write_json

PEERS = "torch,rbms,rbms-train"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--peers", default=PEERS, help=f"comma-separated, default {PEERS}")
parser.add_argument("--hidden", type=int, default=64, help="hidden units, default 64")
parser.add_argument("--batch", type=int, default=100, help="rows per update, default 100")
parser.add_argument("--chains", type=int, default=100, help="default 100")
parser.add_argument("--steps", default="1,10", help="the k of PCD-k, default 1,10")
parser.add_argument("--learning-rate", type=float, default=0.02, help="default 0.02")
parser.add_argument("--check", type=int, default=2000, help="updates of the check of learning")
parser.add_argument("--check-hidden", type=int, default=12, help="its hidden units, default 12")
parser.add_argument("--check-runs", type=int, default=8, help="its runs per learner, default 8")
add_options(parser, rounds=10, seconds=0.3)
parser.add_argument("--profile", action="store_true", help="profile our updates, nothing else")
ARGS = parser.parse_args()
one_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from peers_pcd import Learner, RbmsTrain, Training, make  # noqa: E402

import mc.estimators.settings  # noqa: E402
from tnqbm import SqRBM, Trainer, TrainingSettings, datasets, exact  # noqa: E402
from tnqbm.training import SqRBMProblem  # noqa: E402
from tnqbm.training.minibatches import epoch_rows  # noqa: E402

N = 64
CALL = 20
"""Updates a call."""


class Ours:
    """:class:`tnqbm.Trainer`, as a user has it."""

    def __init__(
        self, model: SqRBM, target: datasets.Target, training: Training, runs: int = 1
    ) -> None:
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
        self._trainer = Trainer(SqRBMProblem([model] * runs, [target] * runs), settings)

    def advance(self, updates: int) -> None:
        self._trainer.advance(updates)

    def models(self) -> list[SqRBM]:
        n, m = self._model.n_visible, self._model.n_hidden
        return [SqRBM.from_vector(theta, n, m, "Z") for theta in self._trainer.parameters]


def first_model(target: datasets.Target, hidden: int) -> SqRBM:
    """Small random weights, and biases that give every bit its mean in the data."""
    mean = target.probabilities @ (1.0 - 2.0 * target.states)
    a = -np.arctanh(np.clip(mean, -0.99, 0.99))
    w = 0.01 * np.random.default_rng(1).normal(size=(1, N, hidden))
    return SqRBM(a, np.zeros((1, hidden)), w, "Z")


def rows_of(target: datasets.Target) -> NDArray[np.uint8]:
    rows = epoch_rows(target.probabilities)
    assert rows is not None
    return np.asarray(target.states[rows])


def learnt(
    name: str, model: SqRBM, target: datasets.Target, training: Training
) -> list[SqRBM] | None:
    """The models of several runs after the updates of the check; None if it cannot be asked."""
    runs = ARGS.check_runs
    if name == "tnqbm":
        ours = Ours(model, target, training, runs)
        ours.advance(ARGS.check)
        return ours.models()
    models = []
    for seed in range(1, runs + 1):
        learner = make(name, model, rows_of(target), training, seed)
        if learner is None or isinstance(learner, RbmsTrain):
            return None
        learner.advance(ARGS.check)
        models.append(learner.model())
    return models


def check(target: datasets.Target, training: Training, names: list[str]) -> list[dict[str, Any]]:
    """What everyone has learnt after equal updates; stops if PyTorch's differs from ours."""

    def likelihood(model: SqRBM) -> float:
        """Mean log-likelihood of the data, log Z exact, in nats."""
        log_weights = model.log_weight(target.states)
        return float(target.probabilities @ log_weights) - exact.log_partition(model)

    model = first_model(target, ARGS.check_hidden)
    first = likelihood(model)
    rows: list[dict[str, Any]] = []
    for name in ["tnqbm", *names]:
        models = learnt(name, model, target, training)
        if models is None:
            continue
        values = np.array([likelihood(each) for each in models])
        row = {
            "steps": training.steps,
            "hidden": ARGS.check_hidden,
            "updates": ARGS.check,
            "runs": values.size,
            "learner": name,
            "at start": first,
            "log-likelihood": float(values.mean()),
            "standard error": float(values.std(ddof=1) / np.sqrt(values.size)),
        }
        rows.append(row)
        ours, theirs = (rows[k]["log-likelihood"] for k in (0, -1))
        error = np.hypot(rows[0]["standard error"], row["standard error"])
        # The same updates with other random numbers: rbms takes other steps.
        if name == "torch" and abs(ours - theirs) > 4 * error:
            sys.exit(
                f"log-likelihoods differ: {ours:.3f} with tnqbm, {theirs:.3f} with PyTorch, the "
                f"standard error of their difference is {error:.3f}"
            )
        if theirs < first + 0.5 * (ours - first):
            sys.exit(f"{name} does not learn: log-likelihood {theirs:.3f}, ours {ours:.3f}")
    return rows


def measure(
    model: SqRBM, target: datasets.Target, training: Training, names: list[str]
) -> dict[str, Any]:
    """Milliseconds per update of all learners, in turns."""
    data = rows_of(target)
    found: dict[str, Learner | Ours | RbmsTrain | None] = {"tnqbm": Ours(model, target, training)}
    found |= {name: make(name, model, data, training) for name in names}

    def call(learner: Learner | Ours) -> Callable[[], Any]:
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
    model = first_model(target, ARGS.hidden)
    rows: list[dict[str, Any]] = []
    checked: list[dict[str, Any]] = []
    for steps in map(int, ARGS.steps.split(",")):
        training = Training(ARGS.batch, ARGS.chains, steps, ARGS.learning_rate)
        if ARGS.profile:
            profile(model, target, training)
            continue
        if ARGS.check:
            checked += check(target, training, names)
        rows.append(measure(model, target, training, names))
    if ARGS.json:
        write_json(ARGS.json, "pcd", rows, "lower")
        write_json(ARGS.json, "pcd, learnt", checked)
    if rows:
        print("PCD updates, single precision, one thread: milliseconds per update")
        print_rows(rows)
        if checked:
            print("\nwhat was learnt, exact log-likelihoods in nats per row of data")
            print_rows(checked)


if __name__ == "__main__":
    main()
