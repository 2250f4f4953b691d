"""What becomes of a gradient before the optimizer's update, and schedules of the learning rate.

Parameters, averages and gradients are (B, n_parameters) in the order of
:meth:`tnqbm.SqRBM.to_vector`; rows never mix, so a run's numbers do not depend on its batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.kernels.parts import parallel_over

Float = NDArray[np.float64]


def centred(
    positive: Float,
    negative: Float,
    n: int,
    m: int,
    n_paulis: int,
    mask: NDArray[np.bool_] | None = None,
) -> Float:
    """The centred gradient from the data's and the model's averages, (B, n_parameters).

    Written with offsets mu_i and lambda_j^P,

        H = sum a'_i (s_i - mu_i) + sum b'_jP (sigma_j^P - lambda_j^P)
            + sum w_ijP (s_i - mu_i) (sigma_j^P - lambda_j^P) + const

    is the same model with a' = a + sum_jP w lambda and b' = b + sum_i w mu. A step against the
    gradient in (a', b', w) is, in (a, b, w), a step against

        C_w = G_w - mu G_b - lambda G_a,   C_a = G_a - sum_jP lambda C_w,   C_b = G_b - sum_i mu C_w

    with G the plain gradient, positive - negative. The offsets are the means of data and model,
    mu_i = (<s_i>_q + <s_i>_p)/2 and lambda_j^P = (<sigma_j^P>_q + <sigma_j^P>_p)/2. C = A A^T G
    with A the Jacobian of the change of variables, so C descends wherever G does. Couplings outside
    the ``mask`` (n, m) do not exist: they are left out of the sums, and C is zero there.

    Cho, Raiko & Ilin 2011 (enhanced gradient), Montavon & Müller 2012 (centring); that the two
    are one, with these offsets: Melchior, Fischer & Wiskott 2016 (JMLR 17(99)).
    """
    out = np.empty_like(positive)
    _centre_rows(positive, negative, n, m, n_paulis, mask, out)
    return out


@parallel_over(lambda positive: positive.shape[0])  # type: ignore[untyped-decorator]
def _centre_rows(
    row: Any, positive: Any, negative: Any, n: Any, m: Any, P: Any, mask: Any, out: Any
) -> None:
    weights = n + P * m
    q, p, g = positive[row], negative[row], out[row]
    for k in range(weights):
        g[k] = q[k] - p[k]
    for which in range(P):
        for i in range(n):
            mu = 0.5 * (q[i] + p[i])
            visible = q[i] - p[i]
            for j in range(m):
                at = n + which * m + j
                offset = 0.5 * (q[at] + p[at])
                k = weights + (which * n + i) * m + j
                # Compiled apart for dense models, which have None here.
                if mask is not None:  # noqa: SIM102
                    if not mask[i, j]:
                        g[k] = 0.0
                        continue
                c = q[k] - p[k] - mu * (q[at] - p[at]) - offset * visible
                g[k] = c
                g[i] -= offset * c
                g[at] -= mu * c


def clip(gradient: Float, largest: float) -> None:
    """Shorten the rows whose Euclidean norm exceeds ``largest`` to that norm, in place."""
    norm = np.sqrt((gradient * gradient).sum(axis=1))
    long = norm > largest
    gradient[long] *= (largest / norm[long])[:, None]


def schedule(
    name: str, learning_rate: float, *, decay: float, decay_steps: int, iterations: int
) -> Callable[[int], float]:
    """Learning rate as a function of the number of updates done so far.

    ``exponential``: lr * decay**(k / decay_steps), smoothly; ``step``: the same with the integer
    part of k / decay_steps; ``cosine``: from lr to lr * decay along half a cosine over all
    iterations.
    """
    if name == "constant":
        return lambda k: learning_rate
    if name == "exponential":
        return lambda k: learning_rate * decay ** (k / decay_steps)
    if name == "step":
        return lambda k: learning_rate * decay ** (k // decay_steps)
    if name == "cosine":

        def cosine(k: int) -> float:
            fraction = 0.5 * (1.0 + math.cos(math.pi * min(k, iterations) / max(1, iterations)))
            return learning_rate * (decay + (1.0 - decay) * fraction)

        return cosine
    raise ValueError(f"unknown schedule {name!r}")
