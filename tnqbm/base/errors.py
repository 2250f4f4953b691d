"""Exceptions with a meaning of their own; everything else is ValueError, TypeError or OSError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tnqbm.base.text import printable


class ArchiveError(Exception):
    """An HDF5 file is damaged, foreign, or of a format this version cannot read.

    The message is one line. What it quotes from the file is shown escaped, see
    :func:`tnqbm.base.text.printable`.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class StudyError(ValueError):
    """A study file or a study's settings are wrong; the message names the key and the cure."""


class DataError(ValueError):
    """A data file cannot be read as it is; the message says where, and what mends it.

    ``options`` are the values of :class:`tnqbm.datasets.Preparation`, by name, that would mend it:
    one mapping for each way, empty where no option helps.
    """

    def __init__(self, message: object = "", options: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(printable(str(message)))
        self.options = tuple(dict(option) for option in options)


class HiddenPackageError(ImportError):
    """A file of the user's has the name of a package that is needed; the message names both."""


class EstimateWarning(UserWarning):
    """An estimate of log Z that should not be relied on; the message says what to do."""


class MissingExtraError(ImportError):
    """An optional dependency is absent; the message says how to install it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}; install it with: {install_command(extra, package)} (the "
            f"extra {extra!r} of tnqbm)"
        )


def install_command(extra: str, package: str) -> str:
    """The command that installs what an extra brings, of which ``package`` is the main part.

    It names the packages themselves, not the extra: so it works wherever tnqbm came from, from an
    index, from a wheel or from its sources, and installs tnqbm itself no second time.
    """
    import re
    from importlib import metadata

    try:
        lines = metadata.requires("tnqbm") or []
    except metadata.PackageNotFoundError:  # the sources, not installed
        lines = []
    ours = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    wanted = [line.partition(";")[0].strip() for line in lines if ours.search(line)]
    return "pip install " + " ".join(f"'{word}'" for word in wanted or [package.lower()])
