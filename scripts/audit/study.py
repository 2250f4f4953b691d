"""The audit as a list of cells: what each one computes, from seeds of its own.

A cell is a dictionary of coordinates with a "kind"; its result is a function of the coordinates and
SEED alone. Kinds:

- "rank": ranks of the Jacobian at random parameters, for one shape and Pauli set;
- "special": the same where parameters are not generic;
- "fit": best fits of one shape to random models of another, at one weight scale;
- "control": fits whose answer is known;
- "scaling": the classical twin and the best RBM against one sqRBM whose parameters shrink;
- "schmidt": Schmidt values of hidden factors at the middle cut, and what they prove.

The target number t of a shape and scale is the same in all cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.model_tools.best_fit import BestFit, fit, kl_to
from tnqbm.model_tools.expansion import leading_kl, rank_one, rotated, scaled, stacked
from tnqbm.model_tools.jacobian import confirmed_rank, expected_rank, jacobian_rank, probabilities
from tnqbm.model_tools.rank_bounds import rank_bound
from tnqbm.model_tools.spectra import factor_spectra
from tnqbm.model_tools.structure import classical_twin, numerical_bond

Float = NDArray[np.float64]
Cell = dict[str, Any]
Result = dict[str, Any]

SEED = 20250217
SETS = ("Z", "X", "Y", "XZ", "YZ", "XY", "XYZ")
"""All seven sets of Paulis."""

SCALES = (0.1, 0.3, 1.0, 3.0)
"""Parameters of random targets are uniform in [-c, c]."""

STRENGTHS = (0.8, 0.4, 0.2, 0.1, 0.05, 0.025)
"""Factors on the parameters, uniform in [-1, 1] at 1, of "scaling" cells."""

PRECISION = 1e-12

_QUICK_SCALES = (0.3, 1.0)
_DRAWS = 10  # of parameters in a "rank" cell
_RANK_SCALE = 0.5
_TWINS = 4  # rotated twins that a fit starts from
_CONFIRM = 6  # most visible units whose ranks are confirmed in decimal arithmetic


def plan(*, quick: bool = False) -> list[Cell]:
    """All cells in order; ``quick`` a small choice of each kind, in seconds."""
    cells: list[Cell] = []
    for paulis in ("Z", "XZ", "XYZ") if quick else SETS:
        for n in (4, 5) if quick else range(4, 11):
            for m in (1, 2, 3) if quick else range(1, 5):
                cells.append({"kind": "rank", "paulis": paulis, "n": n, "m": m})
    cells += [{"kind": "special", "paulis": p, "n": 6, "m": 1} for p in ("Z", "XZ", "XYZ")]
    sizes = (8,) if quick else (8, 10, 12)
    cells += [
        {"kind": "schmidt", "paulis": paulis, "n": n, "scale": scale, "draws": 10}
        for n in sizes
        for paulis in ("Z", "XZ", "XYZ")
        for scale in SCALES
    ]
    return cells + _controls(quick) + _scaling(quick) + _fits(quick)


def compute(cell: Cell) -> Result:
    """The result of one cell; ValueError for a kind that does not exist."""
    kinds = {
        "rank": _rank,
        "special": _special,
        "schmidt": _schmidt,
        "control": _fit,
        "fit": _fit,
        "scaling": _scale,
    }
    if cell.get("kind") not in kinds:
        raise ValueError(f"unknown kind of cell {cell.get('kind')!r}; there are {', '.join(kinds)}")
    return kinds[cell["kind"]](cell)


def target_model(paulis: str, n: int, m: int, scale: float, t: int) -> SqRBM:
    """Random target number ``t`` of a shape: all parameters uniform in [-scale, scale]."""
    key = (len(paulis), n, m, round(1000 * scale), t)
    return SqRBM.uniform(
        n, m, paulis, scale=scale, seed=np.random.SeedSequence(SEED, spawn_key=key)
    )


def _fits(quick: bool) -> list[Cell]:
    """One qubit by k RBM units, P units by m qubits, at n = 6; then fewer of other sizes."""
    found: list[Cell] = []
    for paulis in ("XZ", "XYZ"):
        p = len(paulis)
        for k in (p,) if quick else range(1, 2 * p + 1):
            found += _cells((paulis, 1), ("Z", k), 6, 8, 8, quick=quick)
        for m in (1,) if quick else range(1, p):
            found += _cells(("Z", p), (paulis, m), 6, 8, 8, quick=quick)
    for paulis in () if quick else ("XZ", "XYZ"):
        p = len(paulis)
        for k in (p, p + 1, 2 * p):
            found += _cells((paulis, 1), ("Z", k), 8, 5, 6)
        for m in range(1, p):
            found += _cells(("Z", p), (paulis, m), 8, 5, 6)
    for paulis in () if quick else ("XZ", "XYZ"):
        p = len(paulis)
        found += _cells((paulis, 1), ("Z", p), 10, 4, 4, scales=(0.3, 1.0))
        found += _cells(("Z", p), (paulis, 1), 10, 4, 4, scales=(0.3, 1.0))
        found += _cells((paulis, 2), ("Z", 2 * p), 6, 5, 6, scales=(0.3, 1.0))
        found += _cells(("Z", 2 * p), (paulis, 2), 6, 5, 6, scales=(0.3, 1.0))
    for paulis in ("XZ", "XYZ"):
        found += _cells((paulis, 1), ("Z", len(paulis)), 4, 5, 4, quick=quick)
    return found


def _cells(
    source: tuple[str, int],
    fitted: tuple[str, int],
    n: int,
    targets: int,
    restarts: int,
    *,
    scales: tuple[float, ...] = SCALES,
    quick: bool = False,
) -> list[Cell]:
    """A "fit" cell for every scale: shapes as (Pauli set, hidden units) of targets and model."""
    return [
        {
            "kind": "fit",
            "n": n,
            "scale": scale,
            "target": source[0],
            "m": source[1],
            "paulis": fitted[0],
            "k": fitted[1],
            "targets": 2 if quick else targets,
            "restarts": 2 if quick else restarts,
        }
        for scale in (_QUICK_SCALES if quick else scales)
    ]


def _controls(quick: bool) -> list[Cell]:
    """Fits that must come out exact: a model by its own shape, a rank-1 qubit by one unit."""
    shapes = [("Z", 3, "Z", 3), ("XZ", 1, "XZ", 1), ("XYZ", 1, "XYZ", 1), ("rank-1", 1, "Z", 1)]
    return [
        {
            "kind": "control", "n": 6, "scale": scale, "target": target, "m": m, "paulis": paulis,
            "k": k, "targets": 2 if quick else 6, "restarts": 4 if quick else 12,
        }
        for target, m, paulis, k in shapes
        for scale in ((1.0,) if quick else (0.3, 1.0))
    ]  # fmt: skip


def _scaling(quick: bool) -> list[Cell]:
    return [
        {"kind": "scaling", "paulis": paulis, "n": n, "t": t, "restarts": 3 if quick else 6}
        for paulis in ("XZ", "XYZ")
        for n, targets in (((6, 1),) if quick else ((6, 4), (8, 2)))
        for t in range(targets)
    ]


def _rank(cell: Cell) -> Result:
    paulis, n, m = cell["paulis"], cell["n"], cell["m"]
    found = []
    for t in range(_DRAWS):
        key = (SETS.index(paulis), n, m, t)
        seed = np.random.SeedSequence(SEED + 1, spawn_key=key)
        found.append(jacobian_rank(SqRBM.uniform(n, m, paulis, scale=_RANK_SCALE, seed=seed)))
    result = {
        "expected": expected_rank(n, m, len(paulis)),
        "ranks": sorted({one.rank for one in found}),
        "gap": _short(min(one.gap for one in found)),
        "clear": all(one.clear for one in found),
    }
    if n <= _CONFIRM and m <= 2:
        model = SqRBM.uniform(n, m, paulis, scale=_RANK_SCALE, seed=SEED)
        rank, gap = confirmed_rank(model)
        result |= {"decimal_rank": rank, "decimal_gap": _short(gap)}
    return result


def _special(cell: Cell) -> Result:
    """Ranks where parameters are special: no field, no couplings, parallel rows, one row zero."""
    paulis, n, m = cell["paulis"], cell["n"], cell["m"]
    start = target_model(paulis, n, m, _RANK_SCALE, 0)
    zero = SqRBM(start.a, 0 * start.b, 0 * start.w, paulis)
    loose = SqRBM(start.a, start.b, 0 * start.w, paulis)
    one_row = np.arange(len(paulis)) == 0
    single = SqRBM(start.a, start.b * one_row[:, None], start.w * one_row[:, None, None], paulis)
    points = {
        "b = 0, w = 0": zero,
        "w = 0": loose,
        "rows parallel": rank_one(start),
        "one row": single,
        "b = 0": SqRBM(start.a, 0 * start.b, start.w, paulis),
    }
    return {
        "expected": expected_rank(n, m, len(paulis)),
        "ranks": {name: jacobian_rank(model).rank for name, model in points.items()},
    }


def target_of(cell: Cell, t: int) -> SqRBM:
    """Target number ``t`` of a "fit" or "control" cell."""
    if cell["target"] == "rank-1":
        return rank_one(target_model("XYZ", cell["n"], cell["m"], cell["scale"], t))
    return target_model(cell["target"], cell["n"], cell["m"], cell["scale"], t)


def _starts(source: SqRBM, paulis: str, k: int) -> list[SqRBM]:
    """Starts that use the target's parameters, which a control must not do."""
    if paulis == "Z" and len(source.paulis) * source.n_hidden == k:
        twins = [classical_twin(rotated(source, seed)) for seed in range(_TWINS)]
        return [classical_twin(source), *twins]
    if source.paulis == "Z" and source.n_hidden == len(paulis) * k:
        return [stacked(source, paulis)]
    return []


def _fit(cell: Cell) -> Result:
    paulis, k = cell["paulis"], cell["k"]
    rows: dict[str, list[Any]] = {
        name: []
        for name in ("kl", "tvd", "gradient_norm", "converged", "hits", "largest", "naive", "bound")
    }
    for t in range(cell["targets"]):
        source = target_of(cell, t)
        q = probabilities(source)
        starts = _starts(source, paulis, k) if cell["kind"] == "fit" else []
        found = fit(q, k, paulis, restarts=cell["restarts"], starts=starts, seed=SEED + t)
        _append(rows, found)
        rows["naive"].append(_short(kl_to(q, starts[0])) if starts else None)
        bound = rank_bound(q, k).tvd if paulis == "Z" and cell["kind"] == "fit" else None
        rows["bound"].append(None if bound is None else _short(bound))
    return rows


def _append(rows: dict[str, list[Any]], one: BestFit) -> None:
    rows["kl"].append(_short(one.kl))
    rows["tvd"].append(_short(one.tvd))
    rows["gradient_norm"].append(_short(one.gradient_norm))
    rows["converged"].append(one.converged)
    rows["hits"].append(_short(one.hits))
    rows["largest"].append(_short(float(np.abs(one.model.to_vector()).max())))


def _scale(cell: Cell) -> Result:
    paulis = cell["paulis"]
    whole = target_model(paulis, cell["n"], 1, 1.0, cell["t"])
    naive, best, gradient = [], [], []
    for c in STRENGTHS:
        model = scaled(whole, c)
        q = probabilities(model)
        starts = _starts(model, "Z", len(paulis))
        found = fit(q, len(paulis), "Z", restarts=cell["restarts"], starts=starts, seed=SEED)
        naive.append(_short(kl_to(q, starts[0])))
        best.append(_short(found.kl))
        gradient.append(_short(found.gradient_norm))
    return {
        "strengths": list(STRENGTHS), "naive": naive, "best": best, "gradient_norm": gradient,
        "leading": _short(leading_kl(whole)),
    }  # fmt: skip


def _schmidt(cell: Cell) -> Result:
    paulis, n, scale = cell["paulis"], cell["n"], cell["scale"]
    ranks, coarse, beyond, bounds = [], [], [], []
    for t in range(cell["draws"]):
        model = target_model(paulis, n, 1, scale, t)
        spectra, _ = factor_spectra(model.b[:, 0], model.w[:, :, 0])
        values = spectra[n // 2 - 1]
        ranks.append(numerical_bond(values, PRECISION))
        coarse.append(numerical_bond(values, 1e-4))
        # the share of the norm that P classical units of rank 2 cannot have
        beyond.append(_short(float(np.sqrt(np.square(values[2 ** len(paulis) :]).sum()))))
        if n <= 10:
            bounds.append(_short(rank_bound(probabilities(model), len(paulis)).tvd))
    return {"ranks": ranks, "coarse": coarse, "beyond": beyond, "bounds": bounds}


def _short(value: float) -> float | None:
    """Six digits: more would say nothing, and make the file large. None for what is no number."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
