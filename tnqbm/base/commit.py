"""Which commit of the repository the code that runs is of.

Uses the standard library alone: ``setup.py`` runs this file before anything is installed.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

FILE = "commit.txt"
"""Beside this module in distributions: the commit that they were built from."""


@cache
def commit() -> str:
    """The commit of the running code: 40 hexadecimal digits, "+changes" if it is edited, or "".

    That of the repository whose checkout this is, else the one that the distribution was built
    from; "" if neither is known, as for an archive of the sources without a repository.
    """
    root = Path(__file__).resolve().parents[2]
    if (root / ".git").exists():
        return described(root)
    try:
        return Path(__file__).with_name(FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def described(root: Path) -> str:
    """The commit of a repository's checkout, or "" if git cannot say."""
    words = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        # Without optional locks: never in the way of a git command of the user's.
        done = subprocess.run(
            [*words, "--dirty=+changes"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
