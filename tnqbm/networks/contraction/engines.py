"""What does the arithmetic of a contraction: quimb, or the compiled program; which a plan gets.

The quimb engine contracts the factor graph, a quimb network, by quimb and cotengra. log Z is one
contraction of the network along the plan's tree. For averages the same tree is walked back: the
environment of a tensor, the contraction of all others, is that of its parent times its sibling
(reverse-mode differentiation), and each step is a contraction of quimb tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import check_choice
from tnqbm.base.forecast import nanoseconds
from tnqbm.base.process import one_thread
from tnqbm.networks.compiled.engine import CompiledEngine
from tnqbm.networks.contraction.plan import (
    ContractionForecast,
    Plan,
    TooLarge,
    contraction_forecast,
)
from tnqbm.networks.contraction.shape import Tree, TreeShape
from tnqbm.networks.contraction.sweep import Engine, Entries, Run, SliceResult
from tnqbm.networks.graph import index, scaled_tensor

if TYPE_CHECKING:
    from quimb.tensor import Tensor


Float = NDArray[np.float64]

TINY = 1e-290
"""Products of magnitudes below this may lose digits, or all of them."""

DEEP = 640.0
"""Entries this far below the largest of a tensor, in natural logarithms, are near TINY."""

NS = nanoseconds("contraction.quimb")


class QuimbEngine:
    """quimb's contraction of the factor graph of a plan, tensor for tensor.

    Members that the plan puts into one leaf are multiplied first, then the leaves along the plan's
    tree. ``otherwise`` is asked where numbers leave the range of doubles. Raises
    :class:`tnqbm.networks.contraction.plan.TooLarge` if the tensors do not fit into the memory of
    the plan.
    """

    name = "quimb"

    def __init__(self, plan: Plan, otherwise: Engine | None = None) -> None:
        self.plan = plan
        self.otherwise = otherwise
        self.members = plan.factors.members
        self.scopes = [member.scope for member in self.members]
        self.starts = np.array([*(member.offset for member in self.members), plan.factors.size])
        path = self._path()
        self._inner = [plan.uncut(scope) for scope in self.scopes]  # within one slice
        self.shape = TreeShape(self._inner, plan.factors.dims, path)
        size = self.forecast().bytes
        if size > plan.max_bytes:
            raise TooLarge(f"{size} bytes")

    def _path(self) -> Tree:
        """The plan's tree over the members."""
        path: list[tuple[int, int]] = []
        place: dict[int, int] = {}

        def join(left: int, right: int) -> int:
            path.append((left, right))
            return len(self.members) + len(path) - 1

        for k, leaf in self.plan.leaves.home.items():
            place[leaf] = join(place[leaf], k) if leaf in place else k
        leaves = len(self.plan.leaves.scopes)
        for step, (left, right) in enumerate(self.plan.tree):
            place[leaves + step] = join(place[left], place[right])
        return path

    def forecast(self, gradients: bool = True) -> ContractionForecast:
        """Cost of all contractions of a sweep, with environments or without."""
        plan, shape = self.plan, self.shape
        factor = 3 if gradients else 1
        steps = factor * sum(bool(node.children) for node in shape.nodes) * plan.slices
        operations = factor * shape.forward_cost * plan.slices
        seconds = 1e-9 * (
            NS["step"] * steps
            + NS["multiply_add"] * operations
            + NS["entry"] * plan.factors.n_paulis * plan.factors.size
            + NS["call"]
        )
        sizes = [node.size for node in shape.nodes]
        # an operand may be copied to be transposed, and so may the result
        held = 2 * sum(sizes) if gradients else sum(sizes[: shape.n_leaves])
        size = 8.0 * (held + 6 * max(sizes)) + plan.other_bytes
        return contraction_forecast(self.name, seconds, size, operations, shape.width, plan.slices)

    def numbers(self, entries: Entries) -> Entries:
        """The members' own entries."""
        return entries

    def member_shares(self, shares: Float) -> Float:
        return shares

    def runs(self, gradients: bool) -> Iterator[Run]:
        yield self._run

    @cached_property
    def tree(self) -> Any:
        """The tree as cotengra knows it."""
        import cotengra

        dims = self.plan.factors.dims
        inputs = [tuple(cotengra.get_symbol(v) for v in scope) for scope in self._inner]
        sizes = {cotengra.get_symbol(v): dims[v] for scope in self._inner for v in scope}
        return cotengra.ContractionTree.from_path(inputs, (), sizes, ssa_path=self._path())

    def _index(self, variable: int) -> str:
        return index(variable, self.plan.factors.n)

    def _run(
        self, numbers: Entries, starts: NDArray[np.int64], gradients: bool
    ) -> SliceResult | None:
        leaves = []
        for scope, first, last in zip(self._inner, starts, starts[1:], strict=False):
            logs = numbers.logs[first:last].reshape([self.plan.factors.dims[v] for v in scope])
            highest = logs.max()
            if highest == -math.inf:
                return SliceResult(-math.inf, 1, None)
            if logs.min(where=logs > -math.inf, initial=highest) < highest - DEEP:
                return None
            signs = numbers.signs[first:last].reshape(logs.shape)
            tensor, scale = scaled_tensor(logs, signs, [self._index(v) for v in scope])
            leaves.append(_normalised(tensor, scale))
        with one_thread():
            if not gradients and math.prod(leaf.least for leaf in leaves) > TINY:
                return self._contracted(leaves)
            try:
                return self._swept(leaves, gradients)
            except _OutOfRange:
                return None

    def _contracted(self, leaves: Sequence[_Value]) -> SliceResult | None:
        """All at once; ``leaves`` span so few orders of magnitude that nothing can underflow."""
        from quimb.tensor import TensorNetwork

        network = TensorNetwork([leaf.tensor for leaf in leaves])
        mantissa, exponent = network.contract(
            optimize=self.tree, output_inds=(), strip_exponent=True, check_zero=True
        )
        if mantissa == 0.0:  # signed tensors that cancel to the last digit
            return SliceResult(-math.inf, 1, None)
        log = math.log(abs(mantissa)) + float(exponent) * math.log(10.0)
        return SliceResult(log + sum(leaf.log for leaf in leaves), 1 if mantissa > 0 else -1, None)

    def _swept(self, leaves: Sequence[_Value], gradients: bool) -> SliceResult:
        """Step by step from the leaves to the root and, with ``gradients``, back."""
        from quimb.tensor import Tensor

        shape = self.shape
        values = dict(enumerate(leaves))
        order = list(shape.postorder(shape.root))
        for k in order:
            children = shape.nodes[k].children
            if children:
                values[k] = self._product([values[c] for c in children], shape.nodes[k].scope)
                if not gradients:
                    for c in children:
                        del values[c]
        root = values[shape.root]
        sign = 1 if root.tensor.data > 0 else -1
        if not gradients:
            return SliceResult(root.log, sign, None)
        environments = {shape.root: _Value(Tensor(1.0), 1.0, 0.0)}
        shares = [np.empty(0)] * len(leaves)
        for k in reversed(order):
            node = shape.nodes[k]
            if k != shape.root:
                siblings = [c for c in shape.nodes[node.parent].children if c != k]
                parts = [environments[node.parent], *(values[c] for c in siblings)]
                environments[k] = self._product(parts, node.scope)
            if k < shape.n_leaves:
                signed = self.members[k].signed
                shares[k] = _shares(leaves[k], environments.pop(k), sign, signed)
        return SliceResult(root.log, sign, np.concatenate(shares))

    def _product(self, parts: Sequence[_Value], scope: frozenset[int]) -> _Value:
        """The contraction of some tensors that leaves the variables ``scope``."""
        from quimb.tensor import Tensor, tensor_contract

        if math.prod(part.least for part in parts) < TINY:
            raise _OutOfRange
        tensors = [part.tensor for part in parts]
        present = {name for tensor in tensors for name in tensor.inds}
        for v in sorted(scope):  # of one leaf alone, summed before anything else
            if self._index(v) not in present:
                tensors.append(Tensor(np.ones(self.plan.factors.dims[v]), [self._index(v)]))
        result = tensor_contract(
            *tensors,
            output_inds=[self._index(v) for v in sorted(scope)],
            preserve_tensor=True,
            drop_tags=True,
        )
        return _normalised(result, sum(part.log for part in parts))


class _Value(NamedTuple):
    """A tensor of largest magnitude 1, its least magnitude beside 0, the log of its scale."""

    tensor: Tensor
    least: float
    log: float


class _OutOfRange(Exception):
    """Products that are not zero may underflow."""


def _normalised(tensor: Tensor, log: float) -> _Value:
    magnitudes = np.abs(tensor.data)
    highest = float(magnitudes.max())
    if highest == 0.0:
        raise _OutOfRange
    least = float(magnitudes.min(where=magnitudes > 0.0, initial=highest)) / highest
    if highest != 1.0:
        tensor.modify(data=tensor.data / highest)
    return _Value(tensor, least, log + math.log(highest))


def _shares(leaf: _Value, environment: _Value, sign: int, signed: bool) -> Float:
    """T dZ/dT / |Z| of a leaf, as :func:`tnqbm.networks.contraction.sweep.sweep` defines it."""
    around = environment.tensor.transpose(*leaf.tensor.inds).data
    shares = leaf.tensor.data * around
    factor = sign / float(shares.sum())
    if signed:
        return np.asarray(factor * math.exp(-leaf.log) * around).ravel()
    return np.asarray(factor * shares).ravel()


ENGINES = ("auto", "quimb", "compiled")


def engine_maker(name: str) -> Callable[[Plan], Engine]:
    """What makes the engine ``name`` for a plan; ValueError if there is none of this name."""
    check_choice("engine", name, ENGINES)
    return {"auto": _faster, "quimb": QuimbEngine, "compiled": CompiledEngine}[name]


def _faster(plan: Plan) -> Engine:
    """The engine with the lower forecast: a function of the plan alone, never of a clock."""
    compiled = CompiledEngine(plan)
    try:
        quimb = QuimbEngine(plan, otherwise=compiled)
    except TooLarge:
        return compiled
    return quimb if quimb.forecast().seconds < compiled.forecast().seconds else compiled
