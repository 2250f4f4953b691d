"""Global moves: proposals that know nothing of where a chain is, accepted so that p(v) is kept.

A proposal density q that can be sampled perfectly and evaluated, here that of an amplitude matrix
product state, serves as an independence sampler (Hastings, Biometrika 57, 97 (1970), section 2.5;
Tierney, Annals of Statistics 22, 1701 (1994)): v' ~ q is accepted with probability
min(1, [p~(v')/q(v')] / [p~(v)/q(v)]). Whatever was cut off in the network costs acceptance and
nothing else: p(v) stays invariant. A chain moves from mode to mode in one step, as far as q has
the modes.

Chains are dealt with in blocks of 64, by their number: the proposals of a block are drawn, and the
densities of its chains evaluated, for all 64 at once, whether or not all of them are there. So what
happens to chain c at a clock depends on (key, clock, c) and its state alone, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams

Float = NDArray[np.float64]
States = NDArray[np.uint8]
LogWeight = Callable[[States], Float]
"""log p~(v) of states (K, n), (K,), up to a constant."""

MOVE_WORK = 100_000
"""A move takes about as long per chain as a sweep of a model with so many couplings."""

BLOCK = 64
"""Chains that are proposed to together; also the shard of states of averages over samples."""

_LOW = (1 << 32) - 1


class Proposal(Protocol):
    """A normalised density over visible states that can be sampled perfectly and evaluated.

    :class:`tnqbm.networks.AmplitudeMPS` is one. ``sample(k, seed=...)`` gives independent states
    (k, n) uint8 and the logarithms of their probabilities (k,); ``log_prob`` those of given
    states (..., n), -inf for a state that is never proposed. Both must be functions of their
    arguments alone, and ``sample`` must give every state with the probability it says it has.
    """

    @property
    def n_visible(self) -> int: ...

    def sample(self, k: int, *, seed: int) -> tuple[States, Float]: ...

    def log_prob(self, v: States) -> Float: ...


def independence_step(
    mps: Proposal,
    log_weight: LogWeight,
    states: States,
    key: int,
    clock: int,
    first_chain: int = 0,
) -> NDArray[np.bool_]:
    """Propose a state of ``mps`` to every chain and accept or refuse it; (C,) which were accepted.

    log_weight : log p~(v) of states (K, n), up to a constant; each row's must not depend on the
        other rows.
    states : (C, n) uint8, C-contiguous, changed in place.
    key : name of the random stream (:func:`tnqbm.core.streams.key`).
    clock : number of this step, 0 or more; the caller counts.
    first_chain : number of the first chain, for callers that hold a part of the chains.

    A chain in a state with q(v) = 0 stays there: detailed balance leaves no other choice (local
    moves lead out of it). Raises ValueError on states of another shape or type, and
    FloatingPointError if a log weight or log probability is not a number.
    """
    if (
        states.ndim != 2
        or states.shape[1] != mps.n_visible
        or states.dtype != np.uint8
        or not states.flags.c_contiguous
    ):
        raise ValueError(
            f"states must be a contiguous uint8 array of shape (chains, {mps.n_visible}), got "
            f"{states.dtype} {states.shape}"
        )
    if clock < 0 or first_chain < 0:
        raise ValueError(f"clock = {clock} and first_chain = {first_chain} must not be negative")
    chains = states.shape[0]
    proposed = np.empty_like(states)
    log_q, log_u = np.empty((2, chains)), np.empty(chains)  # here and there
    for start in range(first_chain - first_chain % BLOCK, first_chain + chains, BLOCK):
        low, high = max(start, first_chain), min(start + BLOCK, first_chain + chains)
        mine = slice(low - first_chain, high - first_chain)
        here = slice(low - start, high - start)
        path = (clock & _LOW, clock >> 32, start // BLOCK)
        block, log_new = mps.sample(BLOCK, seed=streams.key(key, *path, streams.Moves.STATES))
        rng = streams.philox(streams.key(key, *path, streams.Moves.TEST))
        log_u[mine] = np.log1p(-rng.random(BLOCK))[here]
        proposed[mine], log_q[1, mine] = block[here], log_new[here]
        # Chains of the block that are not there stand in their own proposals.
        block = block.copy()
        block[here] = states[mine]
        log_q[0, mine] = mps.log_prob(block)[here]
    log_w = np.asarray(log_weight(np.concatenate([states, proposed])), dtype=np.float64)
    old, new = log_w.reshape(2, chains) - log_q
    if not (np.isfinite(new).all() and (old > -np.inf).all()):
        raise FloatingPointError(
            "the log weight of a state or its log probability under the proposal is not a finite "
            "number, so a global move cannot be accepted or refused"
        )
    accepted = np.asarray(log_u <= new - old)
    states[accepted] = proposed[accepted]
    return accepted


def perfect_states(mps: Proposal, count: int, key: int) -> States:
    """Independent samples (count, n) of a proposal; the first ones are the same for any count."""
    blocks = [mps.sample(BLOCK, seed=streams.key(key, k))[0] for k in range(-(-count // BLOCK))]
    return np.ascontiguousarray(np.concatenate(blocks)[:count])


class IndependenceMoves:
    """Independence moves of the chains of one model, given what stays the same between them.

    ``mps`` proposes, ``log_weight`` weighs and ``key`` names the random stream, as in
    :func:`independence_step`. ``units`` (k,): the columns of the states that ``mps`` is about, in
    its order, if other units are held fixed; None for all.
    """

    def __init__(
        self,
        mps: Proposal,
        log_weight: LogWeight,
        key: int,
        *,
        units: NDArray[np.intp] | None = None,
    ) -> None:
        self.mps = mps
        self._log_weight = log_weight
        self._key = key
        self._units = units

    def propose(self, states: States, clock: int, first_chain: int = 0) -> NDArray[np.bool_]:
        """One move of every chain (C, n) in place; (C,) which were accepted."""
        if self._units is None:
            return independence_step(
                self.mps, self._log_weight, states, self._key, clock, first_chain
            )
        part = np.ascontiguousarray(states[:, self._units])
        accepted = independence_step(
            self.mps, self._log_weight, part, self._key, clock, first_chain
        )
        states[:, self._units] = part
        return accepted
