"""Training bars and stripes on measured averages: ideal, with Aer, and on a noisy device.

    python scripts/quantum/train_small.py --figure train_small.png

Trains the same models (4 visible units, 2 hidden qubits) on exact gradients and on averages from
shots, and draws the total variation distance of each. Needs the extras "quantum" and "plot".
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from tnqbm import SqRBM, Trajectory, datasets, train

WAYS: dict[str, dict[str, Any]] = {
    "exact": {},
    "imaginary time, no noise": {"shots": 1_000_000},
    "enhanced chains, no noise": {"strategy": "enhanced", "chains": 100, "steps": 5},
    "enhanced chains, Aer": {
        "strategy": "enhanced", "chains": 100, "steps": 5, "backend": "aer",
    },
    "thermal, Aer": {"strategy": "thermal", "chains": 100, "steps": 5, "backend": "aer"},
    "enhanced chains, noisy device": {
        "strategy": "enhanced", "chains": 100, "steps": 3, "backend": "aer:noisy",
    },
}  # fmt: skip
"""Settings of the estimators that are compared, besides the common ones."""


def run(paulis: str, way: str, seed: int, iterations: int) -> Trajectory:
    """One training; prints a line of JSON."""
    start = SqRBM.uniform(4, 2, paulis, scale=0.1, seed=seed)
    settings = dict(WAYS[way])
    if settings:
        settings["gradient"] = "quantum"
    began = time.perf_counter()
    found = train(
        start,
        datasets.load("bas", 4),
        iterations=iterations,
        learning_rate=0.05,
        evaluate="exact",
        **settings,
    )
    if found.tvd is None:
        raise RuntimeError("no total variation distance was recorded")
    line = {
        "paulis": paulis,
        "way": way,
        "seed": seed,
        "tvd": round(float(found.tvd[-1]), 4),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(line), flush=True)
    return found


def draw(results: dict[tuple[str, str], list[Trajectory]], path: Path) -> None:
    """Total variation distance against updates, a panel for each set of Paulis: means of seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sets = list(dict.fromkeys(paulis for paulis, _ in results))
    figure, axes = plt.subplots(
        1, len(sets), figsize=(5.0 * len(sets), 4.0), sharey=True, squeeze=False
    )
    for axis, paulis in zip(axes[0], sets, strict=True):
        for k, way in enumerate(way for one, way in results if one == paulis):
            runs = results[paulis, way]
            mean = np.mean([one.tvd for one in runs if one.tvd is not None], axis=0)
            style = {"color": "black", "lw": 2.5} if way == "exact" else {"color": f"C{k}"}
            axis.semilogy(runs[0].step, mean, label=way, **style)
        axis.set_title(f"$W_h$ = {', '.join(paulis)}")
        axis.set_xlabel("Updates")
    axes[0, 0].set_ylabel("Total variation distance")
    axes[0, -1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    print(f"{path}: written")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--paulis", nargs="+", default=["XZ", "XYZ"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--figure", type=Path, default=None, help="where the figure goes")
    arguments = parser.parse_args()
    results = {
        (paulis, way): [
            run(paulis, way, seed, arguments.iterations) for seed in range(arguments.seeds)
        ]
        for paulis in arguments.paulis
        for way in arguments.ways
    }
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
