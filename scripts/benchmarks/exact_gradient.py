"""Time of the exact gradient and of whole training iterations, against NumPy, JAX and PyTorch.

    python scripts/benchmarks/exact_gradient.py            # everything installed, one thread
    python scripts/benchmarks/exact_gradient.py --help

Single-thread figures are the best of several calls, in ns per (visible state x hidden unit).
"exact.gradient" is what users call, with data on all states, both phases in one sweep; "minibatch"
are averages over as many rows of data as there are states, as samples and minibatches have them.
Peers are checked for equal results first. Quote ratios of one run: absolute times are noisy.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from timing import add_json, write_json

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--peers", default="numpy,jax,torch", help="comma-separated, default all")
parser.add_argument("--seconds", type=float, default=2.0, help="time spent on each figure")
parser.add_argument("--sizes", default="8x5,12x30,16x20,20x20", help="n x m of XYZ models")
add_json(parser)
ARGS = parser.parse_args()
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numba  # noqa: E402
import numpy as np  # noqa: E402
from floor import OPERATIONS, floor_ns  # noqa: E402
from peers import jax_gradient, numpy_gradient, torch_gradient  # noqa: E402

from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact  # noqa: E402
from tnqbm.core.shape import Shape  # noqa: E402
from tnqbm.exact.averages import SampleMoments  # noqa: E402
from tnqbm.exact.enumerator import Enumerator  # noqa: E402
from tnqbm.training import SqRBMProblem  # noqa: E402
from tnqbm.training.trainer import Trainer  # noqa: E402


def best_seconds(call: Callable[[], Any], seconds: float) -> float:
    """Smallest duration of one call among as many as fit."""
    call()
    best, end = np.inf, time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


def gradients(n: int, m: int, dtype: Any) -> None:
    """One row per implementation: time, ratio to ours, distance of the results."""
    precision = "double" if dtype == np.float64 else "single"
    model = SqRBM.uniform(n, m, "XYZ", scale=0.3, seed=1)
    theta = model.to_vector()
    units = (1 << n) * m
    enumerator = Enumerator(Shape(n, m, 3), precision)
    reference = enumerator.log_partition_and_moments(theta[None])
    ours = best_seconds(lambda: enumerator.log_partition_and_moments(theta[None]), ARGS.seconds)
    simple, hard, floor = floor_ns(dtype)
    print(
        f"\nn = {n}, m = {m}, XYZ, {precision}: {OPERATIONS[dtype]:.1f} vector operations at "
        f"{simple:.3f} ns, root and quotient {hard:.3f} ns: floor {floor:.2f} ns a unit"
    )
    print(f"  {'tnqbm':8s} {ours * 1e6:11.1f} us {ours / units * 1e9:7.2f} ns a unit")
    target = Target.from_dense(np.full(1 << n, 0.5**n))
    called = best_seconds(lambda: exact.gradient(model, target, precision=precision), ARGS.seconds)
    row = {"n": n, "m": m, "precision": precision}
    row |= {"tnqbm": ours / units * 1e9, "exact.gradient": called / units * 1e9}
    print(f"  exact.gradient {called * 1e6:5.1f} us {called / units * 1e9:7.2f} ns a unit")
    samples, rows = SampleMoments(Shape(n, m, 3), precision), target.states[None]
    averaged = best_seconds(lambda: samples.average(theta[None], rows), ARGS.seconds)
    print(
        f"  minibatch    {averaged * 1e6:7.1f} us {averaged / units * 1e9:7.2f} ns a row and unit"
    )
    row["minibatch"] = averaged / units * 1e9
    makers = {"numpy": numpy_gradient, "jax": jax_gradient, "torch": torch_gradient}
    for name in ARGS.peers.split(","):
        gradient = makers[name](n, m, 3, dtype)
        if gradient is None:
            print(f"  {name:8s} not installed")
            continue
        log_z, moments = gradient(theta)
        error = float(np.abs(np.asarray(moments) - reference[1][0]).max())
        if abs(float(log_z) - reference[0][0]) > 1e-3 or error > 1e-3:
            sys.exit(f"{name} disagrees: {error:.2e}")
        peer = best_seconds(lambda call=gradient: call(theta), ARGS.seconds)
        row[name] = peer / units * 1e9
        print(
            f"  {name:8s} {peer * 1e6:11.1f} us {peer / units * 1e9:7.2f} ns a unit"
            f" {peer / ours:7.1f} x ours"
        )
    if ARGS.json:
        write_json(ARGS.json, "exact_gradient", [row], "lower")


def iterations(n: int, m: int, batch: int) -> float:
    """Microseconds of a whole AMSGrad iteration per seed inside a batch."""
    target = datasets.load("bas", n)
    models = [SqRBM.uniform(n, m, "XYZ", seed=seed) for seed in range(batch)]
    steps = max(50, int(2e-1 / (batch * (1 << n) * m * 2e-9)))
    best = np.inf
    for _ in range(5):
        trainer = Trainer(
            SqRBMProblem(models, [target] * batch), TrainingSettings(iterations=steps, records=5)
        )
        trainer.advance(5)
        start = time.perf_counter()
        trainer.advance(steps - 6)
        best = min(best, (time.perf_counter() - start) / (steps - 6) / batch)
    return best * 1e6


def main() -> None:
    numba.set_num_threads(1)
    sizes = [tuple(map(int, text.split("x"))) for text in ARGS.sizes.split(",")]
    for dtype in (np.float64, np.float32):
        for n, m in sizes:
            gradients(n, m, dtype)
    print("\nwhole training iterations (AMSGrad, bas), microseconds per seed in a batch of 100")
    for n, m in ((8, 5), (12, 30)):
        numba.set_num_threads(1)
        one = iterations(n, m, 100)
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = iterations(n, m, 100)
        print(
            f"  n = {n}, m = {m}: one thread {one:.1f}, two threads {two:.1f} ({one / two:.2f} x)"
        )


if __name__ == "__main__":
    main()
