"""Transverse fields on visible units too: the transverse-field Ising model against sqRBMs.

    python scripts/paper/transverse_qrbm.py -o transverse-qrbm.h5

Trains, from the same starts and on the same targets, the RBM ("Z"), the RBM with X fields on its
hidden units ("Z + X fields, hidden"), the QRBM that has them on all units ("Z + X fields, all",
tnqbm.hamiltonian.tfim), and the sqRBM with two Paulis ("XZ"). Its visible units are quantum, so the
Gibbs state is decomposed whole at every update: n = 4 and 6 and a few hidden units are what a core
does in minutes. Killed at any time, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MODELS = ("Z", "hidden", "all", "XZ")
"""The RBM; with X fields on its hidden units; on all units; with XZ couplings, too."""

NAMES = {
    "Z": "RBM (Z)",
    "hidden": "Z + X fields, hidden",
    "all": "Z + X fields, all (QRBM)",
    "XZ": "sqRBM XZ",
}

SAVE_SECONDS = 5.0


class Run(NamedTuple):
    """What tells one training from the others."""

    visible: int
    data: str
    hidden: int
    model: str
    seed: int


class Plan(NamedTuple):
    """Everything that decides the numbers of a file of results."""

    sizes: dict[int, list[int]]
    data: list[str]
    seeds: dict[int, int]
    iterations: int
    learning_rate: float = 0.1

    def runs(self) -> Iterator[Run]:
        """All trainings, those with few hidden units first."""
        sizes = sorted((m, n) for n, hidden in self.sizes.items() for m in hidden)
        for m, n in sizes:
            for data, seed in itertools.product(self.data, range(1, self.seeds[n] + 1)):
                # 16 strings of 4 bits are drawn by "on2": all there are.
                if not (data == "on2" and n == 4):
                    yield from (Run(n, data, m, model, seed) for model in MODELS)


FULL = Plan({4: [1, 2, 3], 6: [1, 2]}, ["bas", "on2", "cardinality", "parity"], {4: 10, 6: 4}, 1000)
QUICK = Plan({4: [1]}, ["bas", "parity"], {4: 2}, 50)


def seconds(runs: list[Run], iterations: int) -> float:
    """Forecast of the work, in seconds of one core, good to a factor of two or so."""
    # Fitted to measured times: an eigendecomposition beside much that does not grow with the size.
    each = [
        1e-3 + 1.8e-7 * 4.0 ** (run.visible + run.hidden) if run.model == "all" else 1e-4
        for run in runs
    ]
    return iterations * sum(each)


def train(run: Run, plan: Plan) -> tuple[float, float]:
    """Final TVD and KL divergence of one run: a function of the run and the plan alone."""
    import tnqbm
    from mc.studies.seeds import initial_stream, target_stream
    from tnqbm import hamiltonian
    from tnqbm.training.inputs import uncoupled

    n, m = run.visible, run.hidden
    stream = target_stream(0, run.data, n, run.seed if run.data == "on2" else 0)
    target = tnqbm.datasets.load(run.data, n, seed=stream)
    where: dict[str, Any] = {"visible": n, "hidden": m, "data": run.data}
    # One start for all four: they differ in which of its parameters they have.
    start = tnqbm.SqRBM.uniform(n, m, "XZ", seed=initial_stream(0, where, run.seed))
    how: dict[str, Any] = {"iterations": plan.iterations, "records": 2}
    how["learning_rate"] = plan.learning_rate
    if run.model == "XZ":
        found = tnqbm.train(start, target, **how)
    elif run.model == "Z":
        found = tnqbm.train(tnqbm.SqRBM(start.a, start.b[1:], start.w[1:], "Z"), target, **how)
    elif run.model == "hidden":
        frozen = uncoupled(n, m, "XZ", "Z")
        theta = np.where(frozen, 0.0, start.to_vector())
        field = tnqbm.SqRBM.from_vector(theta, n, m, "XZ")
        found = tnqbm.train(field, target, frozen=frozen, **how)
    else:
        visible = np.random.default_rng(initial_stream(1, where, run.seed)).uniform(-1, 1, n)
        found = tnqbm.train(
            hamiltonian.tfim(
                n,
                m,
                parameters={
                    "z": np.concatenate([start.a, start.b[1]]),
                    "x": np.concatenate([visible, start.b[0]]),
                    "w": start.w[1],
                },
            ),
            target,
            **how,
        )
    return found.final["tvd"], found.final["kl"]


def load(path: Path, plan: Plan | None) -> dict[Run, tuple[float, float]]:
    """Finished runs of a file, none if there is none; ValueError if another plan made it."""
    from tnqbm.files.storage import read_tree

    if not path.exists():
        return {}
    arrays, attributes = read_tree(path)
    if plan is not None:
        wanted = _attributes(plan)
        for key in ("iterations", "learning_rate"):
            if attributes.get(key) != wanted[key]:
                raise ValueError(
                    f"{path} was made with {key} = {attributes.get(key)}, not {wanted[key]}: "
                    "choose another output, or delete it"
                )
    names = ("visible", "data", "hidden", "model", "seed")
    rows = zip(*(arrays[name].tolist() for name in names), strict=True)
    values = zip(arrays["tvd"].tolist(), arrays["kl"].tolist(), strict=True)
    return {Run(*row): value for row, value in zip(rows, values, strict=True)}


def save(path: Path, plan: Plan, results: dict[Run, tuple[float, float]]) -> None:
    """Write all finished runs, in order; the file is whole or as it was before."""
    from tnqbm.files.storage import write_tree

    ordered = sorted(results)
    columns: dict[str, Any] = {
        name: np.array([getattr(run, name) for run in ordered]) for name in Run._fields
    }
    tvd, kl = np.array([results[run] for run in ordered]).reshape(-1, 2).T
    write_tree(path, {**columns, "tvd": tvd, "kl": kl}, _attributes(plan))


def _attributes(plan: Plan) -> dict[str, Any]:
    return {"iterations": plan.iterations, "learning_rate": plan.learning_rate}


def main(arguments: list[str] | None = None) -> int:
    """The command; 0, or 130 when it was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("transverse-qrbm.h5"))
    parser.add_argument("--quick", action="store_true", help="a few short runs, to try it out")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    results = load(options.output, plan)
    runs = [run for run in plan.runs() if run not in results]
    print(f"{len(runs)} runs to do, about {seconds(runs, plan.iterations) / 60:.1f} minutes")
    saved = time.monotonic()
    try:
        for k, run in enumerate(runs):
            results[run] = train(run, plan)
            if time.monotonic() - saved > SAVE_SECONDS or k + 1 == len(runs):
                save(options.output, plan, results)
                saved = time.monotonic()
                print(f"{k + 1} of {len(runs)}: n = {run.visible}, m = {run.hidden}", flush=True)
    except KeyboardInterrupt:
        if results:
            save(options.output, plan, results)
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
