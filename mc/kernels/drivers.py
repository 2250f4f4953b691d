"""What all sweeps with a chain in every lane share: drivers over models and groups of W chains.

A sweep is three row functions:

- ``scratch(n, m, P, W, space)`` cuts arrays of its own, as a tuple, from a thread's work space, and
  sets fields to zero, whose last row nobody computes but some read;
- ``start(par, n, m, P, W, setting, s, *scratch)`` prepares them for the states ``s``, once a call;
- ``sweep(par, n, m, P, W, key, chain, sweep, free, setting, s, *scratch)`` moves W chains once and
  returns, lane by lane, the moves that it accepted or the bits that it changed.

:func:`chains_driver` makes of them what :class:`mc.kernels.Sweeper` calls. ``setting`` is a number
of the kernel's own: the inertia of ``thermal``, the basis of ``pauli``; others ignore it. Arguments
of drivers: ``pars`` (B, size) packed parameters, ``states`` (B, C, n) bits changed in place,
``rates`` (B, C) what the sweeps returned, added up, ``work`` (threads, size) work space.
"""

from __future__ import annotations

from typing import Any

from mc.kernels.lanes import (
    hidden_fields,
    hidden_weight,
    pack_parameters,
    put_spins,
    visible_energy,
)
from tnqbm.kernels.groups import take_spins
from tnqbm.kernels.parallel import OPTIONS, get_thread_id, njit
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import load, store


@parallel_over(lambda theta: theta.shape[0])
def pack_all(b, theta, n, m, P, pars):
    pack_parameters(theta[b], n, m, P, pars[b])


@part
def add_rates(total, value):
    store(total, 0, load(total, 0) + value)


@part
def report_rates(total, first, rates):
    for lane in range(min(total.shape[0], rates.shape[0] - first)):
        rates[first + lane] = total[lane]


@njit(**OPTIONS)
def start_nothing(par, n, m, P, W, setting, s, *scratch):
    """The start of a sweep that keeps nothing from one to the next."""


def chains_driver(scratch: Any, start: Any, sweep: Any) -> Any:
    """The driver of a sweep: every model of a batch, its chains in groups of W."""

    @parallel_over(lambda states, W: states.shape[0] * ((states.shape[1] + W - 1) // W))
    def chains(
        task, pars, n, m, P, W, keys, clock, steps, first_chain, free, setting, states, work, rates
    ):  # fmt: skip
        groups = (states.shape[1] + W - 1) // W
        b = task // groups
        first = task % groups * W
        space = work[get_thread_id()]
        total, space = space[:W], space[W:]
        s, space = space[: n * W], space[n * W :]
        own = scratch(n, m, P, W, space)
        total[:] = 0.0
        take_spins(states[b], first, W, s)
        start(pars[b], n, m, P, W, setting, s, *own)
        for step in range(steps):
            add_rates(total, sweep(
                pars[b], n, m, P, W, keys[b], first_chain + first, clock + step, free, setting,
                s, *own,
            ))  # fmt: skip
        put_spins(states[b], first, W, s)
        report_rates(total, first, rates[b])

    return chains


def work_size(n: int, m: int, n_paulis: int, width: int) -> int:
    """Work space, in numbers, that a thread needs for any of the sweeps."""
    fields = m * n_paulis + 1
    return width * (1 + 4 * n + m + 3 * fields + max(n, 2 * m) + 8)


@parallel_over(lambda states, W: states.shape[0] * ((states.shape[1] + W - 1) // W))
def chain_log_weights(task, pars, n, m, P, W, states, work, out):
    """out (B, C): log p~(v) of every chain."""
    groups = (states.shape[1] + W - 1) // W
    b = task // groups
    first = task % groups * W
    space = work[get_thread_id()]
    total, space = space[:W], space[W:]
    s, phi = space[: n * W], space[n * W :]
    phi[:W] = 0.0
    take_spins(states[b], first, W, s)
    hidden_fields(pars[b], n, m * P, W, s, phi)
    store(total, 0, hidden_weight(phi, m, P, W) - visible_energy(pars[b], n, W, s))
    report_rates(total, first, out[b])
