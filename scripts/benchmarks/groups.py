"""Sweeps of sqBMs of small hidden groups: time, and the floor that their matrices set.

For each Pauli set and number of groups that a visible unit couples to: processor time of a
collapsed sweep of all chains, of one log Tr exp(-H) in a sweep, and of one alone in a tight loop
(the kernel's floor) and by LAPACK.

    python scripts/benchmarks/groups.py
    python scripts/benchmarks/groups.py --visible 64 --groups 16 --size 4 --chains 100
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from timing import add_json, print_rows, write_json

from mc.kernels.groups import GroupSweeper
from tnqbm import SqBM
from tnqbm.kernels.group_traces import log_trace, work_numbers
from tnqbm.kernels.parallel import OPTIONS, njit
from tnqbm.kernels.simd import store

KEYS = np.array([1], np.uint64)
LOOP = 500


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The shortest processor time of a call."""
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return min(found)


@njit(**OPTIONS)
def traces(fields, constant, k, P, W, work, out, count):
    """``count`` times W traces, and nothing else."""
    for turn in range(count):
        store(out, 0, log_trace(fields, turn % 16 * W, constant, 0, k, P, W, work))


def tight_loop(model: SqBM) -> None:
    """Traces of the first group of a model in random fields."""
    layout, W = model.layout, 8
    k, P = len(layout.groups[0]), layout.n_paulis
    fields = np.random.default_rng(2).normal(size=(k * P + 16) * W)
    constant = layout.pack(model.to_vector()[None])[0, layout.first_matrix :]
    traces(fields, constant, k, P, W, np.empty(work_numbers(k, W)), np.empty(W), LOOP)


def mask(n: int, groups: int, size: int, linked: int) -> np.ndarray:
    """Units (n, groups size) that are coupled: each visible one to ``linked`` groups in a row."""
    home = np.arange(n) * groups // n
    ahead = (np.arange(groups) - home[:, None]) % groups
    return np.repeat(ahead < linked, size, axis=1)


def measure(
    n: int, groups: int, size: int, chains: int, paulis: str, linked: int, repeats: int
) -> dict[str, object]:
    model = SqBM(
        n, groups * size, paulis=paulis, hidden_edges=f"groups-{size}", visible_edges="ring",
        mask=mask(n, groups, size, linked), scale=0.1, seed=1,
    )  # fmt: skip
    sweeper, theta = GroupSweeper(model.layout), model.to_vector()[None]
    states = np.zeros((1, chains, n), np.uint8)
    sweeper.sweep(theta, states, KEYS, 0, 1)
    tight_loop(model)
    sweep = seconds(lambda: sweeper.sweep(theta, states, KEYS, 1, 1), repeats)
    alone = seconds(lambda: tight_loop(model), repeats) / (LOOP * 8)
    matrices = np.random.default_rng(0).normal(size=(200, 2**size, 2**size))
    if len(paulis) == 3:
        matrices = matrices + 1j * np.random.default_rng(1).normal(size=matrices.shape)
    lapack = seconds(lambda: np.linalg.eigvalsh(matrices), repeats) / 200
    each = chains * (n * linked + groups)
    return {
        "paulis": paulis,
        "linked": linked,
        "sweep ms": 1e3 * sweep,
        "a trace us": 1e6 * sweep / each,
        "floor ms": 1e3 * each * alone,
        "kernel us": 1e6 * alone,
        "LAPACK us": 1e6 * lapack,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visible", type=int, default=64)
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--size", type=int, default=4, help="qubits of a group, at most 4")
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    add_json(parser)
    given = parser.parse_args()
    shape = given.visible, given.groups, given.size, given.chains
    rows = [
        measure(*shape, paulis, linked, given.repeats)
        for paulis in ("Z", "XZ", "XYZ")
        for linked in (1, 2, given.groups)
    ]
    if given.json:
        write_json(given.json, "groups", rows, "lower")
    print_rows(rows)


if __name__ == "__main__":
    main()
