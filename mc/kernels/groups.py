"""Drivers of the lane-per-chain kernels: every model of a batch, its chains in groups of W.

Arguments: ``pars`` (B, size) packed parameters, ``states`` (B, C, n) bits changed in place,
``rates`` (B, C) accepted moves or changed bits summed over the sweeps, ``work`` (threads, size)
scratch.
"""

from __future__ import annotations

from mc.kernels.collapsed import collapsed_sweep
from mc.kernels.lanes import (
    OPTIONS,
    hidden_fields,
    hidden_weight,
    pack_parameters,
    put_spins,
    take_spins,
    visible_energy,
)
from mc.kernels.measured import measured_sweep
from mc.kernels.whole import mean_fields, thermal_sweep, vector_sweep
from tnqbm.kernels.parallel import get_thread_id, njit, prange
from tnqbm.kernels.simd import load, store


@njit(parallel=True, **OPTIONS)
def pack_all(theta, n, m, P, pars):
    for b in prange(theta.shape[0]):
        pack_parameters(theta[b], n, m, P, pars[b])


@njit(**OPTIONS)
def _add(total, value):
    store(total, 0, load(total, 0) + value)


@njit(**OPTIONS)
def _report(total, first, rates):
    for lane in range(min(total.shape[0], rates.shape[0] - first)):
        rates[first + lane] = total[lane]


@njit(parallel=True, **OPTIONS)
def collapsed_chains(
    pars, n, m, P, W, keys, clock, steps, first_chain, free, states, work, rates
):  # fmt: skip
    groups = (states.shape[1] + W - 1) // W
    for task in prange(states.shape[0] * groups):
        b = task // groups
        first = task % groups * W
        space = work[get_thread_id()]
        total, space = space[:W], space[W:]
        s, space = space[: n * W], space[n * W :]
        phi, draws = space[: (m * P + 1) * W], space[(m * P + 1) * W :]
        total[:] = 0.0
        phi[:] = 0.0
        take_spins(states[b], first, W, s)
        for step in range(steps):
            _add(total, collapsed_sweep(
                pars[b], n, m, P, W, keys[b], first_chain + first, clock + step, free, s, phi,
                draws,
            ))  # fmt: skip
        put_spins(states[b], first, W, s)
        _report(total, first, rates[b])


@njit(parallel=True, **OPTIONS)
def measured_chains(
    pars, n, m, P, W, keys, clock, steps, first_chain, free, states, work, rates
):  # fmt: skip
    groups = (states.shape[1] + W - 1) // W
    for task in prange(states.shape[0] * groups):
        b = task // groups
        first = task % groups * W
        space = work[get_thread_id()]
        total, space = space[:W], space[W:]
        s, space = space[: n * W], space[n * W :]
        h, space = space[: m * W], space[m * W :]
        phi, draws = space[: (m * P + 1) * W], space[(m * P + 1) * W :]
        total[:] = 0.0
        phi[:] = 0.0
        take_spins(states[b], first, W, s)
        for step in range(steps):
            _add(total, measured_sweep(
                pars[b], n, m, P, W, keys[b], first_chain + first, clock + step, free, s, phi, h,
                draws,
            ))  # fmt: skip
        put_spins(states[b], first, W, s)
        _report(total, first, rates[b])


@njit(parallel=True, **OPTIONS)
def vector_chains(
    pars, n, m, P, W, keys, clock, steps, first_chain, free, bloch, states, work, rates
):  # fmt: skip
    groups = (states.shape[1] + W - 1) // W
    row = (m * P + 1) * W
    for task in prange(states.shape[0] * groups):
        b = task // groups
        first = task % groups * W
        space = work[get_thread_id()]
        total, space = space[:W], space[W:]
        s, space = space[: n * W], space[n * W :]
        new_s, space = space[: n * W], space[n * W :]
        h, space = space[: n * W], space[n * W :]
        phi, space = space[:row], space[row:]
        new_phi, space = space[:row], space[row:]
        t, draws = space[:row], space[row:]
        total[:] = 0.0
        phi[:] = 0.0
        new_phi[:] = 0.0
        take_spins(states[b], first, W, s)
        hidden_fields(pars[b], n, m * P, W, s, phi)
        for step in range(steps):
            _add(total, vector_sweep(
                pars[b], n, m, P, W, keys[b], first_chain + first, clock + step, free, bloch, s,
                phi, t, h, new_s, new_phi, draws,
            ))  # fmt: skip
        put_spins(states[b], first, W, s)
        _report(total, first, rates[b])


@njit(parallel=True, **OPTIONS)
def thermal_chains(
    pars, n, m, P, W, keys, clock, steps, first_chain, free, inertia, states, work, rates
):  # fmt: skip
    groups = (states.shape[1] + W - 1) // W
    row = (m * P + 1) * W
    for task in prange(states.shape[0] * groups):
        b = task // groups
        first = task % groups * W
        space = work[get_thread_id()]
        total, space = space[:W], space[W:]
        s, space = space[: n * W], space[n * W :]
        new_s, space = space[: n * W], space[n * W :]
        h, space = space[: n * W], space[n * W :]
        new_h, space = space[: n * W], space[n * W :]
        phi, space = space[:row], space[row:]
        new_phi, space = space[:row], space[row:]
        t, draws = space[:row], space[row:]
        total[:] = 0.0
        phi[:] = 0.0
        new_phi[:] = 0.0
        take_spins(states[b], first, W, s)
        hidden_fields(pars[b], n, m * P, W, s, phi)
        mean_fields(pars[b], n, m, P, W, inertia, s, phi, t, h)
        for step in range(steps):
            _add(total, thermal_sweep(
                pars[b], n, m, P, W, keys[b], first_chain + first, clock + step, free, inertia,
                s, phi, t, h, new_s, new_phi, new_h, draws,
            ))  # fmt: skip
        put_spins(states[b], first, W, s)
        _report(total, first, rates[b])


def work_size(n: int, m: int, n_paulis: int, width: int) -> int:
    """Scratch numbers a thread needs for any of the drivers."""
    fields = m * n_paulis + 1
    return width * (1 + 4 * n + m + 3 * fields + max(n, 2 * m) + 8)


@njit(parallel=True, **OPTIONS)
def chain_log_weights(pars, n, m, P, W, states, work, found):
    """found (B, C): log p~(v) of every chain."""
    groups = (states.shape[1] + W - 1) // W
    for task in prange(states.shape[0] * groups):
        b = task // groups
        first = task % groups * W
        space = work[get_thread_id()]
        total, space = space[:W], space[W:]
        s, phi = space[: n * W], space[n * W :]
        phi[:W] = 0.0
        take_spins(states[b], first, W, s)
        hidden_fields(pars[b], n, m * P, W, s, phi)
        store(total, 0, hidden_weight(phi, m, P, W) - visible_energy(pars[b], n, W, s))
        _report(total, first, found[b])
