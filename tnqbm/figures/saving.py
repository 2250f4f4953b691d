"""Writing figures to files: PNG, PDF or SVG, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tnqbm.figures import layout
from tnqbm.files.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
"""File name endings that :func:`save_figure` knows."""


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a figure as PNG, PDF or SVG, chosen by the suffix; the file appears whole or not.

    The same figure gives the same bytes (no dates inside). Raises FileExistsError unless
    ``overwrite``, ValueError for another suffix, OSError if the folder cannot be written.
    """
    target = check_figure_path(path, overwrite=overwrite)
    suffix = target.suffix.lower()
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix)
    with atomic_write(target) as temporary, layout.style():
        figure.savefig(temporary, format=suffix[1:], metadata=metadata)
    return target


def check_figure_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path if a figure can be written there; raises as :func:`save_figure` does."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{target}: a figure's name must end in one of {', '.join(SUFFIXES)}, "
            f"not in {target.suffix or 'no suffix at all'}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give a file name")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; choose another name or ask to overwrite it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist; create it first")
    return target
