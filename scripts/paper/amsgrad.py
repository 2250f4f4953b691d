"""What the variant of AMSGrad is worth: the maximum before or after the correction of the bias.

    python scripts/paper/amsgrad.py
    python scripts/paper/amsgrad.py --into docs/results.md

Exact training in plain NumPy, all seeds at once: 2000 updates, learning rate 0.1, from parameters
uniform in [-1, 1]. Printed are mean TVDs and the mean difference with its standard error, as
Markdown. "Maximum first" is what this package and the authors' code do, "correction first" what
Optax does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import tables
from numpy.typing import NDArray

Float = NDArray[np.float64]

CELLS = (("on2", 6, "Z", 5), ("on2", 6, "XZ", 3), ("on2", 6, "XYZ", 2), ("parity", 6, "XYZ", 3))
BETA1, BETA2, EPSILON, RATE, UPDATES, SEEDS = 0.9, 0.999, 1e-8, 0.1, 2000, 100


def gradient(theta: Float, q: Float, spins: Float, p: int) -> tuple[Float, Float]:
    """dL/dtheta (B, parameters) for targets q (B, 2**n), and the models' p(v) (B, 2**n)."""
    runs, n = len(theta), spins.shape[1]
    m = (theta.shape[1] - n) // (p * (n + 1))
    a, b, w = np.split(theta, [n, n + p * m], axis=1)
    b, w = b.reshape(runs, 1, p, m), w.reshape(runs, p, n, m)
    field = b + np.einsum("vi,rpim->rvpm", spins, w)
    r = np.sqrt(np.square(field).sum(axis=2))
    weight = -a @ spins.T + (r + np.log1p(np.exp(-2 * r))).sum(axis=2)
    model = np.exp(weight - weight.max(axis=1, keepdims=True))
    model /= model.sum(axis=1, keepdims=True)
    apart = q - model
    shares = np.tanh(r) / np.maximum(r, 1e-300)
    change = -apart[:, :, None, None] * shares[:, :, None] * field
    parts = (
        apart @ spins,
        change.sum(axis=1).reshape(runs, -1),
        np.einsum("vi,rvpm->rpim", spins, change).reshape(runs, -1),
    )
    return np.concatenate(parts, axis=1), model


def train(data: str, n: int, paulis: str, m: int, *, correct_first: bool) -> Float:
    """Final TVD (SEEDS,) of every run."""
    import tnqbm

    starts = [tnqbm.SqRBM.uniform(n, m, paulis, seed=s).to_vector() for s in range(1, SEEDS + 1)]
    theta = np.array(starts)
    q = np.array([tnqbm.datasets.load(data, n, seed=s).dense() for s in range(1, SEEDS + 1)])
    spins = 1.0 - 2.0 * np.array([[v >> (n - 1 - i) & 1 for i in range(n)] for v in range(2**n)])
    first, second, largest = np.zeros((3, *theta.shape))
    for t in range(1, UPDATES + 1):
        g, _ = gradient(theta, q, spins, len(paulis))
        first = BETA1 * first + (1 - BETA1) * g
        second = BETA2 * second + (1 - BETA2) * g * g
        correction = 1 - BETA2**t
        if correct_first:
            largest = np.maximum(largest, second / correction)
            root = np.sqrt(largest)
        else:
            largest = np.maximum(largest, second)
            root = np.sqrt(largest / correction)
        theta = theta - RATE * first / (1 - BETA1**t) / (root + EPSILON)
    _, model = gradient(theta, q, spins, len(paulis))
    return 0.5 * np.abs(model - q).sum(axis=1)


def table() -> str:
    """Markdown: a row for each cell."""
    lines = [
        "| data, n | model | m | maximum first | correction first | difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for data, n, paulis, m in CELLS:
        raw, corrected = (train(data, n, paulis, m, correct_first=first) for first in (False, True))
        apart = corrected - raw
        error = apart.std(ddof=1) / np.sqrt(SEEDS)
        lines.append(
            f"| {data}, {n} | {paulis} | {m} | {raw.mean():.3f} | {corrected.mean():.3f} "
            f"| {apart.mean():+.3f} +- {error:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the table into a page")
    options = parser.parse_args(arguments)
    found = table()
    if options.into is None:
        print(found, end="")
    else:
        tables.put(options.into, {"amsgrad": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
