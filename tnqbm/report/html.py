"""One self-contained HTML page from a report and its figures: no script, nothing from outside."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from tnqbm.archive.rows import variant_names
from tnqbm.base.errors import MissingExtraError
from tnqbm.base.text import printable
from tnqbm.figures.layout import data_title
from tnqbm.figures.styles import COLOURS, letters, paulis_name
from tnqbm.report.content import GroupRow, Report, Skipped
from tnqbm.report.figures import Drawing
from tnqbm.report.groups import best_group, leading_metric

if TYPE_CHECKING:
    from jinja2 import Environment

OPEN_ROWS = 60
"""Rows of groups up to which all tables stand open."""

METRIC_HEADS = {
    "tvd": "TVD",
    "kl": "KL (nats)",
    "nll": "NLL (nats)",
    "valid_nll": "validation NLL (nats)",
    "test_nll": "test NLL (nats)",
}


def require_jinja() -> None:
    """Raise MissingExtraError if Jinja is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Jinja2", "report", "writing reports") from error


def render(
    report: Report, drawings: Sequence[Drawing] = (), skipped: Sequence[Skipped] = ()
) -> str:
    """The page. ``skipped`` are figures that were left out, besides the report's own omissions.

    All text of archives is escaped; raises MissingExtraError if Jinja is not installed.
    """
    require_jinja()
    sections = _sections(report.groups)
    style = resources.files("tnqbm.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            style=style,
            sections=sections,
            open_all=len(report.groups) <= OPEN_ROWS,
            drawings=drawings,
            pictures=[drawing for drawing in drawings if drawing.kind == "samples"],
            skipped=[*report.skipped, *skipped],
            metric_heads=METRIC_HEADS,
            estimated=[group for group in report.groups if group.log_z_error is not None],
            spent_names=list(
                dict.fromkeys(name for spent in report.spent for name in spent.values)
            ),
            counts=_counts(report),
        )
        + "\n"
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tnqbm.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        short=short,
        whole=_whole,
        size=_size,
        data_uri=_data_uri,
        data_title=data_title,
        paulis_name=paulis_name,
        colour=_colour,
        moment=_moment,
        crossing=_crossing,
        ratio=_ratio,
        share=_share,
        settings=_settings,
    )
    environment.globals.update(variant_names=variant_names, interval=interval)
    return environment


def _shown(value: Any) -> Any:
    """A value as it goes into the page: text that files hold without control characters."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value, keep="\n\t")
    return value


def number(value: float | None, digits: int = 4) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:.{digits}f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def short(value: float) -> str:
    """A number in four digits."""
    return f"{value:.4g}"


def interval(low: float | None, high: float | None, below: str = "0", above: str = "∞") -> str:
    """An interval of two numbers; ``below`` and ``above`` stand for ends that are open."""
    ends = [below if low is None else f"{low:.2f}", above if high is None else f"{high:.2f}"]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _sections(groups: Sequence[GroupRow]) -> list[dict[str, Any]]:
    """Groups by n and data set, with what a reader wants to know before opening the table."""
    sections = []
    for (visible, data), members in itertools.groupby(groups, key=lambda g: (g.visible, g.data)):
        rows = list(members)
        metric = leading_metric(rows)
        sections.append(
            {
                "visible": visible,
                "data": data,
                "rows": rows,
                "metric": metric,
                "best": best_group(rows, metric),
                "intervals": any(s.low is not None for g in rows for s in g.metrics.values()),
            }
        )
    return sections


def _counts(report: Report) -> dict[str, Any]:
    """What the tiles at the top say."""
    levels = [finding.level for finding in report.findings]
    times = [archive.provenance for archive in report.archives]
    starts = sorted(filter(None, (facts.get("started", "") for facts in times)))
    ends = sorted(filter(None, (facts.get("finished", "") for facts in times)))
    return {
        "problems": levels.count("problem"),
        "cautions": levels.count("caution"),
        "notes": levels.count("note"),
        "whole": all(archive.whole for archive in report.archives),
        "started": starts[0] if starts else "",
        "ended": ends[-1] if ends and len(ends) == len(times) else "",
        "under_way": any(archive.under_way for archive in report.archives),
    }


def _whole(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _data_uri(drawing: Drawing) -> str:
    return f"data:{drawing.mime};base64,{base64.b64encode(drawing.image).decode('ascii')}"


def _colour(paulis: str) -> str:
    """The colour that figures give a Pauli set."""
    return COLOURS.get(letters(paulis), "#888888")


def _moment(text: str) -> str:
    """A time in ISO 8601 as people write it."""
    return text.replace("T", " ").replace("+00:00", " UTC")


def _crossing(row: Any) -> str:
    """Where the mean falls to the threshold, or the bound that is known of it."""
    if row.crossing is None:
        return f"> {row.tried[-1]}"
    return f"≤ {row.tried[0]}" if row.at_smallest else f"{row.crossing:.2f}"


def _ratio(row: Any) -> str:
    """A ratio of hidden units, or the bound that is known of it."""
    if row.ratio is None:
        return "–"
    return {"at least": "≥ ", "at most": "≤ "}.get(row.kind, "") + f"{row.ratio:.2f}"


def _share(value: float) -> str:
    """A distance between 0 and 1 as a length in per cent, for bars."""
    return f"{100 * min(max(value, 0.0), 1.0):.1f}" if math.isfinite(value) else "0"


def _settings(text: str) -> list[tuple[str, str]]:
    """Settings that a study stores as JSON, by name; empty if there are none to be read."""
    try:
        settings = json.loads(text)
    except ValueError:
        return []
    if not isinstance(settings, dict):
        return []
    return [
        (str(key), value if isinstance(value, str) else json.dumps(value))
        for key, value in settings.items()
    ]
