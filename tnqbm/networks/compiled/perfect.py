"""Perfect sampling: independent draws from p(v), without Markov chains.

The forward sweep leaves, for every tensor C = sum_s A B of the tree, the total weight of what lies
below it for each value of its variables. Going from the root down, the variables that were summed
at C are drawn from A B at the values already known, which is their exact conditional distribution.
A draw costs a few operations per tensor, whatever their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.kernels.contraction import descend
from tnqbm.networks.compiled.engine import forward_values
from tnqbm.networks.compiled.program import compile_tree
from tnqbm.networks.contraction.plan import Plan
from tnqbm.networks.contraction.shape import TreeShape, strides
from tnqbm.networks.contraction.sweep import Entries

Int = NDArray[np.int64]

CHUNK = 1 << 22
"""Random numbers drawn at a time."""


class _Descent(NamedTuple):
    """Which variables are drawn at which step, and where the weights of their values stand.

    Step q reads the operands (places x, y; -1 for none) at offsets that the known variables
    ``fixed`` (variable, stride in x, stride in y) and the table of all values of the new ones
    (offset in x, offset in y) give, and draws the variables ``drawn`` (variable, dimension).
    """

    places: Int  # (q, 2)
    fixed: Int  # (., 3)
    fixed_starts: Int  # (q + 1,)
    drawn: Int  # (., 2)
    drawn_starts: Int  # (q + 1,)
    table: Int  # (., 2)
    table_starts: Int  # (q + 1,)


def _descent(shape: TreeShape, values: Int) -> _Descent:
    places, fixed, drawn, tables = [], [], [], []
    for k in reversed(list(shape.postorder(shape.root))):
        node = shape.nodes[k]
        if not node.children:
            continue
        new = sorted(shape.union(node) - node.scope)
        if not new:
            continue
        operands = [shape.nodes[c].axes for c in node.children]
        places.append([*(int(values[c]) for c in node.children), -1][:2])
        steps = [strides(axes, shape.dims) for axes in operands]
        steps = [*steps, {}][:2]
        fixed.append([(v, steps[0].get(v, 0), steps[1].get(v, 0)) for v in sorted(node.scope)])
        drawn.append([(v, shape.dims[v]) for v in new])
        table = np.zeros((1, 2), dtype=np.int64)
        for v in new:
            step = np.array([steps[0].get(v, 0), steps[1].get(v, 0)])
            table = (table[:, None] + np.arange(shape.dims[v])[:, None] * step).reshape(-1, 2)
        tables.append(table)

    def packed(parts: Sequence[Sequence[tuple[int, ...]]], width: int) -> tuple[Int, Int]:
        flat = [row for part in parts for row in part]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        return np.array(flat, dtype=np.int64).reshape(-1, width), starts

    return _Descent(
        np.array(places, dtype=np.int64).reshape(-1, 2),
        *packed(fixed, 3),
        *packed(drawn, 2),
        np.concatenate([np.zeros((0, 2), dtype=np.int64), *tables]),
        np.cumsum([0, *(len(table) for table in tables)]),
    )


class PerfectSampler:
    """Independent samples from the models of a plan, without slices and without signs.

    Raises :class:`tnqbm.networks.contraction.plan.TooLarge` if the values of all tensors of the
    tree do not fit into the memory of the plan together.
    """

    def __init__(self, plan: Plan) -> None:
        scopes, dims = plan.leaves.scopes, plan.factors.dims
        self.plan = plan
        self.program = compile_tree(
            scopes,
            dims,
            plan.tree,
            gradients=False,
            retain=True,
            max_elements=(plan.max_bytes - plan.other_bytes) / 8,
        )
        shape = TreeShape(scopes, dims, plan.tree)
        shape.order_axes()
        self.descent = _descent(shape, self.program.values)

    def sample(self, entries: Entries, k: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """``k`` visible states (k, n) of the model with these entries."""
        arena, logarithmic = forward_values(self.plan, self.program, entries)
        steps = len(self.descent.places)
        out = np.empty((k, self.plan.factors.n), dtype=np.uint8)
        known = np.zeros(len(self.plan.factors.dims), dtype=np.int64)
        weights = np.empty(int(np.diff(self.descent.table_starts).max(initial=1)))
        rows = max(1, CHUNK // max(1, steps))
        for first in range(0, k, rows):
            part = out[first : first + rows]
            uniforms = rng.random((len(part), steps))
            descend(*self.descent, arena, logarithmic, uniforms, known, weights, part)
        return out
