"""Groups of runs as ``show`` prints them: means over seeds, shots, what failed or is doubted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mc.cli.common import number
from tnqbm.archive.archive import mean_and_std
from tnqbm.archive.rows import chosen, in_words
from tnqbm.archive.summaries import leading_metrics
from tnqbm.archive.trust import doubts, with_bounds
from tnqbm.training.families import n_parameters

if TYPE_CHECKING:
    from tnqbm.archive import Archive, RunRow
    from tnqbm.archive.rows import Group, GroupSeeds, Value


MOST = 24
"""Runs that are named."""

Doubt = tuple["RunRow", str]


def doubted(
    archive: Archive,
    where: Any,
    *,
    rows: Sequence[RunRow] | None = None,
    skip_damaged: bool = False,
) -> list[Doubt]:
    """Runs whose log Z cannot be right, and why; ``rows`` are the archive's, if they are known."""
    rows = archive.rows(skip_damaged=skip_damaged) if rows is None else rows
    bounded = with_bounds(rows, archive.runs(skip_damaged=skip_damaged))
    return doubts(chosen(bounded, where))


def doubt_lines(doubts: Sequence[Doubt]) -> list[str]:
    """What there is to print about them; nothing if there are none."""
    if not doubts:
        return []
    runs = "1 run" if len(doubts) == 1 else f"{len(doubts)} runs"
    lines = [
        f"log Z of {runs} is not to be trusted; TVD, KL and NLL that rest on it say nothing, and "
        "neither do means over them:"
    ]
    lines += [f"  {in_words(row.identity)}: {why}" for row, why in doubts[:MOST]]
    if len(doubts) > MOST:
        lines.append(f"  and {len(doubts) - MOST} more")
    return lines


HEADS = {
    "tvd": "TVD", "kl": "KL (nats)", "nll": "NLL", "valid_nll": "valid NLL", "test_nll": "test NLL",
}  # fmt: skip


@dataclass
class GroupFacts:
    """The finished runs of a group, in order of their seeds, and how many of them are doubted."""

    seeds: GroupSeeds
    rows: list[RunRow] = field(default_factory=list)
    doubted: int = 0

    @property
    def parameters(self) -> int:
        """How many parameters the models have."""
        return n_parameters(self.seeds.coordinates)

    @property
    def failed(self) -> int:
        """Runs that failed before their last update."""
        return sum(row.stopped == "failed" for row in self.rows)

    @property
    def shots(self) -> dict[str, Value]:
        """Shots of all runs and the share of them that was kept; empty if there were none."""
        reports = [row.estimator for row in self.rows if "shots" in row.estimator]
        shots = sum(int(report["shots"]) for report in reports)
        kept = sum(int(report.get("kept_shots", report["shots"])) for report in reports)
        return {"shots": shots, "success_rate": kept / shots} if shots else {}

    def statistics(self, metric: str) -> tuple[float | None, float | None]:
        """Mean and standard deviation of the final values over the seeds."""
        return mean_and_std([row.metrics[metric] for row in self.rows])

    def flat(self, metrics: Sequence[str]) -> dict[str, Any]:
        """The group as one flat record, without what concerns several groups."""
        counts = {"runs": len(self.seeds.planned), "finished": len(self.seeds.finished)}
        means = {}
        for metric in dict.fromkeys(["tvd", "kl", *metrics]):
            means[f"{metric}_mean"], means[f"{metric}_std"] = self.statistics(metric)
        return {**self.seeds.coordinates, **counts, **means, **self.shots}


def group_facts(
    groups: Iterable[GroupSeeds], rows: Iterable[RunRow], doubts: Iterable[Doubt]
) -> list[GroupFacts]:
    """The groups with their runs; rows and doubts of other groups are left out."""
    facts: dict[Group, GroupFacts] = {seeds.group: GroupFacts(seeds) for seeds in groups}
    for row in rows:
        if row.group in facts:
            facts[row.group].rows.append(row)
    for row, _ in doubts:
        if row.group in facts:
            facts[row.group].doubted += 1
    return list(facts.values())


def shown_metrics(groups: Sequence[GroupFacts]) -> list[str]:
    """The metrics to show, the leading one first.

    The NLL of the training data is shown where they are samples; that of others if there are any.
    """
    leading = leading_metrics({facts.seeds.group.data for facts in groups})
    samples = leading[0] != "tvd"
    rows = [row for facts in groups for row in facts.rows]
    likelihoods = ["test_nll", "valid_nll", *(["nll"] if samples else [])]
    known = [name for name in likelihoods if any(row.metrics[name] is not None for row in rows)]
    return [*([] if samples else ["tvd", "kl"]), *known] or ["tvd", "kl"]


def shots_words(report: Mapping[str, Value]) -> tuple[str, str]:
    """Shots, and the share of them that was kept, as a table shows them."""
    shots = report.get("shots")
    rate = report.get("success_rate")
    return "–" if shots is None else f"{shots:,}", number(None if rate is None else float(rate))
