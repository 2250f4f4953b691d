"""Contraction trees: elimination orders, and cotengra's search; everything deterministic."""

from __future__ import annotations

import contextlib
import heapq
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tnqbm.networks.contraction.shape import Tree, TreeShape
from tnqbm.networks.factors import Scope

SEARCH_TENSORS = 6000
"""Most tensors that cotengra's search is asked to order: it takes some 10 ms for each."""

TRIALS = 4000
"""Random greedy trials times tensors; 4 to 32 trials are made."""

MANY_TENSORS = 300
"""From so many tensors on, subtrees that are reordered optimally have 6 tensors, else 8."""


def quick_tree(scopes: Sequence[Scope], dims: Sequence[int], positions: Sequence[float]) -> Tree:
    """A contraction tree for tensors with these variables, found at once.

    The better one of two elimination orders: the order of ``positions`` (the natural one, best for
    lines and narrow strips), and always the variable next whose elimination makes the smallest
    tensor.
    """
    natural = sorted(range(len(dims)), key=lambda v: (positions[v], v))
    trees = [
        elimination_tree(scopes, dims, order)
        for order in (natural, _least_size_order(scopes, dims))
    ]
    return min(trees, key=lambda tree: TreeShape(scopes, dims, tree).forward_cost)


def improved_tree(scopes: Sequence[Scope], dims: Sequence[int], tree: Tree, *, seed: int) -> Tree:
    """The best of ``tree`` and what cotengra finds (Gray and Kourtis 2021).

    cotengra's random greedy search, and subtree reconfiguration of its result and of ``tree``. The
    same arguments always give the same tree.
    """
    trees = [tree]
    if len(scopes) <= SEARCH_TENSORS:
        trees += _searched(scopes, dims, tree, seed)
    return min(trees, key=lambda candidate: TreeShape(scopes, dims, candidate).forward_cost)


def elimination_tree(scopes: Sequence[Scope], dims: Sequence[int], order: Sequence[int]) -> Tree:
    """Variables summed one by one: all tensors that hold one are multiplied, small ones first."""
    tensors = {k: frozenset(scope) for k, scope in enumerate(scopes)}
    holders: dict[int, set[int]] = {}
    for k, scope in tensors.items():
        for v in scope:
            holders.setdefault(v, set()).add(k)
    tree: list[tuple[int, int]] = []
    count = len(tensors)

    def size(scope: frozenset[int]) -> int:
        return math.prod(dims[v] for v in scope)

    def join(a: int, b: int) -> int:
        nonlocal count
        union = tensors[a] | tensors[b]
        for v in union:
            holders[v] -= {a, b}
        scope = frozenset(v for v in union if holders[v])
        for v in scope:
            holders[v].add(count)
        del tensors[a], tensors[b]
        tensors[count] = scope
        tree.append((a, b))
        count += 1
        return count - 1

    for v in order:
        heap = [(size(tensors[k]), k) for k in holders.get(v, ())]
        heapq.heapify(heap)
        while len(heap) > 1:
            new = join(heapq.heappop(heap)[1], heapq.heappop(heap)[1])
            heapq.heappush(heap, (size(tensors[new]), new))
    rest = sorted(tensors)
    while len(rest) > 1:
        new = join(rest[0], rest[1])
        rest = [*rest[2:], new]
    return tree


def _least_size_order(scopes: Sequence[Scope], dims: Sequence[int]) -> list[int]:
    """Next is always the variable whose neighbours span the smallest space."""
    around: dict[int, set[int]] = {}
    for scope in scopes:
        for v in scope:
            around.setdefault(v, set()).update(scope)
    for v, near in around.items():
        near.discard(v)

    def weight(v: int) -> float:
        return sum(math.log2(dims[u]) for u in around[v])

    heap = [(weight(v), v) for v in around]
    heapq.heapify(heap)
    order: list[int] = []
    gone: set[int] = set()
    while heap:
        stored, v = heapq.heappop(heap)
        if v in gone:
            continue
        now = weight(v)
        if now != stored:
            heapq.heappush(heap, (now, v))
            continue
        order.append(v)
        gone.add(v)
        near = around.pop(v)
        for u in near:
            around[u].discard(v)
            around[u] |= near - {u}
            heapq.heappush(heap, (weight(u), u))
    return order


def _active(scopes: Sequence[Scope]) -> tuple[list[int], list[tuple[str, ...]]]:
    """Tensors that share variables with others, and these variables as cotengra wants them."""
    holders: dict[int, int] = {}
    for scope in scopes:
        for v in scope:
            holders[v] = holders.get(v, 0) + 1
    inputs = [tuple(f"{v}" for v in scope if holders[v] > 1) for scope in scopes]
    active = [k for k, scope in enumerate(inputs) if scope]
    return active, [inputs[k] for k in active]


def _to_cotengra(scopes: Sequence[Scope], dims: Sequence[int], tree: Tree) -> Any:
    """The part of a tree that is more than multiplying numbers, as a cotengra tree."""
    import cotengra

    active, inputs = _active(scopes)
    place: dict[int, int | None] = dict.fromkeys(range(len(scopes)))
    place.update({k: i for i, k in enumerate(active)})
    path: list[tuple[int, int]] = []
    for step, (a, b) in enumerate(tree):
        left, right = place[a], place[b]
        if left is not None and right is not None:
            path.append((left, right))
            place[len(scopes) + step] = len(active) + len(path) - 1
        else:
            place[len(scopes) + step] = right if left is None else left
    sizes = {f"{v}": dims[v] for scope in scopes for v in scope}
    return cotengra.ContractionTree.from_path(inputs, (), sizes, ssa_path=path)


def _from_cotengra(found_tree: Any, active: list[int], n_scopes: int) -> Tree:
    place = dict(enumerate(active))
    tree: list[tuple[int, int]] = []
    for k, (a, b) in enumerate(found_tree.get_ssa_path()):
        tree.append((place[a], place[b]))
        place[len(active) + k] = n_scopes + k
    chosen = set(active)
    rest = [k for k in range(n_scopes) if k not in chosen]
    current = n_scopes + len(tree) - 1 if tree else (active or rest)[0]
    for k in rest:
        if k != current:
            tree.append((current, k))
            current = n_scopes + len(tree) - 1
    return tree


def _searched(scopes: Sequence[Scope], dims: Sequence[int], start: Tree, seed: int) -> list[Tree]:
    """cotengra's own tree and ``start``, both reconfigured."""
    import cotengra

    active, inputs = _active(scopes)
    if len(active) < 3:
        return []
    sizes = {f"{v}": dims[v] for scope in scopes for v in scope}
    # the accelerated and the parallel variants of the search draw other random numbers
    search = cotengra.RandomGreedyOptimizer(
        max_repeats=min(32, max(4, TRIALS // len(active))),
        seed=seed,
        parallel=False,
        accel=False,
    )
    trees = []
    with _deep_recursion():
        path = search.ssa_path(inputs, (), sizes)
        searched = cotengra.ContractionTree.from_path(inputs, (), sizes, ssa_path=path)
        for candidate in (searched, _to_cotengra(scopes, dims, start)):
            candidate.subtree_reconfigure_(
                subtree_size=8 if len(active) < MANY_TENSORS else 6, seed=seed
            )
            trees.append(_from_cotengra(candidate, active, len(scopes)))
    return trees


@contextlib.contextmanager
def _deep_recursion() -> Iterator[None]:
    """cotengra walks trees recursively, and those of long strips are deep."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 100_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def next_slice(
    scopes: Sequence[Scope], dims: Sequence[int], tree: Tree, sliced: Sequence[int]
) -> int | None:
    """The variable to be summed from outside next: of those in a largest tensor the cheapest.

    Cheapest is what then leaves the fewest operations over all slices; None if none is left.
    """
    cut = set(sliced)
    shape = TreeShape([tuple(v for v in scope if v not in cut) for scope in scopes], dims, tree)
    largest = max(shape.nodes, key=lambda node: node.size)
    best, least = None, math.inf
    for v in sorted(largest.scope):
        rest = [tuple(u for u in scope if u not in cut and u != v) for scope in scopes]
        cost = dims[v] * TreeShape(rest, dims, tree).forward_cost
        if cost < least:
            best, least = v, cost
    return best
