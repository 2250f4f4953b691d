"""Speed of collapsed Gibbs sampling of sqRBMs, against JAX and NumPy, and of the other kernels.

    python scripts/benchmarks/collapsed.py            # everything installed, one thread
    python scripts/benchmarks/collapsed.py --help

Nanoseconds per (flip attempt x hidden unit). Turns alternate within one run, the fastest call
counts. Peers must first reach the same averages. Quote ratios of one run: absolute times are
noisy. The second table compares kernels: time of a sweep of one chain and effective samples per
second of log p~, both relative to the model and scale it names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from timing import add_options, best_seconds, one_thread, print_rows, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--peers", default="numpy,jax", help="comma-separated, default numpy,jax")
parser.add_argument("--paulis", default="XYZ,XZ,Z", help="comma-separated, default XYZ,XZ,Z")
parser.add_argument("--sizes", default="64x64,256x256", help="visible x hidden units")
parser.add_argument("--precisions", default="double,single", help="default double,single")
parser.add_argument("--chains", type=int, default=100, help="default 100")
add_options(parser, rounds=5, seconds=0.3)
parser.add_argument("--no-kernels", action="store_true", help="leave the second table out")
ARGS = parser.parse_args()
one_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from peers_collapsed import make  # noqa: E402
from peers_gibbs import Sampler  # noqa: E402

from mc.kernels import KERNELS, Sweeper, check_kernel, is_exact  # noqa: E402
from tnqbm.core.shape import Shape  # noqa: E402

DTYPES = {"double": np.float64, "single": np.float32}
SCALE = 0.1


def random_model(n: int, m: int, p: int, scale: float, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-scale, scale, n + p * m * (n + 1))


class Ours:
    def __init__(
        self,
        theta: NDArray[np.float64],
        n: int,
        m: int,
        p: int,
        states: NDArray[np.uint8],
        precision: str,
        kernel: str = "collapsed",
    ) -> None:
        self._sweeper = Sweeper(Shape(n, m, p), kernel, precision=precision)
        self._theta, self._states = theta[None], states[None].copy()
        self._keys, self._clock = np.array([1], np.uint64), 0

    def sweep(self, steps: int) -> float:
        """The acceptance, or share of bits changed, over all chains."""
        rates = self._sweeper.sweep(self._theta, self._states, self._keys, self._clock, steps)
        self._clock += steps
        return float(rates.mean())

    def states(self) -> NDArray[np.uint8]:
        return np.asarray(self._states[0])

    def log_weights(self) -> NDArray[np.float64]:
        return np.asarray(self._sweeper.log_weights(self._theta, self._states)[0])


def start(n: int, chains: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 2, (chains, n), dtype=np.uint8)


def check(names: list[str], precision: str) -> None:
    """Stop unless all samplers give the same mean spins and correlations, to six errors."""
    n, m, chains = 10, 6, 20000
    for p in (1, 2, 3):
        theta = random_model(n, m, p, 0.5, 5)

        def moments(sampler: Sampler) -> NDArray[np.float64]:
            sampler.sweep(20)
            s = 1.0 - 2.0 * sampler.states()
            return np.concatenate([s.mean(axis=0), (s.T @ s / chains)[np.triu_indices(n, 1)]])

        states = start(n, chains)
        reference = moments(Ours(theta, n, m, p, states, precision))
        error = np.sqrt(2 * np.maximum(1 - reference**2, 1e-2) / chains)
        for name in names:
            sampler = make(name, theta, n, m, p, states, DTYPES[precision])
            if sampler is None:
                continue
            worst = float((np.abs(moments(sampler) - reference) / error).max())
            if worst > 6:
                sys.exit(f"{name} samples another distribution: {worst:.1f} standard errors")


def sweeping(sampler: Sampler, steps: int) -> Callable[[], Any]:
    return lambda: sampler.sweep(steps)


def measure(n: int, m: int, paulis: str, precision: str, names: list[str]) -> dict[str, Any]:
    """ns per (flip attempt x hidden unit) of all samplers for one model shape."""
    p = len(paulis)
    theta, states = random_model(n, m, p, SCALE, 1), start(n, ARGS.chains)
    samplers: dict[str, Sampler | None] = {"tnqbm": Ours(theta, n, m, p, states, precision)}
    for name in names:
        samplers[name] = make(name, theta, n, m, p, states, DTYPES[precision])
    steps = max(1, 8 * 64 * 64 // (n * m))
    calls = {name: sweeping(x, steps) for name, x in samplers.items() if x is not None}
    times = best_seconds(calls, ARGS.rounds, ARGS.seconds, ARGS.cpu_time)
    unit = 1e9 / (ARGS.chains * n * m * steps)
    return {
        "paulis": paulis,
        "size": f"{n}x{m}",
        "precision": precision,
        **{f"{name} ns": times[name] * unit if name in times else None for name in samplers},
        **{
            f"{name}/ours": times[name] / times["tnqbm"] if name in times else None
            for name in names
        },
    }


def kernel_rows(n: int, m: int, paulis: str, precision: str) -> list[dict[str, Any]]:
    """Costs and effective samples of all exact kernels, taken in turns."""
    p = len(paulis)
    theta, states = random_model(n, m, p, SCALE, 1), start(n, ARGS.chains)
    samplers: dict[str, Ours] = {}
    for kernel in KERNELS:
        try:
            check_kernel(kernel, p)
        except ValueError:
            continue
        if is_exact(kernel, p):
            samplers[kernel] = Ours(theta, n, m, p, states, precision, kernel)
    times = best_seconds(
        {kernel: sweeping(sampler, 4) for kernel, sampler in samplers.items()},
        ARGS.rounds,
        ARGS.seconds / 3,
        ARGS.cpu_time,
    )
    rows = []
    for kernel, sampler in samplers.items():
        one = times[kernel] / (4 * ARGS.chains)
        acceptance = sampler.sweep(200)
        share = effective_share(sampler)
        rows.append(
            {
                "paulis": paulis,
                "size": f"{n}x{m}",
                "precision": precision,
                "kernel": kernel,
                "us a sweep": one * 1e6,
                "ns/(n m)": one * 1e9 / (n * m),
                "acceptance": acceptance,
                "ESS/sweep": share,
                "ESS/ms": share and share / one * 1e-3,
            }
        )
    return rows


def effective_share(sampler: Ours, draws: int = 200) -> float | None:
    """Effective samples of log p~ per sweep and chain; None without ArviZ."""
    from mc.sampling.chains.diagnostics import effective_sample_size

    series = np.empty((ARGS.chains, draws))
    for k in range(draws):
        sampler.sweep(1)
        series[:, k] = sampler.log_weights()
    try:
        return effective_sample_size(series) / series.size
    except ImportError:
        return None


def main() -> None:
    names = [name for name in ARGS.peers.split(",") if name]
    sizes = []
    for size in ARGS.sizes.split(","):
        n, m = map(int, size.split("x"))
        sizes.append((n, m))
    sets, precisions = ARGS.paulis.split(","), ARGS.precisions.split(",")
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        check(names, precision)
        for paulis in sets:
            rows += [measure(n, m, paulis, precision, names) for n, m in sizes]
    kernels: list[dict[str, Any]] = []
    if not ARGS.no_kernels:
        for paulis in sets:
            kernels += kernel_rows(*sizes[0], paulis, precisions[0])
    if ARGS.json:
        write_json(ARGS.json, "collapsed", rows, "lower")
    print(
        f"collapsed sweeps, {ARGS.chains} chains, one thread: ns per (flip attempt x hidden unit)"
    )
    print_rows(rows)
    if kernels:
        print(f"\nkernels, parameters uniform in [-{SCALE}, {SCALE}], per chain")
        print_rows(kernels)


if __name__ == "__main__":
    main()
