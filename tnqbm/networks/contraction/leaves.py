"""The tensors that are contracted: members of the factor graph, multiplied into one another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.networks.contraction.shape import strides
from tnqbm.networks.factors import Factors, Scope

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Leaves:
    """The tensors that are contracted: products of members whose variables are all in one of them.

    ``scopes`` their variables in the order of their axes, ``starts`` (t + 1,) where their entries
    begin in the arrays that hold those of all of them; ``moves`` and ``tables`` say which member is
    multiplied into which one, for :func:`tnqbm.kernels.contraction.spread`; ``home`` {member:
    leaf}.
    """

    scopes: list[Scope]
    starts: Int
    moves: Int
    tables: Int
    home: dict[int, int]
    signed: list[int]

    @property
    def size(self) -> int:
        return int(self.starts[-1])


def gather_leaves(factors: Factors) -> Leaves:
    """Each member is multiplied into the smallest tensor that has all its variables.

    Signed members (the chains of split units) stay alone.
    """
    dims = factors.dims
    scopes: list[Scope] = []
    holders: dict[int, set[int]] = {}
    home: dict[int, int] = {}
    signed: list[int] = []

    def volume(scope: Scope) -> int:
        return math.prod(dims[v] for v in scope)

    def new(scope: Scope) -> int:
        scopes.append(scope)
        return len(scopes) - 1

    order = sorted(range(len(factors.members)), key=lambda k: (-len(factors.members[k].scope), k))
    for k in order:
        member = factors.members[k]
        if member.signed:
            home[k] = new(member.scope)
            signed.append(home[k])
            continue
        fitting = set.intersection(*(holders.get(v, set()) for v in member.scope))
        if fitting:
            home[k] = min(fitting, key=lambda leaf: (volume(scopes[leaf]), leaf))
        else:
            home[k] = new(member.scope)
            for v in member.scope:
                holders.setdefault(v, set()).add(home[k])
    starts = np.cumsum([0, *(volume(scope) for scope in scopes)], dtype=np.int64)
    moves, tables = _moves(factors, scopes, starts, home)
    return Leaves(scopes, starts, moves, tables, home, sorted(signed))


def _moves(
    factors: Factors, scopes: list[Scope], starts: Int, home: dict[int, int]
) -> tuple[Int, Int]:
    rows, parts, known, size = [], [], {}, 0
    for k, member in enumerate(factors.members):
        scope = scopes[home[k]]
        step = strides(member.scope, factors.dims)
        axes = [(factors.dims[v], step.get(v, 0)) for v in scope]
        half = len(axes) // 2
        places = []
        for part in (axes[:half], axes[half:]):
            key = tuple(part)
            if key not in known:
                table = np.zeros(1, dtype=np.int64)
                for dim, stride in part:
                    table = (table[:, None] + stride * np.arange(dim)).ravel()
                known[key] = (size, table.size)
                parts.append(table)
                size += table.size
            places.append(known[key])
        (t1, n1), (t2, n2) = places
        rows.append([int(starts[home[k]]), member.offset, n1, n2, t1, t2])
    return np.array(rows, dtype=np.int64).reshape(-1, 6), np.concatenate(parts)
