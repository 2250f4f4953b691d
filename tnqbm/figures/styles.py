"""Colours, lines and markers of Pauli sets and gradients, the same in all figures.

Used by the modules of figures only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tnqbm.archive.rows import Other, gradient_parts, variant_names
from tnqbm.base.text import printable

Styles = Mapping[Any, dict[str, Any]]
"""What matplotlib draws a series with, by the series: color, marker, label and so on."""

COLOURS = {
    "Z": "#0072B2",
    "XZ": "#D55E00",
    "XYZ": "#009E73",
    "YZ": "#CC79A7",
    "XY": "#E69F00",
    "X": "#56B4E9",
    "Y": "#000000",
}
"""Colour of each Pauli set, from the palette of Okabe and Ito (colour-blind safe)."""

MARKERS = {"Z": "o", "XZ": "s", "XYZ": "^", "YZ": "D", "XY": "v", "X": "P", "Y": "X"}

GRADIENTS = {"exact": "#000000", "cd": "#D55E00", "pcd": "#0072B2", "tempered": "#009E73"}
"""Colour of each estimator of the gradient, from the same palette."""

_MORE_GRADIENTS = ("#CC79A7", "#E69F00", "#56B4E9", "#8A6D3B")

_SWEEPS = (
    (2, "-", "o"),
    (10, "-.", "D"),
    (100, "--", "s"),
    (math.inf, (0, (4, 1, 1, 1, 1, 1)), "v"),
)
"""Line and marker of a gradient with fewer sweeps per update than so many."""
_SPARE = ((":", "^"), ((0, (5, 3)), "P"), ((0, (3, 1, 1, 1)), "X"), ((0, (1, 3)), "*"))
"""For gradients of the same colour whose sweeps give them the same line."""


class Labelled(Protocol):
    """What the layout needs to know of a result: where it belongs."""

    @property
    def data(self) -> str: ...
    @property
    def visible(self) -> int: ...
    @property
    def paulis(self) -> str: ...
    @property
    def other(self) -> Other: ...


def letters(paulis: str) -> str:
    """The Pauli set in the order X, Y, Z, under which its colour and marker are known."""
    return "".join(sorted(paulis))


def paulis_name(paulis: str) -> str:
    """A model's name by its Pauli set."""
    return "RBM (Z)" if paulis == "Z" else f"sqRBM {paulis}"


def paulis_order(paulis: Iterable[str]) -> list[str]:
    """Pauli sets by size, the classical RBM before other single letters."""
    return sorted(set(paulis), key=lambda p: (len(p), p != "Z", p))


def plain_label(text: str) -> str:
    """Text of files and studies as matplotlib draws it letter by letter, never as a formula."""
    return printable(text).replace("$", r"\$")


def series_styles(items: Iterable[Labelled]) -> dict[str, dict[str, Any]]:
    """Colour, marker and label of every Pauli set, in the order of the legend."""
    return {
        paulis: {
            "color": COLOURS[letters(paulis)],
            "marker": MARKERS[letters(paulis)],
            "label": paulis_name(paulis),
        }
        for paulis in paulis_order(item.paulis for item in items)
    }


def gradient_styles(items: Iterable[Labelled]) -> dict[Other, dict[str, Any]]:
    """Colour, marker, line and label of every variant, in the order of the legend.

    The colour says the method and the line the number of sweeps, the same in all figures: exact
    gradients are black. Labels of a study's own that are of no known method get colours of the
    rest of the palette, in alphabetical order.
    """
    names = variant_names(item.other for item in items)
    methods = {other: gradient_parts(_gradient(other)) for other in names}
    strange = sorted({method for method, _ in methods.values() if method not in GRADIENTS})
    more = {m: _MORE_GRADIENTS[k % len(_MORE_GRADIENTS)] for k, m in enumerate(strange)}
    styles: dict[Other, dict[str, Any]] = {}
    used: set[tuple[str, str]] = set()
    for other, name in names.items():
        method, sweeps = methods[other]
        usual = next((line, mark) for below, line, mark in _SWEEPS if (sweeps or 1) < below)
        colour = GRADIENTS[method] if method in GRADIENTS else more[method]
        choices = [usual, *_SPARE]
        line, marker = next((c for c in choices if (colour, c[1]) not in used), usual)
        used.add((colour, marker))
        styles[other] = {
            "color": colour,
            "linestyle": line,
            "marker": marker,
            "label": plain_label(name),
        }
    return styles


def _gradient(other: Other) -> str:
    return str(dict(other).get("gradient", ""))
