"""Figure of archives: what models with further couplings save, beside those they extend.

Used through :mod:`tnqbm.figures`; the numbers are :mod:`tnqbm.archive.savings`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tnqbm.archive.rows import Other, Where, variant_names
from tnqbm.archive.savings import Saving, savings_table
from tnqbm.figures import layout
from tnqbm.figures.layout import GREY, Axis
from tnqbm.figures.styles import plain_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tnqbm.archive import Archive
    from tnqbm.archive.minimum_hidden import Ratio

_LOOKS: dict[str, dict[str, Any]] = {
    "hidden_ratio": {"color": "#0072B2", "marker": "o", "label": "hidden units"},
    "parameter_ratio": {"color": "#D55E00", "marker": "s", "label": "parameters"},
}


def savings(
    archives: Archive | Sequence[Archive],
    threshold: float = 0.2,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    where: Where | None = None,
) -> tuple[Figure, Axis]:
    """Units and parameters of the reference over those of each series, at ``threshold``.

    A row for every kind of model, a column for every data set and n; right of 1 the model saves.
    Bars are central bootstrap intervals over seeds, hollow triangles bounds that point to where the
    true value may lie. The references, and the numbers:
    :func:`tnqbm.archive.savings.savings_table`. Raises ValueError where no series has a reference.
    """
    layout.require_matplotlib()
    rows = savings_table(
        archives,
        threshold=threshold,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        where=where,
    )
    shown = [row for row in rows if row.hidden_ratio is not None]
    if not shown:
        raise ValueError(
            "there is no model with an sqRBM or RBM on the same data to compare it with; "
            "run these, too, or leave --where away"
        )
    names = _names(shown)
    places = {name: k for k, name in enumerate(dict.fromkeys(names[_key(row)] for row in shown))}
    columns = [
        (data, n)
        for data in layout.data_order(row.data for row in shown)
        for n in sorted({row.visible for row in shown if row.data == data})
    ]
    bounds: set[str] = set()
    with layout.style():
        figure, axes = layout.grid(1, len(columns), sharey=True, scale=1.1)
        figure.set_figheight(1.6 + 0.3 * len(places))
        for axis, (data, n) in zip(axes[0], columns, strict=True):
            axis.set_title(f"{layout.data_label(data)}\nn = {n}")
            axis.axvline(1.0, color=GREY, linewidth=1.0)
            for row in shown:
                if (row.data, row.visible) == (data, n):
                    bounds |= _draw(axis, row, float(places[names[_key(row)]]))
            axis.set_yticks(range(len(places)), list(places))
            axis.set_ylim(len(places) - 0.5, -0.5)
        handles = [
            layout.handle(look["label"], color=look["color"], marker=look["marker"], linestyle="")
            for look in _LOOKS.values()
        ]
        handles += [
            layout.hollow_handle({"<": "true value below", ">": "true value above"}[m], m)
            for m in sorted(bounds)
        ]
        note = layout.seeds_text((row.hidden.seeds for row in shown), band=False)
        layout.finish(
            figure,
            axes,
            title=f"Saved for a mean TVD of {threshold:g}",
            note=f"{note}; bars: {100 * confidence:g} % bootstrap intervals",
            x="Ratio",
            handles=handles,
        )
    return figure, axes


def _key(row: Saving) -> tuple[str, Other, str]:
    return row.paulis, row.other, row.reference


def _names(rows: Sequence[Saving]) -> dict[tuple[str, Other, str], str]:
    """The label of every kind of model, with that of its reference."""
    variants = variant_names(row.other for row in rows)
    found = {}
    for row in rows:
        family = dict(row.other).get("family", "")
        words = f"{row.paulis}, {variants[row.other]}" if family or row.paulis == row.reference \
            else row.paulis  # fmt: skip
        found[_key(row)] = plain_label(f"{words} over {row.reference}")
    return found


def _draw(axis: Axes, row: Saving, place: float) -> set[str]:
    """Both ratios of a series, units above parameters; the hollow markers that were needed."""
    bounds: set[str] = set()
    for shift, (name, look) in zip((-0.15, 0.15), _LOOKS.items(), strict=True):
        ratio: Ratio | None = getattr(row, name)
        if ratio is None or ratio.ratio is None:
            continue
        y = place + shift
        if ratio.kind != "value":
            marker = ">" if ratio.kind == "at least" else "<"
            bounds.add(marker)
            axis.plot(ratio.ratio, y, marker, color=look["color"], mfc="white", zorder=3)
            continue
        low = ratio.ratio if ratio.low is None else min(ratio.low, ratio.ratio)
        high = ratio.ratio if ratio.high is None else max(ratio.high, ratio.ratio)
        axis.errorbar(
            ratio.ratio,
            y,
            xerr=[[ratio.ratio - low], [high - ratio.ratio]],
            color=look["color"],
            marker=look["marker"],
            capsize=2.0,
            linestyle="",
        )
    return bounds
