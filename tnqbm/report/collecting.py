"""What a report says, gathered from archives as numbers, and the page that says it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tnqbm
from tnqbm.archive import Archive, parts_folder
from tnqbm.archive.minimum_hidden import (
    HiddenRatio,
    MinimumHidden,
    minimum_hidden_tables,
)
from tnqbm.archive.rows import Where, in_words, varying
from tnqbm.archive.summaries import all_rows
from tnqbm.archive.verify import verify_archive
from tnqbm.base.errors import ArchiveError
from tnqbm.figures.layout import require_matplotlib
from tnqbm.files.atomic import atomic_write
from tnqbm.files.outputs import REPORT, check_output
from tnqbm.files.storage import SEAL_SIZE, check_seal
from tnqbm.report.content import ArchiveFacts, GroupRow, Report, SampledModel, Skipped
from tnqbm.report.figures import draw
from tnqbm.report.findings import findings
from tnqbm.report.groups import group_rows, most_hidden, spent_by_group
from tnqbm.report.html import render, require_jinja
from tnqbm.report.samples import Sampler, sampled_models
from tnqbm.report.view import View, archive_paths, views

Archives = str | Path | Archive | Sequence[str | Path | Archive]

_TITLE_LENGTH = 200


def collect(
    archives: Archives,
    *,
    title: str | None = None,
    where: Where | None = None,
    threshold: float = 0.2,
    samples: bool = True,
    sampler: Sampler | None = None,
    seed: int = 0,
) -> Report:
    """The numbers of a report on one archive or several, finished or still being written.

    Parameters
    ----------
    archives : paths, or open archives (which are read anew).
    title : of the report; left out, the names of the studies.
    where : only these runs, as in :func:`tnqbm.archive.summaries.final_groups`.
    threshold : mean TVD that the least number of hidden units has to reach.
    samples : whether final models are sampled.
    sampler : draws from models that are too large for enumeration (see
        :data:`tnqbm.report.samples.Sampler`); without one they are skipped.
    seed : of the samples.

    Every block is verified. Damaged blocks are left out and named in ``findings``. Raises
    FileNotFoundError, ArchiveError for a file that cannot be used at all, and ValueError if there
    is no archive, the selection fits no run, the threshold is not a finite number, or two archives
    hold different results for the same run.
    """
    _check_threshold(threshold)
    with views(archives, where) as opened:
        return _gather(opened, title, where, threshold, samples, sampler, seed)


def write(
    archives: Archives,
    path: str | Path,
    *,
    title: str | None = None,
    where: Where | None = None,
    threshold: float = 0.2,
    samples: bool = True,
    sampler: Sampler | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Report:
    """Write an HTML report of one archive or several; returns the numbers in it.

    Arguments are those of :func:`collect`. The file appears whole or not at all. Raises what
    :func:`collect` raises, MissingExtraError without Jinja2 or matplotlib, ValueError for another
    suffix than .html, for an archive, and for a file that is no report, FileExistsError unless
    ``overwrite``, and OSError if the file cannot be written; all but the last before any work.
    """
    require_jinja()
    require_matplotlib()
    target = check_output(path, REPORT, overwrite=overwrite, inputs=archive_paths(archives))
    _check_threshold(threshold)
    with views(archives, where) as opened:
        report = _gather(opened, title, where, threshold, samples, sampler, seed)
        drawings, skipped = draw(opened, report)
    page = render(report, drawings, skipped)
    with atomic_write(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))  # titles may hold any bytes
    return report


def _check_threshold(threshold: float) -> None:
    """Raise ValueError if this is no distance to be reached."""
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")


def _gather(
    opened: Sequence[View],
    title: str | None,
    where: Where | None,
    threshold: float,
    samples: bool,
    sampler: Sampler | None,
    seed: int,
) -> Report:
    """:func:`collect` from views that are open."""
    groups, metrics = group_rows(opened)  # first, as it finds archives that contradict each other
    facts = [_facts(view) for view in opened]
    rows = all_rows(opened)
    minima, ratios, skipped = _minima(opened, groups, threshold)
    sampled: list[SampledModel] = []
    if samples:
        sampled, more = sampled_models(opened, groups, sampler, seed)
        skipped += more
    else:
        skipped.append(Skipped("Samples", "the report was asked for without them."))
    varied = varying(group.other for group in groups)
    names = list(dict.fromkeys(fact.name for fact in facts))
    return Report(
        title=(title or ", ".join(names))[:_TITLE_LENGTH],
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        version=tnqbm.__version__,
        archives=tuple(facts),
        findings=tuple(findings(facts, rows, groups, minima, sampled, threshold=threshold)),
        groups=tuple(groups),
        metrics=metrics,
        varied=tuple(varied),
        shared={key: value for key, value in _first(groups) if key not in varied},
        threshold=threshold,
        minima=tuple(minima),
        ratios=tuple(ratios),
        sampled=tuple(sampled),
        spent=tuple(spent_by_group(opened)),
        records=max(view.most_records() for view in opened),
        selection=in_words(_flat(where)) if where else "",
        skipped=tuple(skipped),
    )


def _first(groups: Sequence[GroupRow]) -> Sequence[tuple[str, Any]]:
    return groups[0].other if groups else ()


def _flat(where: Where) -> dict[str, str]:
    return {
        key: str(value)
        if isinstance(value, str | int | float)
        else " or ".join(str(allowed) for allowed in value)
        for key, value in where.items()
    }


def _facts(view: View) -> ArchiveFacts:
    """What there is to say about an archive as a whole; every block of it is checked."""
    verdict = verify_archive(view.path)
    seeds = view.seeds()
    try:
        text, provenance = view.study_text, view.provenance
    except ArchiveError:
        text, provenance = "", {}
    parts = parts_folder(view.path)
    exists = view.path.exists()
    return ArchiveFacts(
        path=str(view.path),
        name=_study_name(text) or view.path.stem,
        study_text=text,
        size=view.path.stat().st_size if exists else 0,
        sha256=_digest(view.path) if exists else "",
        finished=sum(len(group.finished) for group in seeds),
        planned=sum(len(group.planned | group.finished) for group in seeds),
        groups=len(seeds),
        under_way=parts.is_dir(),
        whole=verdict.ok,
        checked=(
            f"{verdict.blocks_checked} blocks checked, {verdict.runs_whole} runs whole"
            + (f", {len(verdict.damaged)} damaged" if verdict.damaged else "")
        ),
        damage=tuple(verdict.problems),
        provenance=provenance,
        made_by=view.made_by(),
    )


def _study_name(text: str) -> str:
    try:
        name = tomllib.loads(text).get("name", "")
    except (ValueError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def _digest(path: Path) -> str:
    """SHA-256 that the seal of a whole file states; "" for any other."""
    try:
        if check_seal(path).status != "whole":
            return ""
        with path.open("rb") as file:
            head = file.read(SEAL_SIZE).decode("ascii", "replace")
    except (OSError, ArchiveError):
        return ""
    return head.partition("sha256: ")[2][:64]


def _minima(
    opened: Sequence[View], groups: Sequence[GroupRow], threshold: float
) -> tuple[list[MinimumHidden], list[HiddenRatio], list[Skipped]]:
    """Least hidden units and their ratios, where a study is about that."""
    what = "Least hidden units"
    known = [group for group in groups if "tvd" in group.metrics and group.metrics["tvd"].seeds]
    if not known:
        return [], [], [Skipped(what, "no finished run has a total variation distance.")]
    if most_hidden(known) < 2:
        why = "every model was trained with a single number of hidden units."
        return [], [], [Skipped(what, why)]
    minima, ratios = minimum_hidden_tables(opened, threshold=threshold)
    if not any(row.reached for row in minima):
        why = f"no series has a mean TVD below {threshold:g} at any number of hidden units tried."
        return [], [], [Skipped(what, why)]
    return minima, ratios, []
