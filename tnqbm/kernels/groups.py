"""Log weights of the states of sqBMs whose hidden qubits are coupled in small groups.

log p~(v) = -a.s - sum_(ik) J_ik s_i s_k + sum_g log Tr exp(-H_g(v)). A state has a SIMD lane; the
arrays are those of :class:`tnqbm.hamiltonian.layout.GroupLayout`: ``par`` is packed parameters,
``groups`` and the others its network, Q = P m.
"""

from __future__ import annotations

from tnqbm.kernels.group_averages import gibbs_state, gibbs_work_numbers
from tnqbm.kernels.group_traces import MAX_GROUP, log_trace, work_numbers
from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import load, splat, store


def work_size(n: int, fields: int, groups: int, matrices: int, width: int) -> int:
    """Work space, in numbers, that a thread needs for log weights, averages and sweeps.

    ``matrices`` are the numbers that the couplings of all groups take.
    """
    own = 2 * n + 2 * fields + 3 * groups + matrices + 6 * MAX_GROUP + 2
    return width * own + max(work_numbers(MAX_GROUP, width), gibbs_work_numbers(width))


@part
def take_spins(states, first, W, s):
    """Spins of states first, first + 1, ...; lanes beyond the last state repeat it."""
    count, n = states.shape
    for lane in range(W):
        state = min(first + lane, count - 1)
        for i in range(n):
            s[i * W + lane] = 1.0 - 2.0 * states[state, i]


@part
def group_fields(par, n, Q, W, s, phi):
    """phi[q W + lane] = b_q + sum_i s_i w_iq."""
    for q in range(Q):
        store(phi, q * W, splat(par, n + q))
    for i in range(n):
        spin = load(s, i * W)
        row = n + (i + 1) * Q
        for q in range(Q):
            store(phi, q * W, load(phi, q * W) + spin * splat(par, row + q))


@part
def local_field(par, n, Q, W, s, i, edge_starts, neighbours, edges):
    """a_i + sum_k J_ik s_k of every lane."""
    first = n + (n + 1) * Q
    x = splat(par, i)
    for e in range(edge_starts[i], edge_starts[i + 1]):
        x = x + load(s, neighbours[e] * W) * splat(par, first + edges[e])
    return x


@part
def group_weights(par, first, P, W, groups, phi, weights, work):
    """weights[g W + lane] = log Tr exp(-H_g); the coupling matrices begin at par[first]."""
    for g in range(groups.shape[0]):
        found = log_trace(
            phi, groups[g, 0] * P * W, par, first + groups[g, 2], groups[g, 1], P, W, work
        )
        store(weights, g * W, found)


@part
def visible_energy(par, n, Q, W, s, edge_starts, neighbours, edges):
    """a.s + sum_(ik) J_ik s_i s_k of every lane."""
    total = load(s, 0) * 0.0
    for i in range(n):
        # Every coupling is in the local fields of both of its units.
        both = local_field(par, n, Q, W, s, i, edge_starts, neighbours, edges) + splat(par, i)
        total = total + load(s, i * W) * both
    return total * 0.5


@parallel_over(lambda out, W: out.shape[0] * ((out.shape[1] + W - 1) // W))
def state_log_weights(
    task, pars, n, P, Q, W, first, groups, edge_starts, neighbours, edges, states, work, out
):  # fmt: skip
    """out (B, K): log p~ of states (1 or B, K, n) under packed parameters (B, size)."""
    count = out.shape[1]
    blocks = (count + W - 1) // W
    b = task // blocks
    begin = task % blocks * W
    space = work[get_thread_id()]
    total, space = space[:W], space[W:]
    s, space = space[: n * W], space[n * W :]
    phi, space = space[: Q * W], space[Q * W :]
    size = groups.shape[0] * W
    weights, space = space[:size], space[size:]
    take_spins(states[b if states.shape[0] > 1 else 0], begin, W, s)
    group_fields(pars[b], n, Q, W, s, phi)
    group_weights(pars[b], first, P, W, groups, phi, weights, space)
    x = visible_energy(pars[b], n, Q, W, s, edge_starts, neighbours, edges) * -1.0
    for g in range(groups.shape[0]):
        x = x + load(weights, g * W)
    store(total, 0, x)
    for lane in range(min(W, count - begin)):
        out[b, begin + lane] = total[lane]


@part
def _field_averages(state, k, P, W, at, sigma):
    """sigma[at + (j P + p) W + lane]: averages of single qubits in a Gibbs state of a group."""
    size = 1 << k
    half = size * (size + 1) // 2
    for j in range(k):
        bit = 1 << (k - 1 - j)
        x = load(state, 0) * 0.0
        y, z = x, x
        for r in range(size):
            entry = r * (r + 1) // 2
            value = load(state, (r if P == 1 else entry + r) * W)
            z = z - value if r & bit else z + value
            if P > 1 and r & bit:
                x = x + load(state, (entry + r - bit) * W)
                if P == 3:
                    y = y + load(state, (half + entry + r - bit) * W)
        to = at + j * P * W
        if P > 1:
            store(sigma, to, x)
        if P == 3:
            store(sigma, to + W, y)
        store(sigma, to + (P - 1) * W, z)


@parallel_over(lambda sigma, W: sigma.shape[0] * ((sigma.shape[1] + W - 1) // W))
def state_averages(
    task, pars, n, P, Q, W, first, groups, edge_starts, neighbours, edges, states, work, sigma, rho,
    out,
):  # fmt: skip
    """Averages in the Gibbs states of the groups, of states (1 or B, K, n), and log weights.

    ``sigma`` (B, K, Q) are those of single qubits, and ``rho`` (B, K, C) the states themselves,
    stored as couplings are, see :func:`tnqbm.kernels.group_averages.gibbs_state`; ``out`` (B, K) is
    log p~.
    """
    count = sigma.shape[1]
    blocks = (count + W - 1) // W
    size = rho.shape[2] * W
    b = task // blocks
    begin = task % blocks * W
    space = work[get_thread_id()]
    total, space = space[:W], space[W:]
    s, space = space[: n * W], space[n * W :]
    phi, space = space[: Q * W], space[Q * W :]
    own, space = space[: Q * W], space[Q * W :]
    found, space = space[:size], space[size:]
    take_spins(states[b if states.shape[0] > 1 else 0], begin, W, s)
    group_fields(pars[b], n, Q, W, s, phi)
    x = visible_energy(pars[b], n, Q, W, s, edge_starts, neighbours, edges) * -1.0
    for g in range(groups.shape[0]):
        at, k = groups[g, 0] * P * W, groups[g, 1]
        state = found[groups[g, 2] * W :]
        x = x + gibbs_state(phi, at, pars[b], first + groups[g, 2], k, P, W, state, space)
        _field_averages(state, k, P, W, at, own)
    store(total, 0, x)
    for lane in range(min(W, count - begin)):
        out[b, begin + lane] = total[lane]
        for q in range(Q):
            sigma[b, begin + lane, q] = own[q * W + lane]
        for c in range(rho.shape[2]):
            rho[b, begin + lane, c] = found[c * W + lane]
