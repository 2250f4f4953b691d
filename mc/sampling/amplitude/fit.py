"""Amplitude matrix product states fitted to chains: the proposals of global moves, perfect samples
and importance sampling.

The network is built from states of the model (:meth:`tnqbm.networks.AmplitudeMPS.fit`), and what
supplies them are chains that have not run for long: they have to find the modes of p(v), not to
visit them in proportion. A mode that none of them finds is missing from the network too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import Sweeper
from mc.sampling.amplitude.moves import LogWeight, Proposal, States
from mc.sampling.chains.moving import (
    FREE,
    Clamp,
    MovingChains,
    Seed,
    clamped_values,
    starting_states,
)
from mc.sampling.policies import FEEDS, MAX_BOND, Feed
from mc.sampling.tempering.ladder import Tempering
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.limits import check_memory
from tnqbm.core import streams
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.networks import AmplitudeMPS

Float = NDArray[np.float64]
CHAINS = 256
"""Chains that find states for the network, or to check it with."""
BURN_IN, THIN = 200, 10
"""Sweeps before their first state, and between two."""
TEMPERATURES = 10
"""Rungs of the ladders of "tempered"."""
STATES_PER_BOND = 8
"""States found per unit of bond dimension, and at least four per chain."""


@checked(
    model=MODEL,
    max_bond=arguments.at_least(1),
    states=arguments.rows(),
    feed=arguments.among(*FEEDS),
    data=arguments.rows(Target),
    seed=arguments.seed,
)
def fit_amplitude(
    model: SqRBM,
    *,
    max_bond: int = MAX_BOND,
    states: ArrayLike | None = None,
    feed: Feed = "chains",
    data: Target | ArrayLike | None = None,
    clamp: Clamp | None = None,
    seed: Seed,
) -> AmplitudeMPS:
    """The amplitude matrix product state of a model, or of its free units given the clamped ones.

    max_bond : largest bond dimension; the fit takes what it needs of it.
    states : (K, n) or (chains, draws, n) states to build it from, roughly those of the model;
        default: found by ``feed``.
    feed : "chains", 256 collapsed chains of 200 sweeps and more; "tempered", 256 ladders of ten
        inverse temperatures, which leave a mode more easily and cost ten times as much.
    data : a Target or rows (N, n) from which every second chain starts, for models that were
        trained on them; the others start from fair bits.
    clamp : units held fixed, as for :func:`mc.sample`. The conditional distribution of the free
        units is that of a smaller model; its network is about those units only.

    The same seed gives the same network. Raises ValueError on impossible arguments, MemoryError
    if the network would not fit.
    """
    held = clamped_values(clamp, model.n_visible)
    free = held == FREE
    if states is not None:
        rows = as_states(states, model.n_visible).reshape(-1, model.n_visible)
        if rows.shape[0] == 0:
            raise ValueError("states: there are none; leave them out to have them found")
    else:
        draws = max(4, -(-STATES_PER_BOND * max_bond // CHAINS))
        found = find_states(
            model,
            draws,
            feed=feed,
            data=data,
            held=held,
            key=streams.key(seed, streams.NetworkFit.FEED),
        )
        # The first states of all chains come first, whatever number of rows is looked at.
        rows = np.swapaxes(found, 0, 1).reshape(-1, model.n_visible)

    return AmplitudeMPS.fit(
        conditioned(model, held),
        np.ascontiguousarray(rows[:, free]),
        max_bond=max_bond,
        seed=streams.key(seed, streams.NetworkFit.FIT),
    )


def find_states(
    model: SqRBM,
    draws: int,
    *,
    feed: Feed = "chains",
    data: Target | ArrayLike | None = None,
    held: NDArray[np.int8] | None = None,
    key: int,
) -> States:
    """States (256, draws, n) of short chains; arguments as for :func:`fit_amplitude`."""
    n = model.n_visible
    check_memory(
        CHAINS * draws * n, f"{CHAINS} chains x {draws} states x {n} units", "take a smaller bond"
    )
    start = starting_states(
        "random", CHAINS, n, data=None, seed=streams.key(key, streams.Feed.START)
    )
    if data is not None:
        start[::2] = starting_states(
            "data", CHAINS // 2, n, data=data, seed=streams.key(key, streams.Feed.START, 1)
        )
    found = np.empty((CHAINS, draws, n), dtype=np.uint8)
    if feed == "chains":
        chains = MovingChains(
            model, "collapsed", start, streams.key(key, streams.Feed.SWEEPS), held=held
        )
        chains.advance(BURN_IN - THIN)
        for k in range(draws):
            chains.advance(THIN)
            found[:, k] = chains.states
        return found
    free = np.ones(n, dtype=bool) if held is None else held == FREE
    part = model if held is None else conditioned(model, held)
    theta = part.to_vector()[None]
    ladders = Tempering(
        part.shape,
        betas=np.linspace(0.0, 1.0, TEMPERATURES),
        chains=CHAINS,
        keys=streams.keys([key], streams.Feed.SWEEPS),
        kernel="collapsed",
        init=np.ascontiguousarray(start[:, free]),
    )
    ladders.advance(theta, BURN_IN - THIN)
    if held is not None:
        found[:] = np.maximum(held, 0).astype(np.uint8)
    for k in range(draws):
        ladders.advance(theta, THIN)
        found[:, k, free] = ladders.states[0]
    return found


def conditioned(model: SqRBM, held: NDArray[np.int8]) -> SqRBM:
    """The model of the free units given the others: p(v_free | v_held), held as in
    ``mc.sampling.chains.moving``.

    A unit that is held adds s_i w_i to the hidden fields b and leaves; log p~ changes by the
    constant of its own field a_i, which is dropped.
    """
    free = held == FREE
    if free.all():
        return model
    spins = 1.0 - 2.0 * held[~free].astype(np.float64)
    b = model.b + np.einsum("i,pij->pj", spins, model.w[:, ~free])
    mask = getattr(model, "mask", None)
    more = {} if mask is None else {"mask": mask[free]}
    return SqRBM(model.a[free], b, model.w[:, free], model.paulis, **more)


def log_weight_of(model: SqRBM) -> LogWeight:
    """log p~(v) of states (K, n) as a function; a row's is the same, to the bit, in any company."""
    sweeper = Sweeper(model.shape, "collapsed")
    theta = model.to_vector()[None]

    def log_weight(states: States) -> Float:
        return np.asarray(sweeper.log_weights(theta, np.ascontiguousarray(states)[None])[0])

    return log_weight


def check_proposal(proposal: Proposal, n: int) -> None:
    """ValueError unless the proposal is about n units, TypeError unless it is a proposal."""
    for name in ("n_visible", "sample", "log_prob"):
        if not hasattr(proposal, name):
            raise TypeError(
                f"proposal must be an AmplitudeMPS (or have its n_visible, sample and log_prob), "
                f"got {type(proposal).__name__}"
            )
    if proposal.n_visible != n:
        raise ValueError(
            f"proposal: the network is about {proposal.n_visible} visible units, but {n} are to "
            "be sampled; with clamped units it must be about the free ones (fit_amplitude(..., "
            "clamp=...))"
        )
