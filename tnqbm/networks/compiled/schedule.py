"""When each tensor of a contraction is computed, and where in one array of doubles it stands.

The forward sweep contracts the tree from its leaves to its root. The backward sweep goes from the
root to the leaves and finds for each tensor its *environment*, the contraction of all the others
(reverse-mode differentiation): if C = A B along the tree, env(A) = env(C) B and env(B) = env(C) A.
It needs the values that the forward sweep found. Where they do not all fit into memory, only those
at some checkpoints are kept, and the others are computed a second time, one part of the tree after
the other (Griewank and Walther 2000, Algorithm 799).
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from tnqbm.networks.contraction.shape import TreeShape

_ALIGNMENT = 8


class _Arena:
    """First-fit allocation of stretches of one array."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []
        self.end = _ALIGNMENT  # the number 1 stands at 0

    def take(self, size: int) -> int:
        size = -(-size // _ALIGNMENT) * _ALIGNMENT
        for k, (start, length) in enumerate(self.free):
            if length >= size:
                if length == size:
                    del self.free[k]
                else:
                    self.free[k] = (start + size, length - size)
                return start
        grown = self.free and sum(self.free[-1]) == self.end
        start = self.free.pop()[0] if grown else self.end
        self.end = start + size
        return start

    def give(self, start: int, size: int) -> None:
        size = -(-size // _ALIGNMENT) * _ALIGNMENT
        insort(self.free, (start, size))
        merged: list[tuple[int, int]] = []
        for begin, length in self.free:
            if merged and sum(merged[-1]) == begin:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((begin, length))
        self.free = merged


@dataclass
class Schedule:
    """Which tensor is computed when, and where it stands."""

    steps: list[tuple[str, int, int]] = field(default_factory=list)  # kind, node, buffer
    inputs: list[int] = field(default_factory=list)
    environments: dict[int, int] = field(default_factory=dict)
    sources: list[dict[tuple[str, int], int]] = field(default_factory=list)
    size: int = 0


def schedule(
    shape: TreeShape, gradients: bool, checkpoints: frozenset[int], retain: bool = False
) -> Schedule:
    """All steps; forward values stay at ``checkpoints`` and in the part that holds the root.

    Without ``gradients`` none stays, or all with ``retain``.
    """
    nodes, arena, plan = shape.nodes, _Arena(), Schedule()
    place: dict[tuple[str, int], int] = {}

    def make(kind: str, k: int) -> None:
        place[kind, k] = arena.take(nodes[k].size)
        plan.steps.append((kind, k, place[kind, k]))
        wanted = [("value", c) for c in nodes[k].children]
        if kind == "environment":
            parent = nodes[k].parent
            wanted = [("environment", parent)]
            wanted += [("value", c) for c in nodes[parent].children if c != k]
        plan.sources.append({key: place[key] for key in wanted})

    def drop(kind: str, k: int) -> None:
        if k >= shape.n_leaves:
            arena.give(place.pop((kind, k)), nodes[k].size)

    for k in range(shape.n_leaves):
        place["value", k] = arena.take(nodes[k].size)
        plan.inputs.append(place["value", k])
    if gradients:
        for k in range(shape.n_leaves):
            plan.environments[k] = arena.take(nodes[k].size)
    part = _parts(shape, checkpoints)
    for k in shape.postorder(shape.root):
        if k < shape.n_leaves:
            continue
        make("value", k)
        for c in nodes[k].children:
            done = part[c] != part[shape.root] and c not in checkpoints if gradients else not retain
            if done:
                drop("value", c)
    if not gradients:
        plan.size = arena.end
        return plan

    place["environment", shape.root] = 0
    tops = [shape.root]
    members: dict[int, list[int]] = {}
    for k in shape.postorder(shape.root):
        if k >= shape.n_leaves:
            members.setdefault(part[k], []).append(k)
    while tops:
        top = tops.pop()
        if top != shape.root:
            for k in members[top]:
                if k != top:
                    make("value", k)
        for k in reversed(members.get(top, [])):
            for c in nodes[k].children:
                if c < shape.n_leaves:
                    place["environment", c] = plan.environments[c]
                    plan.steps.append(("environment", c, plan.environments[c]))
                    wanted = [("environment", k)]
                    wanted += [("value", s) for s in nodes[k].children if s != c]
                    plan.sources.append({key: place[key] for key in wanted})
                else:
                    make("environment", c)
            for c in nodes[k].children:
                drop("value", c)
                if c >= shape.n_leaves and part[c] == c:
                    tops.append(c)
            if k != shape.root:
                drop("environment", k)
    plan.size = arena.end
    return plan


def _parts(shape: TreeShape, checkpoints: frozenset[int]) -> dict[int, int]:
    """For each tensor the checkpoint (or the root) at the top of its part of the tree."""
    part: dict[int, int] = {}
    for k in reversed(list(shape.postorder(shape.root))):
        top = k == shape.root or k in checkpoints
        part[k] = k if top else part[shape.nodes[k].parent]
    return part


def _checkpoints(shape: TreeShape, limit: float) -> frozenset[int]:
    """Tensors at which the tree is cut, so that no part holds more than about ``limit`` entries."""
    held: dict[int, float] = {}
    checkpoints = set()
    for k in shape.postorder(shape.root):
        node = shape.nodes[k]
        if k < shape.n_leaves:
            held[k] = 0.0
            continue
        held[k] = node.size + sum(held[c] for c in node.children)
        if held[k] > limit and k != shape.root:
            checkpoints.add(k)
            held[k] = 0.0
    return frozenset(checkpoints)


def fitting_schedule(
    shape: TreeShape, gradients: bool, max_elements: float, retain: bool = False
) -> Schedule:
    """A schedule that needs at most ``max_elements`` doubles, or as few as checkpoints can do.

    Without checkpoints at first, then with more and more of them.
    """
    best = schedule(shape, gradients, frozenset(), retain)
    if best.size <= max_elements or not gradients:
        return best
    limit = float(sum(node.size for node in shape.nodes))
    largest = max(node.size for node in shape.nodes)
    while limit > largest:
        limit /= 2
        trial = schedule(shape, gradients, _checkpoints(shape, limit))
        if trial.size < best.size:
            best = trial
        if best.size <= max_elements:
            break
    return best
