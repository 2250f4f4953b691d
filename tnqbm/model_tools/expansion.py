"""One qubit against P classical units with the same numbers: the order at which they part.

For small fields log cosh r = r^2/2 - r^4/12 + O(r^6). With r^2 = sum_P (Phi^P)^2, a hidden qubit
and its classical twin (one unit for each Pauli with the same b and w, the paper's counting) differ
by

    log 2cosh r - sum_P log 2cosh Phi^P
        = (1 - P) log 2 - 1/6 sum_{P<Q} (Phi^P)^2 (Phi^Q)^2 + O(Phi^6):

nothing at second order, where pairwise couplings are made, and something from the fourth on. If
all parameters scale as c, log p differs by D(v) c^4 and KL = c^8 Var D / 2, the variance over
uniform v. For large fields log 2cosh r tends to |r|: the qubit adds the 2-norm of its fields, the
twin the 1-norm, and they differ at first order in c.

Also log p~(v) as a polynomial in the spins, for hidden units coupled to few visible units. Every
function of the visible state is a sum over sets S of visible units, log p~(v) =
sum_S c_S prod_{i in S} s_i (its Walsh-Hadamard transform). Two models have the same distribution if
and only if all c_S but that of the empty set are the same. A hidden unit coupled to k visible units
adds to the 2^k sets of these alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.limits import check_memory
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import spins, states_of
from tnqbm.model_tools import gauge
from tnqbm.model_tools.gauge import rotate
from tnqbm.model_tools.jacobian import of_model
from tnqbm.model_tools.simplify import factors

Float = NDArray[np.float64]


def scaled(model: SqRBM, c: float) -> SqRBM:
    """The model with all parameters multiplied by c."""
    return SqRBM(c * model.a, c * model.b, c * model.w, model.paulis, model.mask)


def quartic_difference(model: SqRBM) -> Float:
    """-1/6 sum_j sum_{P<Q} (Phi_j^P Phi_j^Q)^2 (2**n,): log p~ of a model less that of its twin.

    To fourth order, and up to a constant. Raises ValueError as
    :func:`tnqbm.model_tools.jacobian.log_probability_jacobian` does.
    """
    function = of_model(model)
    squares = np.square(function.fields(model.to_vector())[1])
    # sum_{P<Q} x_P x_Q = ((sum x)^2 - sum x^2) / 2
    pairs = 0.5 * (np.square(squares.sum(axis=1)) - np.square(squares).sum(axis=1))
    return np.asarray(-pairs.sum(axis=1) / 6.0)


def leading_kl(model: SqRBM) -> float:
    """K of KL = K c^8 + O(c^9) between a model scaled by c and its scaled classical twin (nats).

    K = Var D / 2 over uniform v, D the :func:`quartic_difference`. 0 where every hidden unit has
    only one field: then the twin is the model.
    """
    return 0.5 * float(np.var(quartic_difference(model)))


def rotated(model: SqRBM, seed: int | np.random.Generator) -> SqRBM:
    """The same distribution with the Pauli axes of each hidden qubit rotated at random.

    Rotations are uniform (Haar) in P dimensions, reflections included; ``b`` and ``w`` change, the
    lengths r_j(v) do not.
    """
    rng = streams.generator(seed)
    n_paulis, m = model.b.shape
    turns = np.empty((m, n_paulis, n_paulis))
    for j in range(m):
        basis, triangle = np.linalg.qr(rng.standard_normal((n_paulis, n_paulis)))
        turns[j] = basis * np.sign(np.diag(triangle))
    return rotate(model, None, turns)


def stacked(rbm: SqRBM, paulis: str) -> SqRBM:
    """The sqRBM whose classical twin is ``rbm``: P consecutive groups of units make the P rows.

    Unit p m + j of the RBM becomes row p of qubit j, the inverse of
    :func:`tnqbm.model_tools.structure.classical_twin`. Raises ValueError if the units of ``rbm`` do
    not divide into P groups, or it is no RBM.
    """
    n_paulis = len(paulis)
    if len(rbm.paulis) != 1:
        raise ValueError(f"need an RBM (one Pauli), got paulis = {rbm.paulis!r}")
    if rbm.n_hidden % n_paulis:
        raise ValueError(f"{rbm.n_hidden} classical units do not divide into groups of {n_paulis}")
    m = rbm.n_hidden // n_paulis
    w = rbm.w.reshape(rbm.n_visible, n_paulis, m).transpose(1, 0, 2)
    return SqRBM(rbm.a, rbm.b.reshape(n_paulis, m), w, paulis)


def rank_one(model: SqRBM) -> SqRBM:
    """The model with every hidden unit's rows made parallel, along (1, 2, ..., P) / length.

    The hidden unit is then a classical one: r_j = |b_j + sum_i s_i w_ij| of the first row.
    """
    direction = np.arange(1.0, len(model.paulis) + 1.0)
    direction /= np.linalg.norm(direction)
    b = direction[:, None] * model.b[:1]
    w = direction[:, None, None] * model.w[:1]
    return SqRBM(model.a, b, w, model.paulis)


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Exponent of a power law through points (K,), by least squares of logarithms.

    Raises ValueError for fewer than two points, different lengths, and values that are not > 0.
    """
    one, two = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1 or one.size < 2:
        raise ValueError(f"need two arrays of the same length >= 2, got {one.shape}, {two.shape}")
    if not ((one > 0).all() and (two > 0).all()):
        raise ValueError("a power law needs positive values")
    return float(np.polyfit(np.log(one), np.log(two), 1)[0])


_TERM_BYTES = 200
# A key of a few numbers and a value in a dictionary.


def n_terms(model: SqRBM) -> float:
    """Terms that :func:`coefficients` adds up: n, and 2^k for a unit with k visible units."""
    coupled = np.any(model.w != 0.0, axis=0).sum(axis=0)
    return float((2.0**coupled).sum()) + model.n_visible


def coefficients(model: SqRBM) -> dict[tuple[int, ...], float]:
    """c_S of log p~ by the visible units in S, in rising order; the empty set, (), included.

    c_() is the average of log p~ over all states; the others are averages of log p~ times the
    product of the spins in S. Sets that no hidden unit reaches are left out: they have c_S = 0.
    Raises MemoryError if there are too many.
    """
    needed = int(min(n_terms(model), 1e18)) * _TERM_BYTES
    check_memory(needed, "all coefficients of log p~", "couple hidden units to fewer visible ones")
    found: dict[tuple[int, ...], float] = {(i,): -float(c) for i, c in enumerate(model.a)}
    found[()] = 0.0
    for unit in gauge.unit_matrices(model):
        coupled = np.flatnonzero(np.any(unit[1:] != 0.0, axis=1))
        listed = states_of(np.arange(2**coupled.size), coupled.size)
        rows = unit[None, [0, *(1 + coupled)]]
        values = _transformed(factors(rows, spins(listed))[:, 0])
        for state, value in zip(listed.astype(np.bool_), values.tolist(), strict=True):
            key = tuple(coupled[state].tolist())
            found[key] = found.get(key, 0.0) + value
    return found


def _transformed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (2^k,) of a function of k spins, by the bits of the index as its values are."""
    k = values.size.bit_length() - 1
    table = values.reshape((2,) * k)
    for axis in range(k):
        up, down = np.take(table, 0, axis), np.take(table, 1, axis)
        table = np.stack([0.5 * (up + down), 0.5 * (up - down)], axis)
    return np.asarray(table.ravel())
