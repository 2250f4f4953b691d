"""Warnings of a report: what makes its numbers less than they seem, in one list."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tnqbm.archive.coordinates import describe
from tnqbm.archive.minimum_hidden import MinimumHidden
from tnqbm.archive.rows import TRACEBACK, RunRow, varying
from tnqbm.archive.trust import doubts
from tnqbm.report.content import ArchiveFacts, Finding, GroupRow, Level, SampledModel
from tnqbm.report.groups import MIN_SEEDS
from tnqbm.training.trajectory import LOG_Z_LIMIT, METRICS, ran_away

MOST = 12
"""Examples that a warning names."""

SAME = {
    **{
        name: f"versions: {name}"
        for name in ("tnqbm", "python", "numpy", "scipy", "numba", "h5py", "mpi")
    },
    "commit": "commits",
    "source": "source code",
    "processor": "processors",
    "vectors": "vector instructions",
}
"""Facts of provenance that should be the same in archives that are shown together, and what they
are called where they are not."""

_CHANGED = "+changes"
_RANK: dict[Level, int] = {"problem": 0, "caution": 1, "note": 2}


def findings(
    archives: Sequence[ArchiveFacts],
    rows: Sequence[RunRow],
    groups: Sequence[GroupRow],
    minima: Sequence[MinimumHidden],
    sampled: Sequence[SampledModel],
    *,
    threshold: float,
) -> list[Finding]:
    """All warnings, the worst first. ``rows`` are those of the archives' tables."""
    listed = [
        *_damage(archives),
        *_failed(rows),
        *_missing(archives, groups),
        *_ran_away(rows),
        *_not_finite(rows),
        *_log_z(rows),
        *_chains(sampled),
        *_origin(archives),
        *_few_seeds(groups),
        *_thresholds(minima, threshold),
        *_bounds(rows),
        *_early_ends(rows),
    ]
    return sorted(listed, key=lambda finding: _RANK[finding.level])


def _finding(level: Level, title: str, detail: str, items: Iterable[str] = ()) -> Finding:
    listed = list(items)
    return Finding(level, title, detail, tuple(listed[:MOST]), max(0, len(listed) - MOST))


def _damage(archives: Sequence[ArchiveFacts]) -> Iterable[Finding]:
    for archive in archives:
        if not archive.whole:
            yield _finding(
                "problem",
                f"{archive.path} is damaged",
                f"{archive.checked}. Damaged runs are left out of all that follows. "
                "'tnqbm run ... --resume' makes them again; 'tnqbm merge --skip-damaged' rescues "
                "the others.",
                archive.damage,
            )


def _failed(rows: Sequence[RunRow]) -> Iterable[Finding]:
    failed = [row for row in rows if row.stopped == "failed"]
    if failed:
        yield _finding(
            "problem",
            f"{_count(len(failed), 'run')} failed",
            "They raised an error, their parameters stopped being finite, or their gradient could "
            "not be estimated any more. Training ended there; means include the values they had "
            "reached.",
            (
                f"{_name(row)}{f' ({row.place})' if row.place else ''}: "
                f"{row.cause or _after(row)}{_traceback(row)}"
                for row in failed
            ),
        )


def _traceback(row: RunRow) -> str:
    """The end of the traceback of a run that raised, where it says more than the cause."""
    lines = row.failure.get(TRACEBACK, "").strip().splitlines()
    places = [line.strip() for line in lines if line.startswith('  File "')]
    return f" [{places[-1]}]" if places else ""


def _after(row: RunRow) -> str:
    """What is known of a failed run of a version that did not keep the cause."""
    return f"after {row.steps} updates"


def _missing(archives: Sequence[ArchiveFacts], groups: Sequence[GroupRow]) -> Iterable[Finding]:
    short = [group for group in groups if group.finished < group.planned]
    if not short:
        return
    missing = sum(group.planned - group.finished for group in short)
    under_way = [archive.path for archive in archives if archive.under_way]
    why = (
        f"The study of {', '.join(under_way)} is under way or was interrupted: what is here are "
        "the runs that have finished so far."
        if under_way
        else "The study was stopped, runs of it failed, or they are damaged."
    )
    yield _finding(
        "caution",
        f"{missing} of {_count(sum(g.planned for g in groups), 'planned run')} "
        f"{'is' if missing == 1 else 'are'} missing",
        f"{why} Means are over the seeds that are there. 'tnqbm run ... --resume' continues.",
        (f"{describe(g.coordinates)}: {g.finished} of {g.planned}" for g in short),
    )


def _ran_away(rows: Sequence[RunRow]) -> Iterable[Finding]:
    worse = [(row, what) for row in rows if (what := ran_away(row.metrics, row.group.visible))]
    if worse:
        yield _finding(
            "problem",
            f"{_count(len(worse), 'run')} ended worse than fair coins",
            "Training ran away, or had hardly begun: the likelihood is below that of independent "
            "fair bits. A lower learning rate, the centred gradient (centred), more steps, or "
            "early stopping (patience) help.",
            (f"{_name(row)}: {what}" for row, what in worse),
        )


def _not_finite(rows: Sequence[RunRow]) -> Iterable[Finding]:
    alive = [row for row in rows if row.stopped != "failed"]
    bad = {name: listed for name in METRICS if (listed := [r for r in alive if _diverged(r, name)])}

    if bad:
        total = len({id(row) for listed in bad.values() for row in listed})
        yield _finding(
            "caution",
            f"{_count(total, 'run')} with metrics that are not finite",
            "They are left out of the means of these metrics; their training may have diverged.",
            (
                f"{name}: {_name(row)}" if len(listed) <= MOST // 2 else f"{name}: {len(listed)}"
                for name, listed in bad.items()
                for row in (listed if len(listed) <= MOST // 2 else listed[:1])
            ),
        )


def _diverged(row: RunRow, metric: str) -> bool:
    value = row.metrics[metric]
    return value is not None and not math.isfinite(value)


def _log_z(rows: Sequence[RunRow]) -> Iterable[Finding]:
    doubted = doubts(rows)
    if doubted:
        yield _finding(
            "caution",
            f"log Z of {_count(len(doubted), 'run')} is not to be trusted",
            f"Their standard error exceeds {LOG_Z_LIMIT:.2f} nats (fewer than 10 effective "
            "chains), or the data alone weigh more than the estimate, which nothing but a wrong "
            "log Z explains. Distances and likelihoods of these runs say nothing, and neither do "
            "means over them; figures show them all the same.",
            (f"{_name(row)}: {why}" for row, why in doubted),
        )


def _chains(sampled: Sequence[SampledModel]) -> Iterable[Finding]:
    unmixed = [m for m in sampled if m.draw.mixed is False]
    if unmixed:
        yield _finding(
            "caution",
            f"Chains of {_count(len(unmixed), 'model')} have not mixed",
            "The samples shown may not represent the model.",
            (f"{describe(m.coordinates)}: {'; '.join(m.draw.warnings)}" for m in unmixed),
        )
    doubtful = [m for m in sampled if m.draw.log_z and not m.draw.log_z.trusted]
    if doubtful:
        yield _finding(
            "caution",
            f"log Z of {_count(len(doubtful), 'sampled model')} could not be confirmed",
            "A fresh estimate of log Z is itself not to be trusted.",
            (
                f"{describe(m.coordinates)}: {'; '.join(m.draw.log_z.warnings)}"
                for m in doubtful
                if m.draw.log_z
            ),
        )
    apart = [m for m in sampled if _disagree(m)]
    if apart:
        yield _finding(
            "caution",
            f"log Z of {_count(len(apart), 'model')} differs from what was recorded",
            "A fresh estimate lies more than three standard errors from the recorded one.",
            (
                f"{describe(m.coordinates)}: recorded {m.recorded.value:.6g}, "
                f"now {m.draw.log_z.value:.6g}"
                for m in apart
                if m.recorded and m.draw.log_z
            ),
        )


def _disagree(model: SampledModel) -> bool:
    old, new = model.recorded, model.draw.log_z
    if old is None or new is None or not new.trusted:
        return False
    gap = abs(new.value - old.value)
    return gap > 3.0 * math.hypot(new.error, old.error) + 1e-6 * (1.0 + abs(new.value))


def _origin(archives: Sequence[ArchiveFacts]) -> Iterable[Finding]:
    changed = [a for a in archives if _CHANGED in a.provenance.get("commit", "")]
    if changed:
        yield _finding(
            "caution",
            "Made by source code with changes that no commit holds",
            "The runs cannot be traced to a version of the program.",
            (f"{a.path}: commit {a.provenance['commit']}" for a in changed),
        )
    for name, plural in SAME.items():
        values = {a.path: a.provenance.get(name, "unknown") for a in archives}
        if len(set(values.values()) - {"unknown"}) > 1:
            yield _finding(
                "caution",
                f"Archives of different {plural}",
                "Numbers may differ in their last digits, or for better reasons.",
                (f"{path}: {value}" for path, value in values.items()),
            )
    for archive in archives:
        builds = archive.made_by.get("build", {})
        if len(builds) > 1:
            yield _finding(
                "caution",
                f"Runs of {archive.path} were made by different builds of tnqbm",
                "The study went on with another version, source code or kind of processor than it "
                "began with: numbers may differ in their last digits, or for better reasons.",
                (f"{build}: {_count(runs, 'run')}" for build, runs in builds.items()),
            )
    again = [a for a in archives if int(a.provenance.get("starts", "1") or "1") > 1]
    if again:
        yield _finding(
            "note",
            "Studies that were started more than once",
            "Versions and commit are those of the last start.",
            (f"{a.path}: {a.provenance['starts']} starts" for a in again),
        )


def _few_seeds(groups: Sequence[GroupRow]) -> Iterable[Finding]:
    few = [group for group in groups if 0 < group.finished < MIN_SEEDS]
    if few:
        yield _finding(
            "caution",
            f"{len(few)} of {_count(len(groups), 'group')} {'has' if len(few) == 1 else 'have'} "
            f"fewer than {MIN_SEEDS} finished seeds",
            "Their spread says little, and they get no interval.",
            (f"{describe(g.coordinates)}: {g.finished}" for g in few),
        )


def _thresholds(minima: Sequence[MinimumHidden], threshold: float) -> Iterable[Finding]:
    short = [row for row in minima if not row.reached]
    if short and len(short) < len(minima):
        names = varying(row.other for row in minima)
        yield _finding(
            "note",
            f"{len(short)} of {_count(len(minima), 'series')} never get below a mean TVD of "
            f"{threshold:g}",
            "Their least number of hidden units is above the largest one tried.",
            (
                f"data={r.data} visible={r.visible} paulis={r.paulis}"
                + "".join(f" {k}={v}" for k, v in r.other if k in names)
                + f": tried up to m = {r.tried[-1]}"
                for r in short
            ),
        )


def _bounds(rows: Sequence[RunRow]) -> Iterable[Finding]:
    estimated = [row for row in rows if row.metrics["log_partition_error"]]
    if estimated:
        yield _finding(
            "note",
            f"Distances and likelihoods of {_count(len(estimated), 'run')} rest on an estimated "
            "log Z",
            "Annealing finds log Z too low rather than too high, and misses modes that no chain "
            "has seen: TVD, KL and NLL of these runs are lower bounds on average.",
        )


def _early_ends(rows: Sequence[RunRow]) -> Iterable[Finding]:
    early = sum(row.stopped == "plateau" for row in rows)
    if early:
        yield _finding(
            "note",
            f"{_count(early, 'run')} ended before the last iteration",
            "Training stopped where the study's rule of early stopping said so.",
        )


def _name(row: RunRow) -> str:
    return describe(row.identity)


def _count(number: int, noun: str) -> str:
    plural = noun if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
