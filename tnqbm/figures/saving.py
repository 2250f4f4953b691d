"""Writing figures to files: PNG, PDF or SVG, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tnqbm.figures import layout
from tnqbm.files.atomic import atomic_write
from tnqbm.files.outputs import FIGURE, check_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = FIGURE.suffixes
"""File name endings that :func:`save_figure` knows."""


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a figure as PNG, PDF or SVG, chosen by the suffix; the file appears whole or not.

    The same figure gives the same bytes (no dates inside). ``overwrite`` replaces a figure, and
    nothing else. Raises what :func:`check_figure_path` raises.
    """
    target = check_figure_path(path, overwrite=overwrite)
    suffix = target.suffix.lower()
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix)
    with atomic_write(target) as temporary, layout.style():
        figure.savefig(temporary, format=suffix[1:], metadata=metadata)
    return target


def check_figure_path(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Path:
    """The path if a figure can be written there: it ends in .png, .pdf or .svg and may be replaced.

    ``inputs`` are files that are read for it. Raises FileExistsError unless ``overwrite``,
    ValueError for another suffix, for an input, and for a file that matplotlib did not write,
    OSError if the folder cannot be written.
    """
    return check_output(path, FIGURE, overwrite=overwrite, inputs=inputs)
