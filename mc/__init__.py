"""Monte Carlo and cluster runs on top of :mod:`tnqbm`: sampling, log Z, studies over ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mc.distribute import RunFailed, StudyInterrupted
    from mc.estimate import Estimate, EstimateWarning, Gap
    from mc.kernels import Sweeper
    from mc.likelihood import log_likelihood, total_variation
    from mc.partition import log_partition
    from mc.runner import run_study
    from mc.sampling import Info, MixingWarning, sample
    from mc.study import Study
    from mc.study_file import load_study
    from mc.tempered import TemperingWarning, sample_tempered
    from mc.tempering import Tempering
    from mc.tensor import fit_amplitude
    from mc.tensor_moves import IndependenceMoves, independence_step
    from mc.tensor_samples import PerfectInfo, sample_tensor

# Imported on first use only: a study pulls in pydantic, a run pulls in Numba and perhaps MPI.
_LAZY = {
    "Estimate": "mc.estimate",
    "EstimateWarning": "mc.estimate",
    "Gap": "mc.estimate",
    "IndependenceMoves": "mc.tensor_moves",
    "Info": "mc.sampling",
    "MixingWarning": "mc.sampling",
    "PerfectInfo": "mc.tensor_samples",
    "RunFailed": "mc.distribute",
    "Study": "mc.study",
    "StudyInterrupted": "mc.distribute",
    "Sweeper": "mc.kernels",
    "Tempering": "mc.tempering",
    "TemperingWarning": "mc.tempered",
    "fit_amplitude": "mc.tensor",
    "independence_step": "mc.tensor_moves",
    "load_study": "mc.study_file",
    "log_likelihood": "mc.likelihood",
    "log_partition": "mc.partition",
    "run_study": "mc.runner",
    "sample": "mc.sampling",
    "sample_tempered": "mc.tempered",
    "sample_tensor": "mc.tensor_samples",
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
    "fit_amplitude",
    "independence_step",
    "load_study",
    "log_likelihood",
    "log_partition",
    "run_study",
    "sample",
    "sample_tempered",
    "sample_tensor",
    "total_variation",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
