"""Time to forget the mode: collapsed Gibbs sampling against global moves of a tensor network.

    python scripts/benchmarks/independence.py             # trained and hand-made models
    python scripts/benchmarks/independence.py --help

Integrated autocorrelation times, in sweeps, of an indicator of the mode a chain is in: for bars and
stripes (n = 16, trained with the exact gradient) whether a row is full, for hand-made models of 24
and 32 units with two modes the sign of the magnetisation. Runs double in length until they are 50
times longer than what they find, or end with a lower bound (>=). A sweep of "tensor" is one of
"collapsed" and one proposal; "gain" is the ratio of effective samples per second, fitting apart.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

from timing import add_json, one_thread, print_rows, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--max-bond", type=int, default=32, help="of the network, default 32")
parser.add_argument("--chains", type=int, default=64, help="default 64")
parser.add_argument("--sweeps", type=int, default=2**18, help="most per chain, default 2**18")
parser.add_argument("--seed", type=int, default=1)
add_json(parser)
ARGS = parser.parse_args()
one_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import mc  # noqa: E402
import tnqbm  # noqa: E402
from mc.sampling.amplitude.fit import log_weight_of  # noqa: E402
from mc.sampling.amplitude.sample import weigh  # noqa: E402
from mc.sampling.chains.diagnostics import autocorrelation_time  # noqa: E402
from mc.sampling.chains.moving import MovingChains, starting_states  # noqa: E402

Indicator = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]

LONG_ENOUGH = 50
RECORDS = 4096
FIRST = 512


def bars_and_stripes() -> tuple[tnqbm.SqRBM, Indicator, str]:
    """Ten strings on a 2 x 8 grid, one full row or one full column each."""
    target = tnqbm.datasets.load("bas", 16)
    start = tnqbm.SqRBM.uniform(16, 8, "XYZ", seed=ARGS.seed)
    run = tnqbm.train(start, target, iterations=1000, records=1)
    return run.model, lambda v: v.sum(axis=1) > 5, f"bas 16, TVD {run.tvd[-1]:.3f}"


def two_modes(n: int, strength: float) -> tuple[tnqbm.SqRBM, Indicator, str]:
    """Up or down: one qubit's Z couples to all units alike, the rest at random."""
    m = 4
    noise = tnqbm.SqRBM.uniform(n, m, "XYZ", scale=0.1, seed=ARGS.seed)
    w = noise.w.copy()
    w[2, :, 0] += strength
    model = tnqbm.SqRBM(0.2 * noise.a, 0.1 * noise.b, w, "XYZ")
    return model, lambda v: v.sum(axis=1) * 2 > n, f"two modes {n}, coupling {strength}"


def forgetting(chains: MovingChains, of: Indicator) -> tuple[float, bool, float]:
    """Autocorrelation time in sweeps, whether it is only a bound, and seconds per sweep."""
    length = FIRST
    while True:
        stride = max(1, length // RECORDS)
        draws = length // stride
        series = np.empty((len(chains.states), draws))
        begun = time.perf_counter()
        for k in range(draws):
            chains.advance(stride)
            series[:, k] = of(chains.states)
        seconds = (time.perf_counter() - begun) / (draws * stride)
        tau = stride * autocorrelation_time(series)
        long_enough = not math.isnan(tau) and length >= LONG_ENOUGH * tau
        if long_enough or length >= ARGS.sweeps:
            # Of chains that never changed there is nothing to say but how long they were watched.
            return (float(length) if math.isnan(tau) else tau), not long_enough, seconds
        length *= 2


def compare(model: tnqbm.SqRBM, of: Indicator, name: str) -> dict[str, Any]:
    begun = time.perf_counter()
    network = mc.fit_amplitude(model, max_bond=ARGS.max_bond, seed=ARGS.seed)
    fitted = time.perf_counter() - begun
    weigh_states = log_weight_of(model)
    share = weigh(network, weigh_states, 4000, ARGS.seed).ess / 4000
    start = starting_states("random", ARGS.chains, model.n_visible, data=None, seed=ARGS.seed)
    plain = MovingChains(model, "collapsed", start, key=2 * ARGS.seed)
    moves = mc.IndependenceMoves(network, weigh_states, 2 * ARGS.seed + 1)
    both = MovingChains(model, "collapsed", start, key=2 * ARGS.seed, moves=moves)
    for chains in (plain, both):
        chains.advance(100)
    slow, bound, slow_seconds = forgetting(plain, of)
    fast, _, fast_seconds = forgetting(both, of)
    return {
        "model": name,
        "collapsed": f"{'>= ' if bound else ''}{slow:.4g}",
        "tensor": fast,
        "ratio": slow / fast,
        "gain": slow * slow_seconds / (fast * fast_seconds),
        "accepted": float(both.advance(50).mean()),
        "ESS/K": share,
        "bond": int(max(network.bond_sizes)),
        "fit s": fitted,
    }


def main() -> None:
    cases = (bars_and_stripes(), two_modes(24, 0.7), two_modes(32, 0.6))
    rows = [compare(*case) for case in cases]
    if ARGS.json:
        write_json(ARGS.json, "independence", rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
