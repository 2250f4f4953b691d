"""log Z of final models from both sides, and likelihoods of their test rows."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mc
import tnqbm
from mc.sampling.log_z.policies import Visited
from mc.sampling.policies import Tempered
from tnqbm.files.atomic import atomic_write
from tnqbm.quality import mean_discrepancy

SIGMAS = 2.0
"""Standard errors on either side of log Z that its bracket has."""
NARROW = 0.1
"""Width of a bracket (nats) at which no further method is tried."""
SAMPLES = 10_000
"""Of a model whose squared MMD is measured, and at most as many test rows."""
EXACT = 20
"""Visible units up to which all states are summed over."""

ANNEALING = mc.Annealing("both", chains=500, betas=2000, precision="single")
METHODS = (
    replace(ANNEALING, direction="forward"),
    ANNEALING,
    replace(ANNEALING, betas=8000),
    Visited(1000, Tempered(chains=20, thin=5, precision="single")),
)
"""Ways to log Z, tried in turn. The first bounds it from one side only."""


@dataclass(frozen=True)
class Measures:
    """What final models are asked: log Z by these methods, and the MMD of a bandwidth, if any."""

    methods: tuple[mc.Annealing | Visited, ...]
    bandwidth: float | None


def certify(
    model: tnqbm.SqRBM,
    data: tnqbm.Target,
    methods: tuple[mc.Annealing | Visited, ...],
    seed: int,
) -> mc.Estimate:
    """log Z: exactly, or the most precise trusted one of what is tried until it is narrow."""
    if model.n_visible <= EXACT:
        return mc.log_partition(model, "exact")
    best: mc.Estimate | None = None
    for method in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mc.EstimateWarning)  # the table says what is trusted
            found = mc.log_partition(model, method, data=data, seed=seed)
        if best is None or _worth(found) < _worth(best):
            best = found
        if best.trusted and 2 * SIGMAS * best.standard_error <= NARROW:
            break
    assert best is not None
    return best


def _worth(estimate: mc.Estimate) -> tuple[bool, float]:
    return not estimate.trusted, estimate.standard_error


def _row(archive: Path, index: int, asked: Measures) -> tuple[dict[str, Any], Any]:
    """One run: its numbers, and log p of every test row."""
    with tnqbm.Archive(archive) as opened:
        run = list(opened.runs())[index]
        where, seed, model = run.coordinates, int(run.coordinates["seed"]), run.model
        study = mc.load_study(opened.study_text + "\n", archived=True)
    train = study.target(where, seed)
    test = study.test_target(where)
    assert model is not None
    assert test is not None
    assert test.counts is not None
    rows = np.repeat(test.states, test.counts, axis=0)
    log_z = certify(model, train, asked.methods, seed)
    log_p = mc.log_likelihoods(model, rows, log_z)
    half = SIGMAS * log_z.standard_error
    row = {
        "paulis": model.paulis,
        "hidden": model.n_hidden,
        "parameters": model.n_parameters,
        "seed": seed,
        "trial": where["gradient"],
        "log_z": log_z.value,
        "lower": log_z.value - half,
        "upper": log_z.value + half,
        "bound": log_z.lower_bound,
        "method": log_z.method,
        "trusted": log_z.trusted,
        "test": float(log_p.mean()),
        "train": mc.log_likelihood(model, train, log_z).value,
        "independent": _independent(train, rows),
    }
    if asked.bandwidth is not None:
        row["mmd"] = _discrepancy(model, log_z.value, rows, asked.bandwidth, seed)
    print(f"{archive.stem}: {where}: {row['test']:.3f}", file=sys.stderr, flush=True)
    return row, log_p


def _independent(train: tnqbm.Target, rows: NDArray[np.uint8]) -> float:
    """Mean log-likelihood of ``rows`` under independent bits, with one bit of each kind added."""
    assert train.counts is not None
    ones = (train.counts @ train.states + 1.0) / (train.counts.sum() + 2.0)
    mean = rows.mean(axis=0)
    return float((mean * np.log(ones) + (1 - mean) * np.log1p(-ones)).sum())


def _discrepancy(
    model: tnqbm.SqRBM, log_z: float, rows: NDArray[np.uint8], bandwidth: float, seed: int
) -> tuple[float, float]:
    """Squared MMD of exact samples of the model and the test rows, and its standard error."""
    states = np.arange(1 << model.n_visible)[:, None] >> np.arange(model.n_visible) & 1
    states = states.astype(np.uint8)
    p = np.exp(model.log_weight(states) - log_z)
    drawn = states[np.random.default_rng(seed).choice(len(p), SAMPLES, p=p / p.sum())]
    found = mean_discrepancy(drawn, rows, bandwidths=[bandwidth], max_points=SAMPLES, seed=seed)
    return found.squared[0].value, found.squared[0].standard_error


def _kept(
    archive: Path, index: int, asked: Measures, folder: Path, digest: str
) -> tuple[dict[str, Any], Any]:
    """:func:`_row`, which takes minutes, kept in a file of ``folder`` for an interrupted league."""
    path = folder / f"{index}.json"
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["archive"] == digest:
            return kept["run"], np.array(kept["log_p"])
    row, log_p = _row(archive, index, asked)
    with atomic_write(path) as written:
        written.write_text(json.dumps({"archive": digest, "run": row, "log_p": log_p.tolist()}))
    return row, log_p


def evaluate(archive: Path, result: Path, asked: Measures, *, workers: int) -> None:
    """Evaluate all runs of an archive, unless that is done; log p of all rows is in RESULT.npz."""
    with tnqbm.Archive(archive) as opened:
        count, digest = len(list(opened.runs())), opened.fingerprint()
    if result.is_file() and json.loads(result.read_text())["archive"] == digest:
        return
    folder = result.with_suffix(".runs")
    folder.mkdir(exist_ok=True)
    same = repeat(archive), range(count), repeat(asked), repeat(folder), repeat(digest)
    if workers == 1:
        found = list(map(_kept, *same))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_kept, *same))
    np.savez_compressed(result.with_suffix(".npz"), log_p=np.array([p for _, p in found]))
    with atomic_write(result) as path:
        path.write_text(
            json.dumps({"archive": digest, "runs": [row for row, _ in found]}, indent=1)
        )
    shutil.rmtree(folder)
