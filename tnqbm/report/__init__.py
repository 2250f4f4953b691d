"""Reports of studies: one self-contained HTML page for an archive or several.

:func:`write` makes the page, :func:`collect` only the numbers in it. Needs the extra ``report``
(Jinja2 and matplotlib).
"""

from __future__ import annotations

from pathlib import Path

from tnqbm.archive.rows import Where
from tnqbm.files.atomic import atomic_write
from tnqbm.files.outputs import REPORT, check_output
from tnqbm.report.collect import Archives, check_threshold, collect, gather
from tnqbm.report.content import Draw, Finding, LogZ, Report
from tnqbm.report.samples import Sampler
from tnqbm.report.view import archive_paths, views

__all__ = ["Draw", "Finding", "LogZ", "Report", "Sampler", "collect", "write"]


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
    from tnqbm.figures.layout import require_matplotlib
    from tnqbm.report.figures import draw
    from tnqbm.report.html import render, require_jinja

    require_jinja()
    require_matplotlib()
    target = check_output(path, REPORT, overwrite=overwrite, inputs=archive_paths(archives))
    check_threshold(threshold)
    with views(archives, where) as opened:
        report = gather(
            opened,
            title=title,
            where=where,
            threshold=threshold,
            samples=samples,
            sampler=sampler,
            seed=seed,
        )
        drawings, skipped = draw(opened, report)
    page = render(report, drawings, skipped)
    with atomic_write(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))  # titles may hold any bytes
    return report
