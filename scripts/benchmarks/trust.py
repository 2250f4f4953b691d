"""How far estimates of log Z can be trusted: compared with enumeration, also on models that fool.

    python scripts/benchmarks/trust.py                    # some 20 processor minutes
    python scripts/benchmarks/trust.py --quick            # smaller models, fewer chains: one minute
    python scripts/benchmarks/trust.py --seeds 7 --repeats 1 --methods ais
    python scripts/benchmarks/trust.py --methods mbar     # needs the extra mbar
    python scripts/benchmarks/trust.py --help

For every set of Paulis: random, trained and ferromagnetic models, Hopfield models with a few
patterns in as many hidden units, and traps, whose two deep modes no chain connects. "missed" are
values wrong by more than five of their stated standard errors that are trusted nevertheless,
"alarms" values right within five that are not. "within 1, 2, 3" are shares of trusted values within
so many standard errors (0.68, 0.95, 0.997 if errors were normal and error bars exact). The method
"certified" may not take the exact value, as it would do here.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

PAULIS = ("Z", "XZ", "XYZ")
QUICK = {"chains": 200, "betas": 200, "samples": 1000, "max_bond": 32}
OWN = {"visited": {"chains": 20, "samples": 500}, "mbar": {}}
"""Settings of methods that rest on tempered chains."""
KINDS = ("random", "trained", "ferromagnet", "hopfield", "trap")


class Case(NamedTuple):
    """A model of a kind, with its exact log Z."""

    kind: str
    name: str
    model: Any
    log_z: float


def trap(depth: float, tilt: float, paulis: str = "Z", n: int = 20, field: float = 1.2) -> Any:
    """All up or all down, ``depth`` per unit deep, weights apart by exp(tilt): one hidden unit."""
    from tnqbm import SqRBM

    axis = np.ones(len(paulis)) / np.sqrt(len(paulis))
    w = np.tile(depth * axis[:, None, None], (1, n, 1))
    return SqRBM(np.full(n, field), (n * field + tilt / 2) * axis[:, None], w, paulis)


def cases(seed: int, largest: int = 14, paulis: tuple[str, ...] = PAULIS) -> Iterator[Case]:
    """Models with at most ``largest`` visible units, drawn anew for every seed, and fixed traps."""
    from tnqbm import exact

    rng = np.random.default_rng(seed)
    for letters in paulis:
        for kind, name, model in _drawn(rng, letters, largest):
            yield Case(
                kind, f"{name} {letters} n={model.n_visible}", model, exact.log_partition(model)
            )


def fixed_traps(paulis: tuple[str, ...] = PAULIS) -> Iterator[Case]:
    """Traps of 20 units: equal modes, unequal ones, shallow and deep."""
    from tnqbm import exact

    for depth, tilt in ((4.0, 0.0), (2.5, 3.0), (3.0, 1.0), (2.0, 6.0)):
        for letters in paulis:
            model = trap(depth, tilt, letters)
            name = f"depth {depth} tilt {tilt} {letters}"
            yield Case("trap", name, model, exact.log_partition(model))


def _drawn(rng: np.random.Generator, paulis: str, largest: int) -> Iterator[tuple[str, str, Any]]:
    import tnqbm

    p = len(paulis)

    def size() -> int:
        return int(rng.integers(min(10, largest), largest + 1))

    def axes(count: int) -> Any:
        found = rng.normal(size=(p, count))
        return found / np.linalg.norm(found, axis=0)

    for scale in (0.1, 0.3, 0.7, 1.0, 1.5, 2.0, 3.0):
        m, key = int(rng.integers(2, largest + 1)), int(rng.integers(1 << 30))
        model = tnqbm.SqRBM.uniform(size(), m, paulis, scale=scale, seed=key)
        yield "random", f"scale {scale} m={m}", model
    for data in ("bas", "cardinality", "on2", "parity"):
        for iterations in (100, 600):
            n, m, key = (
                int(rng.choice([8, 10])),
                int(rng.integers(2, 11)),
                int(rng.integers(1 << 30)),
            )
            target = tnqbm.datasets.load(data, n, seed=key)
            start = tnqbm.SqRBM.uniform(n, m, paulis, seed=key)
            run = tnqbm.train(start, target, iterations=iterations, records=2)
            yield "trained", f"{data} m={m}, {iterations} updates", run.model
    for m in (1, 3, 8):
        n = size()
        w = rng.uniform(0.1, 1.0, m) * axes(m)
        b = 0.1 * rng.normal(size=(p, m))
        model = tnqbm.SqRBM(
            np.full(n, 0.05 * rng.normal()), b, np.tile(w[:, None], (1, n, 1)), paulis
        )
        yield "ferromagnet", f"m={m}", model
    for patterns in (2, 3, 5):
        n, strength = size(), rng.uniform(0.2, 1.2)
        w = strength * axes(patterns)[:, None] * rng.choice([-1.0, 1.0], (n, patterns))
        model = tnqbm.SqRBM(0.05 * rng.normal(size=n), np.zeros((p, patterns)), w, paulis)
        yield "hopfield", f"{patterns} patterns of strength {strength:.2f}", model
    for _ in range(4):
        n, m = size(), int(rng.integers(1, 6))
        depth, tilt, field = rng.uniform(1.5, 5.0), 3.0 * rng.normal(), rng.uniform(0.3, 1.5)
        pattern, axis = rng.choice([-1.0, 1.0], n), axes(1)[:, 0]
        w, b = rng.uniform(-0.3, 0.3, (p, n, m)), rng.uniform(-0.3, 0.3, (p, m))
        w[:, :, 0] = depth * axis[:, None] * pattern * rng.uniform(0.7, 1.3, n)
        b[:, 0] = (n * field + tilt / 2) * axis
        yield (
            "trap",
            f"depth {depth:.1f} tilt {tilt:.1f}",
            tnqbm.SqRBM(field * pattern, b, w, paulis),
        )


class Row(NamedTuple):
    """What one method said of one model: ``off`` in nats, ``error`` as stated."""

    method: str
    kind: str
    name: str
    seed: int
    off: float
    error: float
    trusted: bool
    seconds: float

    @property
    def errors(self) -> float:
        """How many stated standard errors the value is off, rounding apart."""
        return max(0.0, abs(self.off) - 1e-9) / max(self.error, 1e-300)


def rows_of(case: Case, method: str, seed: int, **options: Any) -> list[Row]:
    """Estimates of one model's log Z; "both" gives its forward part, "ais", as well."""
    import mc
    from mc.sampling.log_z.policies import ESTIMATORS
    from mc.sampling.policies import with_settings

    policy = with_settings(ESTIMATORS[method], OWN.get(method, options))
    begun = time.process_time()
    with warnings.catch_warnings(), patch("mc.sampling.partition.affordable", lambda model: False):
        warnings.simplefilter("ignore", mc.EstimateWarning)
        found = mc.log_partition(case.model, policy, seed=seed)
    spent = time.process_time() - begun
    parts = [found] if found.forward is None else [found, found.forward]
    return [
        Row(
            one.method, case.kind, case.name, seed, one.value - case.log_z, one.standard_error,
            one.trusted, spent,
        )
        for one in parts
    ]  # fmt: skip


def quick_rows(seed: int, paulis: tuple[str, ...] = PAULIS) -> list[Row]:
    """Models of up to ten units, and traps: annealing of each, networks of every third, both
    directions of every sixth, with few chains, temperatures and samples."""
    models = [*cases(seed, largest=10, paulis=paulis), *fixed_traps(("Z", "XZ"))]
    return [
        row
        for k, case in enumerate(models)
        for method, every in (("ais", 1), ("tensor", 3), ("both", 6))
        if k % every == 0
        for row in rows_of(case, method, 1, **QUICK)
        if row.method == method
    ]


def missed(rows: list[Row]) -> list[Row]:
    """Wrong by more than five stated standard errors, and trusted."""
    return [row for row in rows if row.trusted and row.errors > 5.0]


def alarms(rows: list[Row]) -> tuple[list[Row], int]:
    """Right within five stated standard errors and not trusted; how many are right."""
    right = [row for row in rows if row.errors <= 5.0]
    return [row for row in right if not row.trusted], len(right)


def covered(rows: list[Row]) -> list[float]:
    """Shares of trusted values within one, two and three stated standard errors."""
    z = np.array([row.errors for row in rows if row.trusted])
    return [float((z <= k).mean()) if z.size else np.nan for k in (1.0, 2.0, 3.0)]


def summary(rows: list[Row]) -> list[dict[str, Any]]:
    """The table: a line for every method and kind, and for all kinds together."""
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        for kind in (*KINDS, "all"):
            here = [row for row in rows if row.method == method and kind in (row.kind, "all")]
            if not here:
                continue
            false, right = alarms(here)
            shares = dict(zip(("within 1", "2", "3"), covered(here), strict=True))
            lines.append(
                {
                    "method": method, "models": kind, "estimates": len(here),
                    "missed": len(missed(here)), "alarms": f"{len(false)} of {right}", **shares,
                    "seconds": float(np.median([row.seconds for row in here])),
                }
            )  # fmt: skip
    return lines


def main() -> None:
    from timing import add_json, print_rows, write_json

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["both", "tensor"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102], help="of the models")
    parser.add_argument("--paulis", nargs="+", default=PAULIS, help="default Z XZ XYZ")
    parser.add_argument(
        "--repeats", type=int, default=2, help="estimates of every model, default 2"
    )
    parser.add_argument("--largest", type=int, default=14, help="visible units, default 14")
    parser.add_argument("--chains", type=int, default=500, help="default 500")
    parser.add_argument(
        "--betas", type=int, default=1000, help="inverse temperatures, default 1000"
    )
    parser.add_argument("--samples", type=int, default=4000, help="of the network, default 4000")
    parser.add_argument("--max-bond", type=int, default=128, help="of the network, default 128")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smaller set; of the options above only --seeds and --paulis count",
    )
    parser.add_argument("--verbose", action="store_true", help="print what was missed, and alarms")
    add_json(parser)
    chosen = parser.parse_args()
    options = {
        "chains": chosen.chains, "betas": chosen.betas, "samples": chosen.samples,
        "max_bond": chosen.max_bond,
    }  # fmt: skip
    if chosen.quick:
        rows = [row for seed in chosen.seeds for row in quick_rows(seed, tuple(chosen.paulis))]
    else:
        models = [
            case for seed in chosen.seeds for case in cases(seed, chosen.largest, chosen.paulis)
        ]
        rows = [
            row
            for case in [*models, *fixed_traps()]
            for method in chosen.methods
            for seed in range(1, chosen.repeats + 1)
            for row in rows_of(case, method, seed, **options)
        ]
    if chosen.json:
        write_json(chosen.json, "trust", [row._asdict() for row in rows])
    print_rows(summary(rows))
    if chosen.verbose:
        for row in [*missed(rows), *alarms(rows)[0]]:
            print(f"{row.method} {row.name} seed {row.seed}: {row.off:.2g} +- {row.error:.2g}")


if __name__ == "__main__":
    main()
