"""What models with further couplings save: hidden units and parameters, beside those they extend.

Numbers at which the mean over seeds falls to a threshold, as in
:mod:`tnqbm.archive.minimum_hidden`, for units and for trained parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tnqbm.archive.minimum_hidden import (
    HIDDEN,
    REFERENCE,
    Count,
    MinimumHidden,
    Ratio,
    bootstrap,
    minimum,
    ratio_of,
    series_groups,
)
from tnqbm.archive.rows import Group, Series, Where
from tnqbm.training.families import FAMILIES, n_parameters

if TYPE_CHECKING:
    from tnqbm.archive import Archive

OF_FAMILIES = {"family", "couple"}.union(*(family.settings for family in FAMILIES.values()))
"""Coordinates that tell models from the sqRBMs that they extend or restrict."""


@dataclass(frozen=True)
class Saving(Series):
    """Hidden units and parameters of one series of models at the threshold, and what they save.

    ``hidden`` and ``parameters`` are where the mean falls to it; of ``parameters``, the numbers
    tried and all others are numbers of trained parameters. ``hidden_ratio`` and ``parameter_ratio``
    are those of the ``reference`` over those of the series, more than 1 where the series saves:
    of models of other families, and of those that lack couplings, over sqRBMs of the same Pauli
    matrices; of sqRBMs over RBMs ("Z"). None where there is no such reference in the archive.
    """

    hidden: MinimumHidden
    parameters: MinimumHidden
    reference: str
    hidden_ratio: Ratio | None
    parameter_ratio: Ratio | None


def savings_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    metric: str = "tvd",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    where: Where | None = None,
) -> list[Saving]:
    """Savings of every series of runs; arguments, and errors, of
    :func:`tnqbm.archive.minimum_hidden.minimum_hidden_table`.

    Resamples weigh runs of equal seed alike in all series.
    """
    counts: Mapping[str, Count] = {"hidden": HIDDEN, "parameters": _parameters}
    groups = series_groups(archives, threshold, metric, resamples, where)
    draws, rows = {}, {}
    for name, count in counts.items():
        draws[name] = bootstrap(groups, threshold, resamples, seed, count)
        rows[name] = {
            s: minimum(s, groups[s], draws[name][s], threshold, confidence, count) for s in groups
        }
    found = []
    for series in rows["hidden"]:
        extended = extended_by(series)
        ratios = {
            name: ratio_of(
                rows[name][extended],
                rows[name][series],
                draws[name][extended],
                draws[name][series],
                confidence,
            )
            for name in counts
            if extended in rows[name] and extended != series
        }
        found.append(
            Saving(
                **vars(series),
                hidden=rows["hidden"][series],
                parameters=rows["parameters"][series],
                reference=extended.paulis if ratios else "",
                hidden_ratio=ratios.get("hidden"),
                parameter_ratio=ratios.get("parameters"),
            )
        )
    return found


def extended_by(series: Series) -> Series:
    """The series of the models that those of a series are compared with; of RBMs themselves."""
    plain = tuple(pair for pair in series.other if pair[0] not in OF_FAMILIES)
    paulis = REFERENCE if plain == series.other else series.paulis
    return Series(series.data, series.visible, paulis, plain)


def _parameters(group: Group) -> int:
    return n_parameters(group.coordinates)
