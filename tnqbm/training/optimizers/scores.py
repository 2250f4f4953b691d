"""Score functions of an sqRBM over weighted visible states, and the metrics made of them.

With h(v) = (s_i, -t_j Phi_j^P, -s_i t_j Phi_j^P), t_j = tanh(r_j)/r_j, the functions whose averages
training compares, the score is d log p~(v) / d theta = -h(v) and

    Fisher metric       F = Cov_p(h)                           (Amari, Neural Comput. 10, 1998)
    Kubo-Mori metric    K = F + E_p[d^2 log p~ / d theta^2] = d^2 log Z / d theta^2

The first is the metric of the distributions p(v), the second that of the Gibbs states exp(-H)/Z, of
which p(v) is what a measurement of the visible units shows; K - F is positive semidefinite. The
second term belongs to one hidden unit at a time: the second derivatives of log 2cosh |Phi| are
t delta_PQ + (1 - tanh(r)^2 - t)/r^2 Phi^P Phi^Q.

Products with either take two matrix products over the states; neither matrix needs to be formed.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_memory
from tnqbm.core.fields import log_2cosh, tanh_ratio, tanh_ratio_slope
from tnqbm.core.shape import Shape
from tnqbm.core.states import index_of, spins, states_of

Float = NDArray[np.float64]

MAX_ENUMERATED = 16
"""Most visible units at which metrics are summed over all states."""


def enumerated(n: int) -> Float:
    """Spins (2**n, n) of all visible states in the order of their index.

    ValueError if they are too many for a metric.
    """
    if n > MAX_ENUMERATED:
        raise ValueError(
            f"a metric over all 2**{n} visible states is out of reach (the limit is n = "
            f"{MAX_ENUMERATED}); use a sampled gradient, such as 'pcd'"
        )
    return spins(states_of(np.arange(1 << n), n))


class Scores:
    """The functions h(v) of one model over a list of states, weighted.

    Parameters
    ----------
    theta : (n_parameters,) the model, as :meth:`tnqbm.SqRBM.to_vector` gives it.
    s : (K, n) spins of the states.
    m, n_paulis : shape of the hidden layer.
    weights : (K,) probabilities of the states, which sum to 1; None if ``s`` holds all states: then
        they are the model's own, p(v).
    free : (n_parameters,) bool, the parameters that may change; None: all. Vectors that come out
        are zero elsewhere, and what stands elsewhere in vectors that go in is ignored.

    Results depend on the number of BLAS threads in their last digits;
    :func:`tnqbm.base.process.one_thread` fixes it. Raises MemoryError if the fields of all states
    do not fit.
    """

    def __init__(
        self,
        theta: Float,
        s: Float,
        m: int,
        n_paulis: int,
        *,
        weights: Float | None = None,
        free: NDArray[np.bool_] | None = None,
    ) -> None:
        count, n = s.shape
        if theta.shape != (Shape(n, m, n_paulis).size,):
            raise ValueError(
                f"theta must have shape ({Shape(n, m, n_paulis).size},) for n = {n}, m = {m} and "
                f"{n_paulis} Paulis, got {theta.shape}"
            )
        check_memory(
            6 * 8 * count * m * n_paulis,
            f"the metric of {m} hidden units over {count} states",
            "use fewer visible units, or a sampled gradient",
        )
        self.n, self.m, self.n_paulis = n, m, n_paulis
        self.free = free
        self.passes = 1
        """Passes over the states so far: the fields, and every product or matrix since."""
        self._matrices: dict[str, Float] = {}
        self._s1 = np.hstack([np.ones((count, 1)), s])
        self._phi = (self._s1 @ self._coupled(theta)).reshape(count, n_paulis, m)
        self._r = np.sqrt((self._phi * self._phi).sum(axis=1))
        self._t = tanh_ratio(self._r)
        # -sigma(v), (K, P m)
        self._x = (self._t[:, None, :] * self._phi).reshape(count, n_paulis * m)
        self.log_weights = log_2cosh(self._r).sum(axis=1) - s @ theta[:n]
        """log p~(v) of the states, (K,)."""
        if weights is None:
            highest = self.log_weights.max()
            each = np.exp(self.log_weights - highest)
            total = each.sum()
            self.log_partition: float = float(highest + np.log(total))
            """log Z; NaN if the states are not all there are."""
            self.p = each / total
            """Weights of the states, (K,)."""
        else:
            self.log_partition = float("nan")
            self.p = weights

    @property
    def n_fields(self) -> int:
        """Numbers that the fields of all states are."""
        return int(self.p.size) * self.m * self.n_paulis

    @property
    def size(self) -> int:
        """Length of vectors of parameters."""
        return Shape(self.n, self.m, self.n_paulis).size

    def averages(self, weights: Float | None = None) -> Float:
        """Averages of h with the states' weights, or with others (K,); (n_parameters,)."""
        p = self.p if weights is None else weights
        return self._collect(p, -p[:, None] * self._x)

    def product(self, x: Float, metric: str = "fisher") -> Float:
        """The metric "fisher" or "kubo-mori" times a vector (n_parameters,)."""
        self.passes += 1
        x = self._kept(x)
        dphi = self._s1 @ self._coupled(x)
        c = self._s1[:, 1:] @ x[: self.n] - (self._x * dphi).sum(axis=1)
        c = self.p * (c - self.p @ c)
        fields = -c[:, None] * self._x
        if metric == "kubo-mori":
            fields += self.p[:, None] * self._bent(dphi)
        return self._collect(c, fields)

    def half_product(self, x: Float) -> Float:
        """A x with F = A^T A and A_v = sqrt(p(v)) (h(v) - <h>); (n_parameters,) -> (K,)."""
        x = self._kept(x)
        dphi = self._s1 @ self._coupled(x)
        c = self._s1[:, 1:] @ x[: self.n] - (self._x * dphi).sum(axis=1)
        return np.asarray(np.sqrt(self.p) * (c - self.p @ c))

    def half_transposed(self, y: Float) -> Float:
        """A^T y, (K,) -> (n_parameters,), for A as in :meth:`half_product`."""
        root = np.sqrt(self.p)
        c = root * (y - root * (root @ y))
        return self._collect(c, -c[:, None] * self._x)

    def kernel(self) -> Float:
        """A A^T (K, K), whose nonzero eigenvalues are those of the Fisher metric.

        The products h(v).h(v') take no vectors as long as the parameters:
        s.s' + (1 + s.s') sum_jP x x'.
        """
        self.passes += 1
        s = self._s1[:, 1:]
        if self.free is None:
            alike = s @ s.T
            gram = alike + (1.0 + alike) * (self._x @ self._x.T)
        else:
            h = self._features()
            gram = h @ h.T
        mean = gram @ self.p
        gram -= mean[:, None]
        gram -= mean[None, :] - self.p @ mean
        root = np.sqrt(self.p)
        gram *= root[:, None]
        gram *= root
        return np.asarray(gram)

    def matrix(self, metric: str = "fisher") -> Float:
        """The metric itself, (free parameters, free parameters); kept, so do not change it."""
        if metric in self._matrices:
            return self._matrices[metric]
        self.passes += 1
        h = self._features()
        h -= self.p @ h
        h *= np.sqrt(self.p)[:, None]
        fisher: Float = h.T @ h
        if metric == "kubo-mori":
            mean = self._mean_curvature()
            fisher += mean if self.free is None else mean[np.ix_(self.free, self.free)]
        self._matrices[metric] = fisher
        return fisher

    def _features(self) -> Float:
        """h (K, free parameters)."""
        s = self._s1[:, 1:]
        count = s.shape[0]
        products = s[:, None, :, None] * self._x.reshape(count, self.n_paulis, 1, self.m)
        h = np.hstack([s, -self._x, -products.reshape(count, -1)])
        return h if self.free is None else h[:, self.free]

    def _mean_curvature(self) -> Float:
        """E_p of the second derivatives of log p~, (n_parameters, n_parameters)."""
        n, m, P, count = self.n, self.m, self.n_paulis, self.p.size
        pairs = [(p, q) for p in range(P) for q in range(p, P)]
        # Per pair of Paulis and hidden unit a matrix over (1, s) x (1, s): one product for all.
        blocks = np.stack(
            [
                self._second * self._phi[:, p] * self._phi[:, q] + (self._t if p == q else 0.0)
                for p, q in pairs
            ],
            axis=1,
        )
        blocks *= self.p[:, None, None]
        outer = (self._s1[:, :, None] * self._s1[:, None, :]).reshape(count, (n + 1) ** 2)
        means = outer.T @ blocks.reshape(count, len(pairs) * m)
        means = means.reshape(n + 1, n + 1, len(pairs), m)
        out = np.zeros((self.size, self.size))
        # places[j, p] are the parameters (b, w_1 ... w_n) of a unit and a Pauli.
        fields = n + np.arange(P * m).reshape(P, m)
        couplings = n + P * m + np.arange(P * n * m).reshape(P, n, m)
        places = np.concatenate([fields[:, None, :], couplings], axis=1)
        for k, (p, q) in enumerate(pairs):
            for j in range(m):
                rows, columns = places[p, :, j], places[q, :, j]
                out[np.ix_(rows, columns)] = means[:, :, k, j]
                out[np.ix_(columns, rows)] = means[:, :, k, j].T
        return out

    @cached_property
    def _second(self) -> Float:
        return tanh_ratio_slope(self._r)

    def _bent(self, dphi: Float) -> Float:
        """Second derivatives of log 2cosh |Phi| times a change of the fields (K, P m)."""
        change = dphi.reshape(self._phi.shape)
        along = self._second * (self._phi * change).sum(axis=1)
        bent = self._t[:, None, :] * change + along[:, None, :] * self._phi
        return np.asarray(bent.reshape(dphi.shape))

    def _coupled(self, theta: Float) -> Float:
        """b and w as the matrix (1 + n, P m) that (1, s) is multiplied by."""
        n, m, P = self.n, self.m, self.n_paulis
        out = np.empty((1 + n, P * m))
        out[0] = theta[n : n + P * m]
        w = theta[n + P * m :].reshape(P, n, m)
        out[1:] = w.transpose(1, 0, 2).reshape(n, P * m)
        return out

    def _collect(self, c: Float, fields: Float) -> Float:
        """(sum s c, sum fields, sum s fields) over the states, zero where nothing is free."""
        n, m, P = self.n, self.m, self.n_paulis
        found = self._s1.T @ fields
        w = found[1:].reshape(n, P, m).transpose(1, 0, 2)
        out = np.concatenate([self._s1[:, 1:].T @ c, found[0], w.ravel()])
        return self._kept(out)

    def _kept(self, x: Float) -> Float:
        return x if self.free is None else np.where(self.free, x, 0.0)


ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
"""Changes of a loss that are smaller than this, relative to its parts, are rounding."""


class Objective:
    """L(theta) = log Z - sum_v q_v log p~(v) + decay/2 |w|^2 of runs with data of their own.

    ``states`` (1 or runs, K, n) and ``probabilities`` (1 or runs, K) are the data; ``free``
    (n_parameters,) says which parameters may change, None if all may. Raises ValueError if there
    are too many visible units to enumerate.
    """

    def __init__(
        self,
        states: NDArray[np.uint8],
        probabilities: Float,
        m: int,
        n_paulis: int,
        *,
        decay: float = 0.0,
        free: NDArray[np.bool_] | None = None,
    ) -> None:
        n = states.shape[-1]
        self._s = enumerated(n)
        self._q = np.zeros((states.shape[0], 1 << n))
        for q, some, each in zip(self._q, states, probabilities, strict=True):
            np.add.at(q, index_of(some), each)
        self._m, self._n_paulis, self._free = m, n_paulis, free
        self._decay = decay
        size = n + n_paulis * m * (n + 1)
        self.diagonal: Float | None = None
        """Second derivative of the weight decay (n_parameters,), None without it."""
        if decay:
            self.diagonal = np.zeros(size)
            self.diagonal[n + n_paulis * m :] = decay

    def scores(self, theta: Float) -> Scores:
        """Fields and weights of all states under theta (n_parameters,)."""
        return Scores(theta, self._s, self._m, self._n_paulis, free=self._free)

    def clamped(self, scores: Scores, run: int) -> Float:
        """The data's averages <h>_q of a run, (n_parameters,)."""
        return scores.averages(self._data(run))

    def loss(self, theta: Float, scores: Scores, run: int) -> float:
        """L of a run at the parameters that the scores belong to."""
        likelihood = float(self._data(run) @ scores.log_weights)
        return scores.log_partition - likelihood + self.rest(theta)

    def rest(self, theta: Float) -> float:
        """What the weight decay adds to L."""
        return 0.0 if self.diagonal is None else 0.5 * float(self.diagonal @ (theta * theta))

    def _data(self, run: int) -> Float:
        q: Float = self._q[0 if self._q.shape[0] == 1 else run]
        return q
