"""Tasks: which runs are trained together, what they cost, and in which order they start."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mc.studies.seeds import Coordinate, canonical_json

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

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


def run_cost(coordinates: Mapping[str, Coordinate], iterations: int) -> float:
    """Cost of one run by exact enumeration, in nanoseconds of one core of a current processor.

    A fit to measured times, good to a factor of two or so. Only ratios matter: they order the
    tasks and weigh the progress display, whose clock measures the real rate.
    """
    n, m = int(coordinates["visible"]), int(coordinates["hidden"])
    p = len(str(coordinates["paulis"]))
    sums = 2.0**n * (m * (0.4 * p + 1.3) + 4.0)
    optimizer = 35.0 * p * m * (n + 1)
    return iterations * (sums + optimizer + 7500.0)


SUPPORT = 1000
"""Rows of data assumed where an update uses all of them: only loading the data would tell."""

SINGLE = 0.45
"""Time of a sweep in single precision, in that of double."""

SWEEP = {"block": 0.09, "bloch": 0.4, "thermal": 0.4, "measured": 0.6}
"""Nanoseconds of one pair of units in a sweep of one chain; collapsed ones take the most."""

COLLAPSED = 1.25


def sampling_cost(coordinates: Mapping[str, Coordinate], settings: TrainingSettings) -> float:
    """Cost of one run with chains or minibatches, in the units of :func:`run_cost`.

    Fits to scripts/benchmarks/forecast.py, which says how good they are.
    """
    n, m = int(coordinates["visible"]), int(coordinates["hidden"])
    p = len(str(coordinates["paulis"]))
    averages = 50.0 + 0.1 * p * n * m * (0.6 if settings.precision == "single" else 1.0)
    sweep = _sweep_cost(n, m, p, settings)
    enumeration = 2.0**n * (m * (0.4 * p + 1.3) + 4.0) if n <= 40 else 0.0
    rows = settings.batch_size or min(SUPPORT, 2.0 ** min(n, 40))
    update = rows * averages + 5.0 * p * m * (n + 1) + 2e4
    evaluation = 0.0
    evaluations = _evaluations(settings)
    if settings.negative_phase == "exact":
        update += enumeration
    elif settings.negative_phase == "quantum":
        update += _circuits_cost(n, m, settings)
    elif settings.negative_phase == "tensor":
        # Samples of a network of bond chi, and fits, at least so often: more where models drift.
        chi = settings.max_bond
        sample = n * (2.0 * chi**2 + p * m)
        fit = 40.0 * n * chi * (chi**2 + m * p * chi)
        update += settings.chains * (sample + averages) + fit / settings.refit
    else:
        chains = settings.chains
        if settings.negative_phase == "cd":
            chains = settings.batch_size or chains
        # Weights at other temperatures: a logarithm for every hidden unit, two for a swap.
        if settings.negative_phase == "tempered":
            moves = settings.steps * settings.temperatures * (1.15 * sweep + 16.0 * m)
        else:
            moves = settings.steps * sweep
        update += chains * (moves + averages)
        if settings.evaluate == "ais":
            evaluation = settings.ais_chains * settings.ais_betas * (1.1 * sweep + 8.0 * m)
        elif settings.evaluate == "exact" or (settings.evaluate == "auto" and n <= 16):
            evaluation = enumeration
    return settings.iterations * update + evaluations * evaluation


def _circuits_cost(n: int, m: int, settings: TrainingSettings) -> float:
    """Nanoseconds of the circuits of one update on a simulator of state vectors."""
    if settings.strategy == "enhanced":  # a move of all chains, by all proposal probabilities
        return settings.steps * (2.5e6 + 1.2 * 8.0 ** min(n, 10))
    return 4e7 + 30.0 * settings.shots + 2e3 * 2.0 ** min(n + m, 40)


def _sweep_cost(n: int, m: int, p: int, settings: TrainingSettings) -> float:
    """Nanoseconds of one sweep of one chain."""
    kernel = "block" if settings.kernel == "auto" and p == 1 else settings.kernel
    pair = SWEEP.get(kernel, COLLAPSED) * (SINGLE if settings.precision == "single" else 1.0)
    return 60.0 + 0.5 * (n + m) + pair * n * m


def curvature_cost(coordinates: Mapping[str, Coordinate], settings: TrainingSettings) -> float:
    """What the updates of the optimizers "natural" and "em" add to the cost of one run; rough.

    The matrix of a metric and its decomposition, at some 2e10 multiplications a second in one
    thread, or half as many products as conjugate gradients may take.
    """
    if settings.optimizer not in ("natural", "em"):
        return 0.0
    n, m = int(coordinates["visible"]), int(coordinates["hidden"])
    p = len(str(coordinates["paulis"]))
    size = n + p * m * (n + 1)
    sampled = settings.negative_phase not in ("exact", "contraction")
    states = float(settings.chains) if sampled else 2.0 ** min(n, 16)
    fields = states * m * (15.0 * p + 60.0)
    if sampled and settings.metric == "fisher" and states <= size:
        solution = 0.05 * (states**3 / 3.0 + 2.0 * states * size)
    elif size <= 600 and states <= 8192:
        solution = 0.05 * (states * size**2 + size**3 / 3.0)
    else:
        solution = 0.5 * settings.cg_iterations * (0.2 * states * size + 5e4)
    each = solution + fields + 4e5
    if settings.optimizer == "em":
        each *= max(1.0, 0.5 * settings.inner_iterations)
    return settings.iterations * each


def contraction_cost(
    coordinates: Mapping[str, Coordinate], settings: TrainingSettings, seconds: float
) -> float:
    """Cost of one run whose gradients, or log Z, come from exact contraction.

    ``seconds`` is the forecast of one contraction with all averages; log Z alone takes half of it.
    """
    if settings.negative_phase != "contraction":
        chains = dataclasses.replace(settings, evaluate="none")
        return sampling_cost(coordinates, chains) + _evaluations(settings) * 0.5e9 * seconds
    data = dataclasses.replace(settings, negative_phase="cd", chains=1, evaluate="none")
    return sampling_cost(coordinates, data) + settings.iterations * 1e9 * seconds


def _evaluations(settings: TrainingSettings) -> int:
    records = settings.iterations + 1 if settings.records is None else settings.records
    return records if settings.evaluations is None else min(records, settings.evaluations)


@dataclass(frozen=True)
class Task:
    """Runs with the same coordinates except the seed, trained together and stored as one block.

    ``cost`` is in the units of :func:`run_cost`. ``index`` is the task's place in the schedule.
    """

    index: int
    coordinates: dict[str, Coordinate] = field(hash=False)
    seeds: tuple[int, ...]
    cost: float

    @property
    def key(self) -> str:
        """The name of the task's block, and of its files: unique, the same at every start."""
        from tnqbm.archive.coordinates import block_name

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
    iterations: int = 0,
    cost: Callable[[Mapping[str, Coordinate]], float] | None = None,
    batch: int | None,
    finished: Collection[Key] = frozenset(),
    begun: Iterable[tuple[Mapping[str, Coordinate], Sequence[int]]] = (),
) -> list[Task]:
    """Cut the runs that are not ``finished`` into tasks, the most expensive first.

    ``cost`` gives the cost of one run; without it, runs are exact ones of ``iterations`` updates.
    ``begun`` are the (coordinates, seeds) of checkpoints: where all of a checkpoint's runs are
    still to do it becomes a task as it stands, whatever the batch would be today.
    """
    plan = [(dict(coordinates), list(seeds)) for coordinates, seeds in groups]
    each = cost or (lambda coordinates: run_cost(coordinates, iterations))
    costs = [each(coordinates) for coordinates, _ in plan]
    total = sum(cost * len(seeds) for cost, (_, seeds) in zip(costs, plan, strict=True))
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
