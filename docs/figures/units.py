"""Draw the log weight of one qubit beside that of two classical spins: python units.py OUT.png."""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from tnqbm.core.model import log_2cosh


def main(path: str) -> None:
    """Write the figure to ``path``."""
    x = np.linspace(-3.0, 3.0, 241)
    first, second = np.meshgrid(x, x)
    qubit = log_2cosh(np.hypot(first, second))
    spins = log_2cosh(np.abs(first)) + log_2cosh(np.abs(second)) - np.log(2.0)
    titles = {
        "one qubit: log 2cosh |Φ|": qubit,
        "two spins: sum of log 2cosh Φ, less log 2": spins,
    }
    levels = np.arange(1.0, 5.6, 0.5)
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.3), sharey=True, layout="constrained")
    drawn = None
    for axis, (title, values) in zip(axes, titles.items(), strict=True):
        drawn = axis.contourf(first, second, values, levels=levels, cmap="viridis", extend="both")
        axis.contour(first, second, values, levels=levels, colors="white", linewidths=0.6)
        axis.set_title(title, fontsize=10)
        axis.set_aspect("equal")
        axis.set_xlabel("field along X")
    axes[0].set_ylabel("field along Z")
    figure.colorbar(drawn, ax=axes, shrink=0.9, label="log weight")
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main(sys.argv[1])
