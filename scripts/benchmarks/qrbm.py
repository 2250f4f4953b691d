"""QRBMs beyond dense matrices: time, memory and errors of log Z and of gradients.

    python scripts/benchmarks/qrbm.py                    # 12 visible units and 6 hidden ones
    python scripts/benchmarks/qrbm.py --scale 0.6 --reference 10

Prints processor seconds, the peak of the process's memory and the standard errors that the
estimates claim. With ``--reference`` an independent run with so many times the vectors follows, and
the differences from it. Errors of averages and gradients are relative to the length of the vector
of all of them.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from timing import add_json, write_json

from tnqbm.datasets import Target
from tnqbm.hamiltonian import Estimated, PauliHamiltonian, TypicalGibbs, qrbm


def main() -> None:
    arguments = options().parse_args()
    n, m, letters = arguments.visible, arguments.hidden, arguments.paulis
    h = qrbm(n, m, visible_paulis=letters, paulis=letters, scale=arguments.scale, seed=1)
    rng = np.random.default_rng(2)
    states = rng.permutation(1 << n)[: arguments.rows, None] >> np.arange(n)[::-1] & 1
    target = Target(states.astype(np.uint8), np.full(arguments.rows, 1.0 / arguments.rows))
    small = qrbm(2, 1, visible_paulis=letters, paulis=letters, scale=0.1, seed=1)
    measured(small, Target(states[:1, :2].astype(np.uint8), np.ones(1)), 2, 2, 2, 1)  # compiles

    vectors, subspace, hidden = arguments.vectors, arguments.subspace, arguments.hidden_vectors
    print(f"{n} + {m} units, {letters}, scale {arguments.scale}: {len(h.terms)} terms")
    print(f"{arguments.rows} rows, {vectors} vectors, {subspace} subspace, {hidden} hidden vectors")
    print(TypicalGibbs(h, vectors=vectors, subspace=subspace, seed=3).forecast(arguments.rows))
    found, took = measured(h, target, vectors, subspace, hidden, 3)
    if arguments.json:
        sizes = {"visible": n, "hidden": m, "paulis": letters, "rows": arguments.rows}
        write_json(arguments.json, "qrbm", [sizes | took], "lower")
    if arguments.reference:
        times = arguments.reference
        hidden = min(1 << m, hidden << int(np.log2(times)))
        best, _ = measured(h, target, vectors * times, subspace * 2, hidden, 4)
        for name, (value, error) in found.items():
            off = np.linalg.norm(value - best[name].value)
            expected = np.hypot(np.linalg.norm(error), np.linalg.norm(best[name].standard_error))
            scale = np.linalg.norm(best[name].value)
            print(
                f"{name:15} off by {off / scale:.2%} of its length, "
                f"{off / expected:.2f} times what both errors add up to; largest component "
                f"{np.abs(value - best[name].value).max():.4f} of {np.abs(value).max():.3f}"
            )


def measured(
    h: PauliHamiltonian, target: Target, vectors: int, subspace: int, hidden: int, seed: int
) -> tuple[dict[str, Estimated], dict[str, float]]:
    """log Z, log weights, positive phase and gradient, and what they took, which is printed."""
    start = time.process_time()
    gibbs = TypicalGibbs(h, vectors=vectors, subspace=subspace, hidden_vectors=hidden, seed=seed)
    found = {"log Z": gibbs.log_partition()}
    traces = time.process_time() - start
    found["averages"] = gibbs.expectations(h.terms)
    found["log weights"], found["positive phase"] = gibbs.likelihood(target)
    data, model = found["positive phase"], found["averages"]
    error = np.hypot(data.standard_error, model.standard_error)
    found["gradient"] = Estimated(data.value - model.value, error)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    took = {"seconds": seconds, "seconds of log Z": traces, "peak GB": peak / 1e9}
    print(f"{seconds:.1f} processor seconds, {traces:.1f} of them for log Z; {peak / 1e9:.2f} GB")
    for name, (value, error) in found.items():
        share = np.linalg.norm(error) / np.linalg.norm(value)
        print(f"  {name:15} {np.linalg.norm(value):10.4f} +- {share:.2%}")
    return found, took


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visible", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=6)
    parser.add_argument("--paulis", default="XYZ")
    parser.add_argument("--scale", type=float, default=0.3)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--vectors", type=int, default=16)
    parser.add_argument("--subspace", type=int, default=16)
    parser.add_argument("--hidden-vectors", type=int, default=4)
    parser.add_argument("--reference", type=int, default=0)
    add_json(parser)
    return parser


if __name__ == "__main__":
    main()
