"""Monte Carlo and cluster runs on top of :mod:`tnqbm`: sampling, log Z, studies over ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mc.distribute import RunFailed, StudyInterrupted
    from mc.kernels import Sweeper
    from mc.likelihood import log_likelihood, total_variation
    from mc.partition import Estimate, EstimateWarning, log_partition
    from mc.runner import run_study
    from mc.sampling import Info, MixingWarning, sample
    from mc.study import Study
    from mc.study_file import load_study
    from mc.tempered import TemperingWarning, sample_tempered
    from mc.tempering import Tempering

# Imported on first use only: a study pulls in pydantic, a run pulls in Numba and perhaps MPI.
_LAZY = {
    "Estimate": "mc.partition",
    "EstimateWarning": "mc.partition",
    "Info": "mc.sampling",
    "MixingWarning": "mc.sampling",
    "RunFailed": "mc.distribute",
    "Study": "mc.study",
    "StudyInterrupted": "mc.distribute",
    "Sweeper": "mc.kernels",
    "Tempering": "mc.tempering",
    "TemperingWarning": "mc.tempered",
    "load_study": "mc.study_file",
    "log_likelihood": "mc.likelihood",
    "log_partition": "mc.partition",
    "run_study": "mc.runner",
    "sample": "mc.sampling",
    "sample_tempered": "mc.tempered",
    "total_variation": "mc.likelihood",
}

__all__ = [
    "Estimate",
    "EstimateWarning",
    "Info",
    "MixingWarning",
    "RunFailed",
    "Study",
    "StudyInterrupted",
    "Sweeper",
    "Tempering",
    "TemperingWarning",
    "load_study",
    "log_likelihood",
    "log_partition",
    "run_study",
    "sample",
    "sample_tempered",
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
