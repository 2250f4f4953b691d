"""Speed of block Gibbs sampling of classical RBMs, against NumPy, JAX, PyTorch, scikit-learn.

    python scripts/benchmarks/gibbs.py            # everything installed, one thread
    python scripts/benchmarks/gibbs.py --help

Single precision, spin updates per second: chains x (visible + hidden units) x sweeps / time. Turns
alternate within one run, the fastest call counts. Peers must first reach the same averages. Quote
ratios of one run: absolute times are noisy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from timing import add_options, best_seconds, one_thread, print_rows, write_json

PEERS = "numpy,jax,jax-hashed,torch,sklearn"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--peers", default=PEERS, help=f"comma-separated, default {PEERS}")
parser.add_argument("--sizes", default="64x64,256x256,784x500", help="visible x hidden units")
parser.add_argument("--chains", default="100,2000", help="comma-separated")
parser.add_argument("--sweeps", type=int, default=10, help="sweeps a call, default 10")
add_options(parser, rounds=10, seconds=0.2)
ARGS = parser.parse_args()
one_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from peers_gibbs import Sampler, make  # noqa: E402

from mc.kernels import Sweeper  # noqa: E402
from tnqbm.core.shape import Shape  # noqa: E402


def random_model(n: int, m: int, scale: float, seed: int) -> NDArray[np.float64]:
    """Parameters of an RBM whose fields have a size of about ``scale``."""
    rng = np.random.default_rng(seed)
    biases = rng.normal(scale=0.5 * scale, size=n + m)
    return np.concatenate([biases, rng.normal(scale=scale / np.sqrt(max(n, m)), size=n * m)])


class Ours:
    def __init__(self, theta: NDArray[np.float64], n: int, m: int, v: NDArray[np.uint8]) -> None:
        self._sweeper = Sweeper(Shape(n, m, 1), "block", precision="single")
        self._theta, self._states = theta[None], v[None].copy()
        self._keys, self._clock = np.array([1], np.uint64), 0

    def sweep(self, steps: int) -> None:
        self._sweeper.sweep(self._theta, self._states, self._keys, self._clock, steps)
        self._clock += steps

    def states(self) -> NDArray[np.uint8]:
        return np.asarray(self._states[0])


def check(names: list[str]) -> None:
    """Stop unless all samplers give the same mean spins and correlations, to six errors."""
    n, m, chains = 16, 8, 20000
    theta = random_model(n, m, 1.0, 5)
    start = np.random.default_rng(0).integers(0, 2, (chains, n), dtype=np.uint8)

    def moments(sampler: Sampler) -> NDArray[np.float64]:
        sampler.sweep(40)
        s = 1.0 - 2.0 * sampler.states()
        return np.concatenate([s.mean(axis=0), (s.T @ s / chains)[np.triu_indices(n, 1)]])

    reference = moments(Ours(theta, n, m, start))
    for name in names:
        sampler = make(name, theta, n, m, start)
        if sampler is None:
            continue
        # Means of spins over independent chains: variances 1 - mean^2, two samples.
        error = np.sqrt(2 * np.maximum(1 - reference**2, 1e-2) / chains)
        worst = float((np.abs(moments(sampler) - reference) / error).max())
        if worst > 6:
            sys.exit(f"{name} samples another distribution: {worst:.1f} standard errors")


def measure(n: int, m: int, chains: int, names: list[str]) -> dict[str, Any]:
    """Spin updates per second of all samplers for one size, and the ratio to the best peer."""
    theta = random_model(n, m, 1.0, 1)
    start = np.random.default_rng(0).integers(0, 2, (chains, n), dtype=np.uint8)
    samplers: dict[str, Sampler | None] = {"tnqbm": Ours(theta, n, m, start)}
    samplers |= {name: make(name, theta, n, m, start) for name in names}

    def call(sampler: Sampler) -> Callable[[], Any]:
        return lambda: sampler.sweep(ARGS.sweeps)

    calls = {name: call(sampler) for name, sampler in samplers.items() if sampler is not None}
    times = best_seconds(calls, ARGS.rounds, ARGS.seconds, ARGS.cpu_time)
    updates = chains * (n + m) * ARGS.sweeps
    rates = {name: updates / times[name] if name in times else None for name in samplers}
    peers = {name: rate for name, rate in rates.items() if name != "tnqbm" and rate}
    # The cheap hash is no generator that one would ship: it has a column of its own.
    serious = {name: rate for name, rate in peers.items() if name != "jax-hashed"}
    best = max(serious, key=lambda name: serious[name], default=None)
    ours = rates["tnqbm"] or 0.0
    return {
        "size": f"{n}x{m}",
        "chains": chains,
        **{f"{name} 1/us": rate and rate * 1e-6 for name, rate in rates.items()},
        "best peer": best,
        "ours/best": ours / serious[best] if best else None,
        "ours/jax-hashed": ours / peers["jax-hashed"] if "jax-hashed" in peers else None,
    }


def main() -> None:
    names = [name for name in ARGS.peers.split(",") if name]
    check(names)
    rows = []
    for size in ARGS.sizes.split(","):
        n, m = map(int, size.split("x"))
        for chains in map(int, ARGS.chains.split(",")):
            rows.append(measure(n, m, chains, names))
    if ARGS.json:
        write_json(ARGS.json, "gibbs", rows, "higher")
    print("block Gibbs sampling, single precision, one thread: spin updates per microsecond")
    print_rows(rows)


if __name__ == "__main__":
    main()
