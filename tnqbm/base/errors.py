"""Exceptions with a meaning of their own; everything else is ValueError, TypeError or OSError."""

from __future__ import annotations

from tnqbm.base.printable import printable


class ArchiveError(Exception):
    """An HDF5 file is damaged, foreign, or of a format this version cannot read.

    The message is one line. What it quotes from the file is shown escaped, see
    :func:`tnqbm.base.printable.printable`.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class StudyError(ValueError):
    """A study file or a study's settings are wrong; the message names the key and the cure."""


class HiddenPackageError(ImportError):
    """A file of the user's has the name of a package that is needed; the message names both."""


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
    return "pip install " + " ".join(f"'{one}'" for one in wanted or [package.lower()])


PAGE = 2000
"""Characters of a message that are kept: about a page."""


def cause_of(error: BaseException) -> str:
    """An exception's type and message as :func:`one_page` gives them, whatever they hold."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return f"{name} (its message cannot be shown)"
    return one_page(f"{name}: {text}" if text else name)


def one_page(text: str, most: int = PAGE) -> str:
    """At most ``most`` characters of a text, with all but its line breaks printable.

    Control characters, and others that do not show, are written as Python escapes them.
    """
    kept = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii")
        for c in text[:most]
    )
    if len(text) <= most and len(kept) <= most:
        return kept
    end = f" ... ({len(text)} characters in all)"
    return kept[: most - len(end)] + end
