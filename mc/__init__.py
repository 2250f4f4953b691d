"""Monte Carlo and cluster runs on top of :mod:`tnqbm`: sampling, log Z, studies over ranks."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mc.estimate import Estimate, EstimateWarning, Gap
    from mc.kernels import Sweeper
    from mc.likelihood import (
        compare_likelihoods,
        log_likelihood,
        log_likelihoods,
        total_variation,
    )
    from mc.partition import log_partition
    from mc.running.distribute import RunFailed, StudyInterrupted
    from mc.running.runner import run_study
    from mc.sampling import Info, MixingWarning, sample
    from mc.studies.file import load_study
    from mc.studies.study import Study
    from mc.tempered import TemperingWarning, sample_tempered
    from mc.tempering import Tempering
    from mc.tensor.moves import IndependenceMoves, independence_step
    from mc.tensor.networks import fit_amplitude
    from mc.tensor.samples import PerfectInfo, sample_tensor

# Imported on first use only: a study pulls in pydantic, a run pulls in Numba and perhaps MPI.
_LAZY = {
    "Estimate": "mc.estimate",
    "EstimateWarning": "mc.estimate",
    "Gap": "mc.estimate",
    "IndependenceMoves": "mc.tensor.moves",
    "Info": "mc.sampling",
    "MixingWarning": "mc.sampling",
    "PerfectInfo": "mc.tensor.samples",
    "RunFailed": "mc.running.distribute",
    "Study": "mc.studies.study",
    "StudyInterrupted": "mc.running.distribute",
    "Sweeper": "mc.kernels",
    "Tempering": "mc.tempering",
    "TemperingWarning": "mc.tempered",
    "compare_likelihoods": "mc.likelihood",
    "fit_amplitude": "mc.tensor.networks",
    "independence_step": "mc.tensor.moves",
    "load_study": "mc.studies.file",
    "log_likelihood": "mc.likelihood",
    "log_likelihoods": "mc.likelihood",
    "log_partition": "mc.partition",
    "run_study": "mc.running.runner",
    "sample": "mc.sampling",
    "sample_tempered": "mc.tempered",
    "sample_tensor": "mc.tensor.samples",
    "total_variation": "mc.likelihood",
}

__all__ = [
    "Estimate",
    "EstimateWarning",
    "Gap",
    "IndependenceMoves",
    "Info",
    "MixingWarning",
    "PerfectInfo",
    "RunFailed",
    "Study",
    "StudyInterrupted",
    "Sweeper",
    "Tempering",
    "TemperingWarning",
    "compare_likelihoods",
    "fit_amplitude",
    "independence_step",
    "load_study",
    "log_likelihood",
    "log_likelihoods",
    "log_partition",
    "run_study",
    "sample",
    "sample_tempered",
    "sample_tensor",
    "total_variation",
]


NEEDED = ("mpi4py", "click", "rich", "pydantic", "arviz_stats")
"""What this package imports besides what tnqbm does."""


def _check_names() -> None:
    """ImportError if a file in the user's folder is in the place of tnqbm or of another package."""
    # What checks other names is part of tnqbm, so that is the first to be looked at.
    own = os.path.join(os.path.dirname(os.path.dirname(__file__)), "tnqbm", "__init__.py")
    spec = find_spec("tnqbm")
    found = None if spec is None else spec.origin or list(spec.submodule_search_locations or [])
    if not (isinstance(found, str) and os.path.exists(own) and os.path.samefile(found, own)):
        raise ImportError(
            f"the package tnqbm is hidden by {found}, which Python imports in its place: rename "
            "that, or start Python in another folder"
        )
    from tnqbm.hidden import check_needed

    check_needed(NEEDED)


_check_names()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
