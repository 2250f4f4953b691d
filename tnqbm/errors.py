"""Exceptions with a meaning of their own; everything else is ValueError, TypeError or OSError."""

from __future__ import annotations


class ArchiveError(Exception):
    """An HDF5 file is damaged, foreign, or of a format this version cannot read."""


class StudyError(ValueError):
    """A study file or a study's settings are wrong; the message names the key and the cure."""


class MissingExtraError(ImportError):
    """An optional dependency is absent; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}; install it with: pip install 'tnqbm[{extra}]'"
        )
