"""Shots, jobs and circuit sizes that estimates used, for one estimate and run by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_LARGEST = ("depth", "two_qubit_gates")
"""Fields of which the largest value is kept; the others are added up."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one estimate used, or several together (``+``).

    Attributes
    ----------
    shots, kept_shots : shots in all, and those that survived post-selection (or all, without any).
    depth, two_qubit_gates : of the largest circuit as it was run: operations one after another, and
        operations on two qubits. A simulator runs circuits as they are built, where a CRY is one
        operation; for a quantum computer they are translated into its own gates first.
    shot_retries : times that a circuit was run again because too few of its shots were kept.
    jobs, job_retries : jobs submitted, and those among them that another one had failed before.
        None are submitted where shots are drawn from outcomes found exactly.
    proposals, accepted : of Markov chains: proposals after the burn-in, and those accepted.
    """

    shots: int = 0
    kept_shots: int = 0
    depth: int = 0
    two_qubit_gates: int = 0
    shot_retries: int = 0
    jobs: int = 0
    job_retries: int = 0
    proposals: int = 0
    accepted: int = 0

    def __add__(self, other: Usage) -> Usage:
        both = zip(self.counts.items(), other.counts.values(), strict=True)
        return Usage(**{k: max(a, b) if k in _LARGEST else a + b for (k, a), b in both})

    @property
    def counts(self) -> dict[str, Any]:
        """These numbers by name, without what a subclass adds."""
        return {name: getattr(self, name) for name in FIELDS}

    @property
    def success_rate(self) -> float:
        """Share of the shots that was kept; nan without any shot."""
        return self.kept_shots / self.shots if self.shots else float("nan")

    @property
    def acceptance_rate(self) -> float:
        """Share of the chains' proposals that was accepted; nan without chains."""
        return self.accepted / self.proposals if self.proposals else float("nan")


FIELDS = tuple(field.name for field in fields(Usage))


class TooFewShotsError(RuntimeError):
    """Post-selection left too few shots for averages, even of the largest number that is tried.

    ``usage`` is what was used in vain.
    """

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.usage)


class Ledger:
    """What each of several runs has used: the report of estimators with circuits.

    ``names`` are facts that hold for all of them (strategy, backend), ``keys`` (runs,) the seeds of
    their random streams; ``chains`` says whether there are any.
    """

    def __init__(self, keys: NDArray[np.uint64], names: Mapping[str, str], *, chains: bool) -> None:
        self._keys, self._names, self._chains = keys, dict(names), chains
        self._runs = [Usage()] * keys.size
        self._estimates = np.zeros(keys.size, dtype=np.int64)

    def add(self, run: int, usage: Usage) -> None:
        """One more estimate of a run."""
        self._runs[run] += usage
        self._estimates[run] += 1

    def report(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.generic]]:
        """Totals of runs ``rows``, (B,) each: see docs/quantum.md for the names."""
        runs = [self._runs[row] for row in rows]
        totals: dict[str, NDArray[Any]] = {
            name: np.full(len(runs), value) for name, value in self._names.items()
        }
        totals |= {
            "key": self._keys[rows],
            "estimates": self._estimates[rows],
            "kept_shots": np.array([run.kept_shots for run in runs], dtype=np.int64),
            "success_rate": np.array([run.success_rate for run in runs]),
        }
        for name in ("shots", "shot_retries", "jobs", "job_retries", *_LARGEST):
            totals[name] = np.array([getattr(run, name) for run in runs], dtype=np.int64)
        if self._chains:
            totals["acceptance_rate"] = np.array([run.acceptance_rate for run in runs])
        return totals

    def of_update(self, usage: list[Usage]) -> dict[str, NDArray[np.float64]]:
        """What the estimates of one update used, (B,) each, for the rows that are recorded."""
        columns = {
            "shots": np.array([run.shots for run in usage], dtype=np.float64),
            "kept_shots": np.array([run.kept_shots for run in usage], dtype=np.float64),
        }
        if self._chains:
            columns["acceptance_rate"] = np.array([run.acceptance_rate for run in usage])
        return columns

    def state(self) -> Integers:
        """All of it, (runs, fields), for a checkpoint."""
        rows = [
            [*run.counts.values(), count]
            for run, count in zip(self._runs, self._estimates, strict=True)
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, len(FIELDS) + 1)

    def restore(self, state: NDArray[Any]) -> None:
        """Take over :meth:`state`; ValueError if it is another number of runs."""
        rows = np.asarray(state, dtype=np.int64)
        if rows.shape != (self._keys.size, len(FIELDS) + 1):
            raise ValueError(
                f"checkpoint's account of shots has shape {rows.shape}, this training's is "
                f"({self._keys.size}, {len(FIELDS) + 1})"
            )
        self._runs = [Usage(**dict(zip(FIELDS, row[:-1].tolist(), strict=True))) for row in rows]
        self._estimates = rows[:, -1].copy()
