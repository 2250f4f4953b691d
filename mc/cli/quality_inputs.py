"""What ``tnqbm quality`` compares: the data, split as in training, and samples from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mc.cli.which_model import NamedModel
    from tnqbm.datasets import Target

    States = NDArray[np.uint8]


@dataclass(frozen=True)
class QualityData:
    """Rows to compare with: trained on (M, n), held out (K, n); the distribution, if known."""

    name: str
    rows: States
    test: States | None
    target: Target | None
    drawn: bool


def data_reader(
    named: NamedModel,
    data: str | None,
    data_seed: int,
    fraction: float | None,
    split_seed: int | None,
) -> Callable[[tuple[int, int] | None], QualityData]:
    """The data, checked before any sampling; called with (rows to draw, seed) or None for few.

    Rows of a run's own data are split as they were when it was trained.
    """
    from mc.studies.archived import data_split
    from tnqbm import datasets
    from tnqbm.core import streams

    n = named.model.n_visible
    if data is None and named.data is None:
        raise click.UsageError(f"{named.path} is a saved model, which has no data; give --data")
    name = named.own_source() if data is None else data
    own = data is None or Path(data).name == Path(str(named.data)).name
    valid, repeats = 0.0, datasets.natural_repeats(name)
    if named.archive is not None and own:
        parts, root = data_split(named.archive)
        fraction = parts.test if fraction is None else fraction
        split_seed = root if split_seed is None else split_seed
        valid, repeats = parts.valid, parts.repeats
    datasets.check(name, n)
    if datasets.is_exact(name) and fraction:
        raise ValueError(
            f"data set {name!r} is known exactly, so holding out a part of it makes no sense; "
            "leave --test-fraction away"
        )
    if datasets.is_exact(name):
        target = named.own_target() if data is None else datasets.load(name, n, seed=data_seed)

        def draw(size: tuple[int, int] | None) -> QualityData:
            count, seed = size or (target.n_states, 0)
            rng = streams.generator((seed, streams.Second.DATA))
            chosen = rng.choice(target.n_states, count, p=target.probabilities)
            return QualityData(name, target.states[chosen], None, target, drawn=True)

        return draw
    rows = datasets.samples(name, n, seed=data_seed)
    train, _, test = datasets.split(
        rows, fraction or 0.0, valid_fraction=valid, repeats=repeats, seed=split_seed or 0
    )
    return lambda _: QualityData(name, train, test if len(test) else None, None, drawn=False)


def read_chains(file: str, n: int) -> tuple[States, dict[str, Any]]:
    """Samples of a file, as chains if it says how many there are."""
    from mc.cli.samples_file import chains_of
    from tnqbm.datasets.samples_io import read_samples

    rows = read_samples(file)
    if rows.shape[1] != n:
        raise ValueError(f"{file}: rows have {rows.shape[1]} bits, but the model has {n} units")
    chains = chains_of(file)
    if chains and len(rows) % chains == 0:
        return rows.reshape(chains, -1, n), {"file": file, "chains": chains}
    return rows, {"file": file, "chains": None}
