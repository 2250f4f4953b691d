"""Samples and chains as objects of ArviZ, for its diagnostics, tables and plots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.likelihood import log_weights as log_weights_of
from mc.sampling.samples_file import WEIGHTED, chains_of
from tnqbm import __version__
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.errors import MissingExtraError
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import read_samples
from tnqbm.files import gate
from tnqbm.files.storage import open_hdf5

Float = NDArray[np.float64]
States = NDArray[np.uint8]


@checked(model=MODEL)
def to_arviz(
    samples: ArrayLike | str | os.PathLike[str],
    *,
    model: SqRBM | None = None,
    log_weights: ArrayLike | None = None,
) -> Any:
    """Samples as ``arviz.InferenceData``, or as ``xarray.DataTree`` where ArviZ is version 1.

    Parameters
    ----------
    samples : (chains, draws, n) as :func:`mc.sample` returns them, (K, n) for one chain, or a file
        of ``tnqbm sample`` (.h5 or .csv), which knows its chains.
    model : the model that they are samples of.
    log_weights : (K,) of the samples, in the order of chains and draws; those of a file are read.

    The group ``posterior`` holds the visible units ``v`` (chain, draw, visible), counted from 0.
    The group ``sample_stats`` holds ``lp``, log p~(v) of every sample, if there is a model, and
    ``log_weight`` if there are weights; ArviZ itself does not weigh samples. Diagnostics of units
    that never change are nan. MissingExtraError if ArviZ is not installed, ValueError for samples
    that are not 0 and 1, or weights or a model that do not fit.
    """
    try:
        import arviz
        import xarray as xr
    except ImportError:
        raise MissingExtraError("arviz", "arviz", "mc.interop.to_arviz") from None
    if isinstance(samples, str | os.PathLike):
        states, found = _read(Path(samples))
        weights = found if log_weights is None else log_weights
    else:
        states, weights = _chains(samples), log_weights
    chains, draws, n = states.shape
    axes = {"chain": np.arange(chains), "draw": np.arange(draws)}
    stats: dict[str, Any] = {}
    if model is not None:
        if model.n_visible != n:
            raise ValueError(
                f"the samples have {n} visible units, the model {model.n_visible}: it is not theirs"
            )
        lp = log_weights_of(model, states.reshape(-1, n))
        stats["lp"] = (("chain", "draw"), lp.reshape(chains, draws))
    if weights is not None:
        stats["log_weight"] = (("chain", "draw"), _weights(weights, chains, draws))
    attributes = {"inference_library": "tnqbm", "inference_library_version": __version__}
    groups = {
        "posterior": xr.Dataset(
            {"v": (("chain", "draw", "visible"), states)},
            coords={**axes, "visible": np.arange(n)},
            attrs=attributes,
        )
    }
    if stats:
        groups["sample_stats"] = xr.Dataset(stats, coords=axes, attrs=attributes)
    if int(arviz.__version__.partition(".")[0]) >= 1:
        return xr.DataTree.from_dict(groups)
    return arviz.InferenceData(**groups)


def _chains(samples: ArrayLike) -> States:
    """Samples as (chains, draws, n)."""
    array = arguments.plain_array(samples, "samples")
    if array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"samples must have shape (chains, draws, n) or (K, n), got {array.shape}")
    states = as_states(array, array.shape[-1])
    return states if states.ndim == 3 else states[np.newaxis]


def _read(path: Path) -> tuple[States, Float | None]:
    """The chains of a file of samples, and the weights in it; ValueError if it is no such file."""
    rows = read_samples(path, weighted=True)
    chains = chains_of(path) or 1
    if len(rows) % chains:
        raise ValueError(f"{path} names {chains} chains, but holds {len(rows)} rows")
    weights = None
    if path.suffix.lower() in WEIGHTED:
        with open_hdf5(path) as file, gate.reading(str(path)):
            weights = gate.array(file, "log_weights") if gate.has(file, "log_weights") else None
    return rows.reshape(chains, -1, rows.shape[1]), weights


def _weights(log_weights: ArrayLike, chains: int, draws: int) -> Float:
    weights = np.asarray(arguments.plain_array(log_weights, "log_weights"), dtype=np.float64)
    if weights.size != chains * draws:
        raise ValueError(
            f"log_weights must have one number for each of the {chains * draws} samples, got "
            f"{weights.size}"
        )
    return weights.reshape(chains, draws)
