"""Time and memory of one update of a large sqRBM by persistent contrastive divergence.

    python scripts/benchmarks/large.py                                    # n = m = 512, XYZ
    mpiexec -n 2 python scripts/benchmarks/large.py --visible 64 --hidden 64 --chains 1000 --steps 5

Under mpiexec all ranks share the one run. The checksum of the parameters must be the same for any
number of ranks and threads. NUMBA_NUM_THREADS sets the threads of a rank, 1 by default here.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import zlib

from timing import add_json, write_json

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--visible", type=int, default=512)
parser.add_argument("--hidden", type=int, default=512)
parser.add_argument("--paulis", default="XYZ")
parser.add_argument("--chains", type=int, default=100)
parser.add_argument("--steps", type=int, default=1, help="sweeps per update")
parser.add_argument("--updates", type=int, default=10, help="updates a round")
parser.add_argument("--rounds", type=int, default=3, help="the fastest counts")
parser.add_argument("--precision", default="single")
add_json(parser)
ARGS = parser.parse_args()

import numpy as np  # noqa: E402

import tnqbm  # noqa: E402
from mc.estimators.settings import provide  # noqa: E402
from mc.running.ranks import connect  # noqa: E402
from mc.running.team import join  # noqa: E402
from tnqbm import Trainer, TrainingSettings  # noqa: E402
from tnqbm.training import SqRBMProblem  # noqa: E402


def main() -> None:
    provide()
    ranks = connect()
    team = join(ranks, ranks.size)
    n, m = ARGS.visible, ARGS.hidden
    rows = np.random.default_rng(1).integers(0, 2, (1000, n), dtype=np.uint8)
    settings = TrainingSettings(
        gradient="pcd", batch_size=100, chains=ARGS.chains, steps=ARGS.steps,
        optimizer="sgd", learning_rate=0.01, precision=ARGS.precision, records=1, evaluate="none",
        iterations=1_000_000,
    )  # fmt: skip
    model = tnqbm.SqRBM.uniform(n, m, ARGS.paulis, scale=0.05, seed=1)
    trainer = Trainer(SqRBMProblem([model], [tnqbm.Target.from_samples(rows)]), settings, team=team)
    trainer.advance(2)  # compiles
    best = np.inf
    for _ in range(ARGS.rounds):
        begin = time.perf_counter()
        trainer.advance(ARGS.updates)
        best = min(best, (time.perf_counter() - begin) / ARGS.updates)
    if ranks.rank == 0:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = {"n": n, "m": m, "paulis": ARGS.paulis, "chains": ARGS.chains, "k": ARGS.steps}
        row |= {"precision": ARGS.precision, "ranks": ranks.size}
        if ARGS.json:
            write_json(ARGS.json, "large", [row | {"ms": best * 1e3, "MB": memory}], "lower")
        print(
            f"{ARGS.paulis} n = {n}, m = {m}, {ARGS.chains} chains, k = {ARGS.steps}, "
            f"{ARGS.precision}, {ranks.size} ranks: {best * 1e3:.1f} ms per update, "
            f"{memory:.0f} MB for the process of rank 0, "
            f"parameters {zlib.crc32(trainer.parameters.tobytes()):08x}"
        )
    ranks.close()


if __name__ == "__main__":
    main()
