"""What contrastive divergence by measured qubits learns, by the samples that it takes.

    python scripts/benchmarks/quantum_cd_training.py [--seeds 10] [--updates 1000]

Trains on small data sets by exact gradients, by as many independent samples of p(v) itself
("likelihood"), and by CD-k and PCD-k with kernels of ``mc.kernels``. "pauli-exact" is what a
perfect quantum computer would do. Hidden qubits are summed over in closed form in all averages.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from quantum_cd import plus_minus, show, weights

from mc.estimators.settings import provide
from tnqbm import SqRBM, datasets
from tnqbm.core import streams
from tnqbm.core.states import states_of
from tnqbm.exact.averages import SampleMoments
from tnqbm.kernels.parallel import set_num_threads
from tnqbm.training import SqRBMProblem, Trainer, TrainingSettings
from tnqbm.training.estimators import Averages, Context, GradientSettings

Float = NDArray[np.float64]
MOST = 1000
"""Samples of v for an update and run, the steps of chains included."""


class Likelihood(GradientSettings):
    """Averages over independent samples of p(v), drawn by enumeration."""

    name: ClassVar[str] = "likelihood"
    prefix: ClassVar[str] = "likelihood_"
    samples: int = Field(100, description="samples of an update")

    def make(self, context: Context) -> Any:
        return PerfectSamples(self, context)


class PerfectSamples:
    """The estimator of :class:`Likelihood`."""

    def __init__(self, settings: Likelihood, context: Context) -> None:
        self._problem: Any = context.problem
        self._samples, self._keys, self._updates = settings.samples, context.keys, 0
        self._moments = SampleMoments(self._problem.shape)

    def estimate(self, theta: Float, rows: NDArray[np.intp], data: Any = None) -> Averages:
        n, drawn = self._problem.n_visible, []
        for vector, run in zip(theta, rows, strict=True):
            rng = np.random.default_rng([int(self._keys[run]), self._updates])
            p = weights(self._problem.model(vector))
            drawn.append(states_of(rng.choice(p.size, self._samples, p=p).astype(np.int64), n))
        self._updates += 1
        sums = self._moments.sums(theta, np.ascontiguousarray(np.stack(drawn)))
        return Averages(self._moments.mean(sums, self._samples))

    def state(self) -> dict[str, Any]:
        return {"updates": np.array(self._updates)}

    def restore(self, state: dict[str, Any]) -> None:
        self._updates = int(state["updates"])


def methods(samples: list[int]) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    """Name, samples of an update, steps, and settings."""
    yield "exact gradient", 0, 0, {"gradient": "exact"}
    for count in samples:
        yield "likelihood", count, 1, {"gradient": Likelihood(samples=count)}
        for gradient, steps in (("cd", 1), ("pcd", 1), ("cd", 10), ("pcd", 10)):
            if count * steps > MOST:
                continue
            for kernel in ("pauli-exact", "pauli", "collapsed"):
                own = {"gradient": gradient, "steps": steps, "kernel": kernel, "chains": count}
                yield f"{gradient}-{steps} {kernel}", count, steps, own


def training(data: str, options: argparse.Namespace) -> None:
    """Distances after training, by the samples of v that all updates took."""
    target, seeds, updates = datasets.load(data, 8), options.seeds, options.updates
    rows = []
    for name, count, steps, settings in methods([int(x) for x in options.samples.split(",")]):
        if options.only not in name:
            continue
        starts = [SqRBM.uniform(8, 3, "XYZ", scale=1.0, seed=seed) for seed in range(seeds)]
        wanted = TrainingSettings(
            iterations=updates, learning_rate=0.1, schedule="cosine", records=2, **settings
        )
        keys = streams.keys(np.arange(seeds, dtype=np.uint64), 5)
        trainer = Trainer(SqRBMProblem(starts, [target] * seeds), wanted, keys=keys)
        trainer.advance(updates)
        runs = trainer.trajectories()
        tvd, kl = (np.array([getattr(run, x)[-1] for run in runs]) for x in ("tvd", "kl"))
        total = f"{count * steps * updates:,}"
        rows.append([name, str(count), total, plus_minus(tvd), plus_minus(kl)])
        print(*rows[-1], file=sys.stderr, flush=True)
    show(
        f"{data}, n = 8, XYZ, m = 3, {updates} updates, {seeds} seeds",
        ["gradient", "samples of an update", "samples of v in all", "TVD", "KL"],
        rows,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="bas,gaussian", help="data sets of 8 bits")
    parser.add_argument("--samples", default="10,100,1000", help="of an update")
    parser.add_argument("--only", default="", help="methods with this in their name")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=1000)
    arguments = parser.parse_args()
    set_num_threads(1)
    provide()
    for name in arguments.data.split(","):
        training(name, arguments)
