"""Numba kernels that move many Markov chains of an sqRBM at once.

A number drawn is a function of (key, chain, sweep, site), see :mod:`tnqbm.kernels.philox`: results
depend neither on threads and ranks nor on how chains and sweeps are grouped into calls.
"""

from mc.kernels.sweeper import (
    KERNELS,
    Sweeper,
    basis_number,
    check_kernel,
    check_kernel_basis,
    check_states,
    is_exact,
)

__all__ = [
    "KERNELS",
    "Sweeper",
    "basis_number",
    "check_kernel",
    "check_kernel_basis",
    "check_states",
    "is_exact",
]
