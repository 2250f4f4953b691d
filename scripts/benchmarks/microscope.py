"""Bias of sampled gradients where the exact one is known: dense small, local large, dense large.

    python scripts/benchmarks/microscope.py ring|small|dense [--visible N] [--hidden M]
        [--updates K] [--only cd-1,pcd-10] [--kernels collapsed,bloch] [--out FILE.csv]

One training with exact gradients gives the parameters, and the estimators follow it without
steering: all are compared at the same models. ``ring`` has a hidden qubit for every four
neighbouring units of a ring of 400, and the contraction as a reference; ``small`` is dense with 16
units, by enumeration; ``dense`` has 64 units, steered by persistent chains and compared with
weighted samples of an amplitude network. The bias of a row is |E x - g|/|g| in percent, with its
standard error; negative where the corrected square is. "resolves" is the bias whose square is three
standard errors of the square; at a bias that is larger than that, the error is what counts.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mc.estimators.settings import CD, PCD, Tempered, TensorReference, provide
from tnqbm import SqRBM, Target, TrainingSettings, datasets
from tnqbm.core import connectivity
from tnqbm.networks import Contraction
from tnqbm.training import GradientBias, SqRBMProblem, Trainer
from tnqbm.training.bias import ModelAverages, Reference
from tnqbm.training.bias.measures import signed_root
from tnqbm.training.bias.meter import BiasMeter
from tnqbm.training.bias.references import ContractionReference, ExactReference
from tnqbm.training.estimators import Context, GradientSettings

KERNELS = ("collapsed", "bloch", "thermal", "measured")
HEAD = (
    "update", "estimator", "bias_percent", "error_percent", "resolves_percent", "variance",
    "cosine", "fisher_bias_percent", "norm", "reference_error", "seconds", "cpu_seconds",
)  # fmt: skip


def estimators(chains: int, kernels: tuple[str, ...]) -> Iterator[tuple[str, GradientSettings]]:
    for k in (1, 10):
        yield f"cd-{k}", CD(steps=k, chains=chains)
    for k in (1, 10):
        yield f"pcd-{k}", PCD(steps=k, chains=chains)
    for kernel in kernels:
        yield f"tempered-{kernel}", Tempered(chains=chains, temperatures=6, kernel=kernel)


def ring_problem(n: int, m: int, seed: int) -> tuple[SqRBM, Target]:
    """A ring, and samples of another one with larger weights as its data."""
    mask = connectivity.named("ring-4", n, m)
    teacher = SqRBM.uniform(n, m, "XYZ", scale=1.0, seed=seed + 1, mask=mask)
    rows = Contraction(mask, 3).sample(teacher, 2000, seed=seed)
    return SqRBM.uniform(n, m, "XYZ", scale=0.2, seed=seed, mask=mask), Target.from_samples(rows)


def dense_problem(n: int, m: int, seed: int) -> tuple[SqRBM, Target]:
    """Bars and stripes, from small weights."""
    return SqRBM.uniform(n, m, "XYZ", scale=0.1, seed=seed), datasets.load("bas", n)


CASES: dict[str, dict[str, Any]] = {
    "ring": {
        "problem": ring_problem, "visible": 400, "hidden": 400, "gradient": "contraction",
        "reference": ContractionReference, "updates": 5, "rows": 1, "chains": 1000,
    },
    "small": {
        "problem": dense_problem, "visible": 16, "hidden": 8, "gradient": "exact",
        "reference": ExactReference, "updates": 40, "rows": 4, "chains": 2000,
    },
    "dense": {
        "problem": dense_problem, "visible": 64, "hidden": 32, "gradient": "pcd",
        "reference": TensorReference, "updates": 30, "rows": 2, "chains": 500,
    },
}  # fmt: skip


def trajectory(case: dict[str, Any], options: argparse.Namespace) -> tuple[Any, list[np.ndarray]]:
    """The problem, and its parameters after every update."""
    model, target = case["problem"](options.visible, options.hidden, options.seed)
    problem = SqRBMProblem([model], [target])
    steering = TrainingSettings(
        gradient=case["gradient"], optimizer="sgd", learning_rate=options.learning_rate,
        iterations=options.updates, records=1, evaluate="none",
    )  # fmt: skip
    trainer = Trainer(problem, steering, keys=np.array([options.seed], dtype=np.uint64))
    parameters = []
    for _ in range(options.updates + 1):
        parameters.append(trainer.parameters.copy())
        if not trainer.finished:
            trainer.advance(1)
    return problem, parameters


def follow(
    problem: Any, gradient: GradientSettings, compared: Any, truth: Any, options: argparse.Namespace
) -> BiasMeter:
    """What compares an estimator with the reference ``truth``, whose settings are ``compared``."""
    training = TrainingSettings(
        gradient=gradient, bias_reference=compared, iterations=options.updates,
        precision=options.precision,
    )  # fmt: skip
    keys = np.array([options.seed + 1], dtype=np.uint64)
    data = problem.averages(problem.states, problem.probabilities, training)
    context = Context(problem, keys, options.precision)
    return BiasMeter(compared, truth, context, training, data.moments)


def remembered(reference: Reference) -> Reference:
    """A reference whose answers are kept: all estimators are compared at the same models."""
    known: dict[tuple[int, int], ModelAverages] = {}

    def found(theta: np.ndarray, run: int, step: int) -> ModelAverages:
        if (run, step) not in known:
            known[run, step] = reference(theta, run, step)
        return known[run, step]

    return found


def row(update: int, name: str, found: GradientBias, begun: tuple[float, float]) -> dict[str, Any]:
    variance = found.gradient_variance
    return {
        "update": update,
        "estimator": name,
        "bias_percent": 100 * found.bias,
        "error_percent": 100 * found.bias_error,
        "resolves_percent": 100 * np.sqrt(3 * found.bias_squared_error),
        "variance": variance,
        "cosine": found.expected_cosine,
        "fisher_bias_percent": 100 * signed_root(found.fisher_bias_squared),
        "norm": found.exact_gradient_norm,
        "reference_error": found.reference_error,
        "seconds": time.perf_counter() - begun[0],
        "cpu_seconds": time.process_time() - begun[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--visible", type=int)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--updates", type=int)
    parser.add_argument("--rows", type=int, help="at how many updates gradients are compared")
    parser.add_argument("--chains", type=int, help="of every replicate")
    parser.add_argument("--replicates", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--precision", default="single", choices=["single", "double"])
    parser.add_argument("--kernels", default=",".join(KERNELS))
    parser.add_argument("--only", help="estimators, such as cd-1,tempered-bloch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a CSV file of all rows")
    options = parser.parse_args()
    case = CASES[options.case]
    for name in ("visible", "hidden", "updates", "rows", "chains"):
        if getattr(options, name) is None:
            setattr(options, name, case[name])
    provide()
    begun = time.perf_counter()
    problem, parameters = trajectory(case, options)
    print(f"# the training that is followed: {time.perf_counter() - begun:.1f} s")
    steps = np.unique(np.linspace(0, options.updates, options.rows + 1).round().astype(int)[1:])
    print(" ".join(f"{name:>18}" for name in HEAD))
    compared = case["reference"](replicates=options.replicates)
    truth = remembered(compared.make(Context(problem, np.array([options.seed], dtype=np.uint64))))
    rows = []
    for name, gradient in estimators(options.chains, tuple(options.kernels.split(","))):
        if options.only and name not in options.only.split(","):
            continue
        started = time.perf_counter(), time.process_time()
        microscope = follow(problem, gradient, compared, truth, options)
        for update, theta in enumerate(parameters):
            due = update in steps
            if not (due or gradient.remembers):
                continue
            found = microscope.at(theta, update, measured=due)
            if found is not None:
                rows.append(row(update, name, found, started))
                print(" ".join(f"{_shown(rows[-1][key]):>18}" for key in HEAD), flush=True)
    last = {one["estimator"]: one for one in rows}.values()
    wall, cpu = (sum(one[name] for one in last) for name in ("seconds", "cpu_seconds"))
    print(f"# all estimators: {wall:.0f} s, {cpu:.0f} s of processors")
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, HEAD)
            writer.writeheader()
            writer.writerows(rows)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
