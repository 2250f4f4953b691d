"""What a report says, as plain numbers and words: nothing here knows HTML or figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive.estimator_reports import Value
from tnqbm.archive.minimum_hidden import HiddenRatio, MinimumHidden
from tnqbm.archive.rows import Group
from tnqbm.base.text import short_repr

Level = Literal["problem", "caution", "note"]


@dataclass(frozen=True)
class Finding:
    """Something a reader must know before trusting the numbers.

    ``level``: "problem" (data are lost or wrong), "caution" (numbers may mislead) or "note".
    ``items`` name examples, ``more`` counts those that are not named.
    """

    level: Level
    title: str
    detail: str
    items: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class ArchiveFacts:
    """One archive: its study, how far it is, whether it is whole, and what made it.

    ``finished`` and ``planned`` count the runs chosen; ``damaged`` names blocks that cannot be
    read; ``whole`` is the verdict of a full check and ``checked`` says it in words. ``sha256`` is
    the seal's digest of the file, "" without one. ``provenance`` are the header's facts and
    ``made_by`` runs by version and host, as the blocks say.
    """

    path: str
    name: str
    study_text: str
    size: int
    sha256: str
    finished: int
    planned: int
    groups: int
    under_way: bool
    whole: bool
    checked: str
    damage: tuple[str, ...]
    provenance: Mapping[str, str]
    made_by: Mapping[str, Mapping[str, int]]

    @property
    def missing(self) -> int:
        """Planned runs that are not there."""
        return self.planned - self.finished


@dataclass(frozen=True)
class Statistics:
    """A metric's final values over the finished seeds of a group.

    ``std`` has ddof = 0. ``low`` and ``high`` bound the 95 % bootstrap interval of the mean, None
    for fewer than :data:`tnqbm.report.groups.MIN_SEEDS` seeds. ``dropped`` runs had no finite
    value.
    """

    mean: float
    std: float
    low: float | None
    high: float | None
    seeds: int
    dropped: int


@dataclass(frozen=True)
class GroupRow(Group):
    """Runs that differ only in their seed. ``parameters`` is None for sparse couplings."""

    parameters: int | None
    planned: int
    finished: int
    metrics: Mapping[str, Statistics]
    log_z_error: float | None = None
    """Largest standard error of the recorded log Z; None if it is exact or was not recorded."""
    log_z_untrusted: int = 0
    """Runs whose recorded log Z is not to be relied on."""


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z in nats with its standard error, 0 if exact, and the verdict on it."""

    value: float
    error: float
    method: str
    trusted: bool
    warnings: tuple[str, ...] = ()


@short_repr
@dataclass(frozen=True)
class Draw:
    """Samples of a model, and how they were drawn.

    ``samples`` (chains, draws, n) uint8. The diagnostics are None where there are no chains:
    split R-hat and effective samples of the energy and of the worst visible unit, accepted share
    of proposals. ``mixed`` is the verdict, ``warnings`` the reasons.
    """

    samples: NDArray[np.uint8]
    method: str
    rhat_energy: float | None = None
    rhat_visible: float | None = None
    ess_energy: float | None = None
    ess_visible: float | None = None
    acceptance: float | None = None
    mixed: bool | None = None
    warnings: tuple[str, ...] = ()
    log_z: LogZ | None = None


@short_repr
@dataclass(frozen=True)
class SampledModel:
    """A final model whose visible units are pixels: samples of it, and the data it learned.

    ``shape`` is (height, width). ``data`` (K, n) are distinct rows of the data. ``in_data`` is
    the share of samples that are rows of the data, None unless the data are known exactly.
    ``recorded`` is log Z as the run recorded it.
    """

    coordinates: Mapping[str, Any]
    parameters: int
    shape: tuple[int, int]
    data: NDArray[np.uint8]
    draw: Draw
    in_data: float | None
    recorded: LogZ | None


@dataclass(frozen=True)
class Spent:
    """What the estimator of a group's gradients reports, over its ``runs``.

    ``values`` by name: sums of whole numbers (of sizes of circuits the largest), means of
    fractions, and texts.
    """

    coordinates: Mapping[str, Any]
    runs: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Skipped:
    """A part that a report could have and this one has not."""

    what: str
    why: str


@dataclass(frozen=True)
class Report:
    """All that a report of one archive or several says, figures apart.

    ``metrics`` are those that some group has, ``varied`` the names of further coordinates in
    which groups differ, ``shared`` those that all groups have alike.
    """

    title: str
    written: str
    version: str
    archives: tuple[ArchiveFacts, ...]
    findings: tuple[Finding, ...]
    groups: tuple[GroupRow, ...]
    metrics: tuple[str, ...]
    varied: tuple[str, ...]
    shared: Mapping[str, Any]
    threshold: float
    minima: tuple[MinimumHidden, ...]
    ratios: tuple[HiddenRatio, ...]
    sampled: tuple[SampledModel, ...]
    spent: tuple[Spent, ...]
    records: int
    selection: str
    skipped: tuple[Skipped, ...]

    @property
    def finished(self) -> int:
        """Finished runs, those that several archives hold counted once."""
        return sum(group.finished for group in self.groups)

    @property
    def planned(self) -> int:
        """Planned runs, likewise."""
        return sum(group.planned for group in self.groups)
