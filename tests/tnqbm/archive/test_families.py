"""Runs of other families in blocks: terms beside coefficients, checked where they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tnqbm
from tnqbm.archive.blocks import Block, RunRecord, decode, encode
from tnqbm.base.errors import ArchiveError
from tnqbm.core.model import SqRBM
from tnqbm.datasets import load
from tnqbm.hamiltonian import PauliHamiltonian, tfim

COORDINATES: dict[str, Any] = {
    "paulis": "XZ", "visible": 4, "hidden": 1, "data": "bas", "gradient": "exact",
    "family": "tfim", "visible_paulis": "XZ", "visible_edges": "ring", "hidden_edges": "none",
}  # fmt: skip


def record(seed: int, model: Any, coordinates: dict[str, Any]) -> RunRecord:
    path = tnqbm.train(model, load("bas", 4), iterations=5, snapshots=2)
    return RunRecord(coordinates, seed, path, "2026-01-01", "2026-01-02")


@pytest.fixture(scope="module")
def block() -> Block:
    models = [tfim(4, 1, visible_edges="ring", scale=0.5, seed=seed) for seed in (1, 2)]
    records = [record(k, model, COORDINATES) for k, model in enumerate(models)]
    return encode(records, {"host": "a"})


def test_models_come_back_with_their_terms(block: Block) -> None:
    again = decode(block.arrays, block.attributes, "it")
    first = block.trajectory(1)
    assert isinstance(first.model, PauliHamiltonian)
    assert block.arrays["terms"].tolist() == list(first.model.terms)
    assert again.trajectory(1).model == first.model
    assert [m for _, m in again.trajectory(1).snapshots] == [m for _, m in first.snapshots]
    assert again.select([1]).trajectory(0).model == first.model


def test_terms_are_among_the_numbers_of_a_run(block: Block) -> None:
    terms = block.arrays["terms"].copy()
    terms[[0, 1]] = terms[[1, 0]]
    other = Block(block.coordinates, block.seeds, {**block.arrays, "terms": terms}, {})
    assert block.fingerprint(0) == block.select([0]).fingerprint(0)
    assert other.fingerprint(0) != block.fingerprint(0)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (None, "has parameters of family 'tfim', but no terms"),
        (lambda terms: terms[:-1], "parameters has shape"),
        (lambda terms: np.char.replace(terms, "Z", "Q"), "contains"),
        (lambda terms: np.char.add(terms, "I"), "expected 5 letters"),
        (lambda terms: np.where(np.arange(terms.size) == 0, terms[1], terms), "occurs twice"),
        (lambda terms: np.zeros(terms.size), "terms holds fractions"),
        (lambda terms: np.array("ZIIII"), "has shape"),
    ],
)
def test_terms_that_do_not_fit_are_damage(block: Block, terms: Any, message: str) -> None:
    arrays = dict(block.arrays)
    given = arrays.pop("terms")
    if terms is not None:
        arrays["terms"] = terms(given)
    with pytest.raises(ArchiveError, match=message):
        decode(arrays, block.attributes, "it")


def test_terms_of_sqrbms_are_damage() -> None:
    plain = {key: COORDINATES[key] for key in list(COORDINATES)[:5]}
    block = encode([record(1, SqRBM.uniform(4, 1, "XZ", seed=1), plain)], {})
    assert "terms" not in block.arrays
    arrays = {**block.arrays, "terms": np.full(block.arrays["parameters"].shape[1], "IIIIZ")}
    with pytest.raises(ArchiveError, match="of no family that has any"):
        decode(arrays, block.attributes, "it")


def test_models_of_other_families_or_terms_are_refused() -> None:
    ring, line = (tfim(4, 1, visible_edges=edges, seed=1) for edges in ("ring", "line"))
    with pytest.raises(ValueError, match="which has other coordinates"):
        encode([record(1, SqRBM.uniform(4, 1, "XZ", seed=1), COORDINATES)], {})
    plain = {key: COORDINATES[key] for key in list(COORDINATES)[:5]}
    with pytest.raises(ValueError, match="which has other coordinates"):
        encode([record(1, ring, plain)], {})
    with pytest.raises(ValueError, match="different terms"):
        encode([record(1, ring, COORDINATES), record(2, line, COORDINATES)], {})
