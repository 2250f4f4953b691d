"""The figures of a report: which ones an archive is good for, drawn and ready to be embedded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tnqbm import figures
from tnqbm.archive.coordinates import describe
from tnqbm.archive.rows import Other, Where, variant_names
from tnqbm.figures import layout, pictures
from tnqbm.report.content import GroupRow, Report, SampledModel, Skipped
from tnqbm.report.groups import leading_metric, most_hidden
from tnqbm.report.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 5
"""Rows of panels of one figure; more are spread over several figures."""

MOST_GRADIENTS = 8
"""Gradients that one panel compares."""

MOST_FIGURES = 8
"""Figures of one kind."""

MIN_RECORDS = 4
"""With fewer records a learning curve is none."""

SVG_BYTES = 500_000
"""Larger drawings are embedded as PNG."""

_DPI = 150


@dataclass(frozen=True)
class Drawing:
    """A figure as bytes: ``kind`` (of figure), what it shows, and its natural ``width`` in pixels.

    ``alt`` describes it in words for those who do not see it; ``mime`` is the type of ``image``.
    """

    kind: str
    title: str
    alt: str
    mime: str
    image: bytes
    width: int


def draw(opened: Sequence[View], report: Report) -> tuple[list[Drawing], list[Skipped]]:
    """All figures that make sense for these archives, and why the others do not.

    Raises MissingExtraError if matplotlib is not installed.
    """
    layout.require_matplotlib()
    drawings: list[Drawing] = []
    skipped: list[Skipped] = []
    kinds = (_learning, _final, _minimum, _gradients, _likelihood)
    for kind in kinds:
        for part in kind(opened, report):
            if isinstance(part, Skipped):
                skipped.append(part)
            else:
                drawings.append(part)
    drawings += [_pictures(model) for model in report.sampled]
    return drawings, skipped


Pieces = Iterator[Drawing | Skipped]


def _learning(opened: Sequence[View], report: Report) -> Pieces:
    what = "Learning curves"
    recorded = [view for view in opened if view.most_records() >= MIN_RECORDS]
    if not recorded:
        yield Skipped(what, f"runs kept {report.records} records of their metrics at most.")
        return
    known = {seeds.group for view in recorded for seeds in view.seeds() if seeds.finished}
    groups = [row for row in report.groups if row.group in known]
    metric = leading_metric(groups)
    if metric is None:
        yield Skipped(what, "no finished run has a TVD, KL or NLL.")
        return
    if metric == "test_nll":
        yield Skipped(
            what, "the TVD tells nothing here; the likelihood of test data is drawn instead."
        )
        return
    yield from _several(
        what,
        "learning",
        groups,
        lambda where: figures.learning_curves(recorded, metric, where=where)[0],
    )


def _final(opened: Sequence[View], report: Report) -> Pieces:
    what = "Final values against hidden units"
    metric = leading_metric(report.groups)
    if metric is None:
        yield Skipped(what, "no finished run has a TVD, KL or NLL.")
        return
    if most_hidden(_done(report.groups)) < 2:
        yield Skipped(what, "every model was trained with a single number of hidden units.")
        return
    yield from _several(
        what,
        "final",
        report.groups,
        lambda where: figures.tvd_vs_hidden(
            opened, metric, where=where, threshold=report.threshold
        )[0],
    )


def _minimum(opened: Sequence[View], report: Report) -> Pieces:
    if not report.minima:
        return  # collecting has said why
    visibles = sorted({row.visible for row in report.minima})
    several = len({row.other for row in report.minima}) > 1
    choices = [{"visible": n} for n in visibles] if several else [{}]
    for where in choices[:MOST_FIGURES]:
        yield _attempt(
            "Least hidden units",
            "minimum",
            where,
            lambda chosen: figures.minimum_hidden(opened, report.threshold, where=chosen)[0],
        )


def _gradients(opened: Sequence[View], report: Report) -> Pieces:
    what = "Comparison of gradients"
    metric = leading_metric(report.groups)
    done = _done(report.groups)
    labels = list(variant_names(group.other for group in done))
    if metric is None or len(labels) < 2:
        yield Skipped(what, "all runs were trained with the same gradient.")
        return
    pairs = sorted({(group.visible, group.data) for group in done})
    rows = [pairs[k : k + MOST_ROWS] for k in range(0, len(pairs), MOST_ROWS)]
    parts = _gradient_parts(labels)
    for row in rows[:MOST_FIGURES]:
        for part in parts:
            where: dict[str, Any] = dict(part)
            if len(rows) > 1:
                where |= {
                    "visible": sorted({n for n, _ in row}),
                    "data": sorted({data for _, data in row}),
                }
            yield _attempt(
                what,
                "gradients",
                where,
                lambda chosen: figures.gradients(
                    opened, metric, where=chosen, threshold=report.threshold
                )[0],
            )


def _likelihood(opened: Sequence[View], report: Report) -> Pieces:
    what = "Likelihood of test data"
    tested = [group for group in report.groups if "test_nll" in group.metrics]
    if not tested:
        yield Skipped(what, "the study holds no data out; test_fraction in [data] does.")
        return
    pairs = sorted({(group.data, group.visible) for group in tested})
    for data, visible in pairs[:MOST_FIGURES]:
        here = [group for group in tested if (group.data, group.visible) == (data, visible)]
        for part in _gradient_parts(list(variant_names(group.other for group in here))):
            where = {**part} if len(pairs) == 1 else {"data": data, "visible": visible, **part}
            yield _attempt(
                what,
                "likelihood",
                where,
                lambda chosen: figures.likelihood(opened, where=chosen)[0],
            )


def _pictures(model: SampledModel) -> Drawing:
    words = describe(model.coordinates)
    figure, _ = pictures.grid(
        model.draw.samples,
        model.shape,
        data=model.data,
        title=f"{layout.data_label(model.coordinates['data'])}, {model.coordinates['paulis']}",
    )
    return _drawing("samples", f"Samples of {words}", figure, png=True)


def _several(
    what: str,
    kind: str,
    groups: Sequence[GroupRow],
    make: Callable[[Where | None], Figure],
) -> Pieces:
    """Figures with a row of panels for every n and variant, few enough rows in each."""
    done = _done(groups)
    variants = list(variant_names(group.other for group in done))
    visibles = sorted({group.visible for group in done})
    parts = _gradient_parts(variants, most=MOST_ROWS)
    together = len(parts) == 1 and len(visibles) * len(variants) <= MOST_ROWS
    choices: list[dict[str, Any]] = (
        [{}] if together else [{"visible": n, **part} for n in visibles for part in parts]
    )
    for where in choices[:MOST_FIGURES]:
        yield _attempt(what, kind, where, make)
    if left := choices[MOST_FIGURES:]:
        yield Skipped(
            what,
            f"{len(left)} more of them were not drawn; 'tnqbm plot --where' or a report of a part "
            "of the runs does.",
        )


def _gradient_parts(variants: Sequence[Other], most: int = MOST_GRADIENTS) -> list[dict[str, Any]]:
    """Selections of gradients, each of few enough to be told apart; one empty one if all are."""
    labels = list(dict.fromkeys(dict(other).get("gradient") for other in variants))
    if len(labels) <= most:
        return [{}]
    return [{"gradient": labels[k : k + most]} for k in range(0, len(labels), most)]


def _attempt(
    what: str,
    kind: str,
    where: dict[str, Any],
    make: Callable[[Where | None], Figure],
) -> Drawing | Skipped:
    words = f" ({', '.join(f'{k} = {_listed(v)}' for k, v in where.items())})" if where else ""
    try:
        figure = make(where or None)
    except ValueError as error:  # nothing finite to draw, too many panels: said, not hidden
        return Skipped(f"{what}{words}", f"{error}.")
    return _drawing(kind, f"{what}{words}", figure)


def _drawing(kind: str, title: str, figure: Figure, *, png: bool = False) -> Drawing:
    width = round(96 * float(figure.get_size_inches()[0]))
    texts = [text.get_text() for text in figure.texts if text.get_text()]
    alt = f"{title}. {'; '.join(texts)}" if texts else title
    image = b"" if png else _bytes(figure, "svg")
    if png or len(image) > SVG_BYTES:
        return Drawing(kind, title, alt, "image/png", _bytes(figure, "png"), width)
    return Drawing(kind, title, alt, "image/svg+xml", image, width)


def _bytes(figure: Figure, form: str) -> bytes:
    """The figure in a format that browsers show; the same bytes for the same figure."""
    file = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
    with layout.style():
        figure.savefig(file, format=form, metadata=metadata, dpi=_DPI)
    return file.getvalue()


def _done(groups: Sequence[GroupRow]) -> list[GroupRow]:
    return [group for group in groups if group.finished]


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
