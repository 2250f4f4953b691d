"""Monte Carlo and cluster runs on top of :mod:`tnqbm`: studies, their distribution over ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mc.distribute import RunFailed, StudyInterrupted
    from mc.runner import run_study
    from mc.sampling import Info, MixingWarning, sample
    from mc.study import Study
    from mc.study_file import load_study

# Imported on first use only: a study pulls in pydantic, a run pulls in Numba and perhaps MPI.
_LAZY = {
    "Info": "mc.sampling",
    "MixingWarning": "mc.sampling",
    "RunFailed": "mc.distribute",
    "Study": "mc.study",
    "StudyInterrupted": "mc.distribute",
    "load_study": "mc.study_file",
    "run_study": "mc.runner",
    "sample": "mc.sampling",
}

__all__ = [
    "Info",
    "MixingWarning",
    "RunFailed",
    "Study",
    "StudyInterrupted",
    "load_study",
    "run_study",
    "sample",
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
