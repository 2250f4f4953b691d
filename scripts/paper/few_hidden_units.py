"""Few hidden units: models in closed form, what training reaches, and what RBMs cannot do.

    python scripts/paper/few_hidden_units.py --into docs/few-hidden-units.md

Prints a table for ``cardinality`` and one for ``bas``, and puts them between marks of a page. Best
TVD of 20 trained models (exact gradients, AMSGrad with rate 0.1, 4000 updates): a success shows
that a model exists, a failure only that none was found.
"""

from __future__ import annotations

import argparse
from math import comb
from pathlib import Path

import tables

from tnqbm import SqRBM, Trainer, TrainingSettings, exact
from tnqbm.core.metrics import total_variation
from tnqbm.datasets import load
from tnqbm.model_tools.constructions import bars_and_stripes, cardinality
from tnqbm.model_tools.rank_bounds import least_hidden
from tnqbm.training import SqRBMProblem

SEEDS, UPDATES, THRESHOLD = 20, 4000, 0.2


def best_trained(data: str, n: int, m: int, paulis: str) -> float:
    """Smallest final TVD of all seeds, which are trained as a batch."""
    target = load(data, n)
    models = [SqRBM.uniform(n, m, paulis, seed=seed) for seed in range(SEEDS)]
    settings = TrainingSettings(iterations=UPDATES, records=2)
    trainer = Trainer(SqRBMProblem(models, [target] * SEEDS), settings)
    trainer.advance(UPDATES + 1)
    return min(float(path.tvd[-1]) for path in trainer.trajectories())


def distance(data: str, model: SqRBM) -> float:
    """TVD of a model from a data set."""
    return total_variation(load(data, model.n_visible).dense(), exact.probabilities(model))


def of_cardinality() -> list[list[str]]:
    """Rows of the first table."""
    rows = []
    for n in (4, 6, 8, 10):
        for paulis in ("Z", "XZ", "XYZ"):
            m = -(-(n - 1) // len(paulis))
            fewer = best_trained("cardinality", n, m - 1, paulis)
            bound = least_hidden(comb(n, n // 2), THRESHOLD) if paulis == "Z" else None
            rows.append(
                [
                    str(n), paulis, str(m),
                    f"{distance('cardinality', cardinality(n, paulis)):.4f}",
                    f"{best_trained('cardinality', n, m, paulis):.3f}", f"{fewer:.3f}",
                    "" if bound is None else str(bound),
                ]
            )  # fmt: skip
    return rows


def of_bars_and_stripes() -> list[list[str]]:
    """Rows of the second table."""
    rows = []
    for n in (6, 8, 10, 12):
        cells = [
            f"{best_trained('bas', n, m, paulis):.3f}"
            for paulis, m in (("XZ", 1), ("XZ", 2), ("XYZ", 1), ("XYZ", 2))
        ]
        for m in range(1, n):
            classical = best_trained("bas", n, m, "Z")
            if classical < THRESHOLD:
                break
        rows.append(
            [
                str(n),
                f"{distance('bas', bars_and_stripes(n)):.4f}",
                *cells,
                f"{m} ({classical:.3f})",
            ]
        )
    return rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, help="page whose tables are replaced")
    chosen = parser.parse_args()
    found = {
        "cardinality": table(
            ["n", "Paulis", "m = ceil((n - 1) / P)", "in closed form", "trained", "trained, m - 1",
             "an RBM needs at least"],
            of_cardinality(),
        ),
        "bas": table(
            ["n", "in closed form, XZ m = 3", "trained XZ m = 1", "XZ m = 2", "XYZ m = 1",
             "XYZ m = 2", "least m of trained RBMs (TVD)"],
            of_bars_and_stripes(),
        ),
    }  # fmt: skip
    print(*found.values(), sep="\n")
    if chosen.into:
        tables.put(chosen.into, found)


if __name__ == "__main__":
    main()
