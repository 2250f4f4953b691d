"""Tasks: which runs are trained together, what they cost, and in which order they start."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mc.studies.seeds import Coordinate, canonical_json
from tnqbm.archive.coordinates import block_name

TASK_COST = 4e10
"""Largest cost of one task where the batch is chosen automatically: under a minute's work."""

MIN_BATCH, MAX_BATCH = 4, 32
"""Bounds on the automatic batch: enough seeds to share a kernel call, few enough to hand out."""

MIN_TASKS = 32
"""A small study is still cut into about this many tasks, so that several ranks have work."""

Key = tuple[str, int]
"""A run's identity: canonical coordinates (without seed) and seed."""


def run_key(coordinates: Mapping[str, Coordinate], seed: int) -> Key:
    """The identity of one run, equal for equal coordinates whatever their order."""
    rest = {name: value for name, value in coordinates.items() if name != "seed"}
    return canonical_json(rest), int(seed)


@dataclass(frozen=True)
class Task:
    """Runs with the same coordinates except the seed, trained together and stored as one block.

    ``cost`` is in the units of :func:`tnqbm.training.costs.run_cost`. ``index`` is the task's place
    in the schedule.
    """

    index: int
    coordinates: dict[str, Coordinate] = field(hash=False)
    seeds: tuple[int, ...]
    cost: float

    @property
    def key(self) -> str:
        """The name of the task's block, and of its files: unique, the same at every start."""
        return block_name(self.coordinates, self.seeds)

    def describe(self) -> str:
        """The coordinates for people, e.g. in error messages."""
        pairs = [f"{name} = {value!r}" for name, value in self.coordinates.items()]
        return ", ".join([*pairs, f"seed = {seeds_text(self.seeds)}"])


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds for people: ``7``, ``1..20`` or ``1, 3, 9``."""
    if len(seeds) == 1:
        return str(seeds[0])
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}..{seeds[-1]}"
    return ", ".join(map(str, seeds))


def batch_size(cost_per_run: float, n_seeds: int, total_cost: float, batch: int | None) -> int:
    """Seeds per task: ``batch`` if given, else chosen from the costs alone.

    The choice must not depend on the number of ranks: a resume elsewhere then finds the same
    tasks and their checkpoints.
    """
    if batch is not None:
        return min(batch, n_seeds)
    limit = min(TASK_COST, total_cost / MIN_TASKS)
    largest = min(MAX_BATCH, max(MIN_BATCH, int(limit / cost_per_run)))
    # Equal tasks: 20 seeds in batches of at most 16 are 10 + 10, not 16 + 4.
    return math.ceil(n_seeds / math.ceil(n_seeds / min(largest, n_seeds)))


def make_tasks(
    groups: Iterable[tuple[Mapping[str, Coordinate], Sequence[int]]],
    *,
    cost: Callable[[Mapping[str, Coordinate]], float],
    batch: int | None,
    finished: Collection[Key] = frozenset(),
    begun: Iterable[tuple[Mapping[str, Coordinate], Sequence[int]]] = (),
) -> list[Task]:
    """Cut the runs that are not ``finished`` into tasks, the most expensive first.

    ``cost`` gives the cost of one run.
    ``begun`` are the (coordinates, seeds) of checkpoints: where all of a checkpoint's runs are
    still to do it becomes a task as it stands, whatever the batch would be today.
    """
    plan = [(dict(coordinates), list(seeds)) for coordinates, seeds in groups]
    costs = [cost(coordinates) for coordinates, _ in plan]
    total = sum(each * len(seeds) for each, (_, seeds) in zip(costs, plan, strict=True))
    adopted: dict[str, list[tuple[int, ...]]] = {}
    for coordinates, seeds in begun:
        adopted.setdefault(canonical_json(coordinates), []).append(tuple(seeds))
    found: list[Task] = []
    for one, (coordinates, seeds) in zip(costs, plan, strict=True):
        name = canonical_json(coordinates)
        size = batch_size(one, len(seeds), total, batch)
        chunks: list[tuple[int, ...]] = []
        todo = {seed for seed in seeds if (name, seed) not in finished}
        for chunk in adopted.get(name, []):
            if chunk and todo.issuperset(chunk):
                chunks.append(chunk)
                todo.difference_update(chunk)
        # Cut before filtering, so that what is finished does not move the borders of the rest.
        for start in range(0, len(seeds), size):
            rest = tuple(seed for seed in seeds[start : start + size] if seed in todo)
            if rest:
                chunks.append(rest)
        found += [Task(0, coordinates, chunk, one * len(chunk)) for chunk in chunks]
    found.sort(key=lambda task: -task.cost)  # stable: equal costs keep the study's order
    return [Task(k, task.coordinates, task.seeds, task.cost) for k, task in enumerate(found)]
