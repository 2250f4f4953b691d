"""Whether arrays stay within bounds, in one pass without copies."""

from __future__ import annotations

from tnqbm.kernels.parallel import njit


@njit(error_model="numpy", cache=True)
def all_within(theta, bound):
    """Whether no entry of a flat array exceeds a bound in magnitude or is NaN."""
    beyond = 0
    for k in range(theta.size):
        # A NaN fails the comparison.
        beyond += not abs(theta[k]) <= bound
    return beyond == 0
