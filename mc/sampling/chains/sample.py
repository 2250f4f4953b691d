"""Samples from Markov chains: their burn-in and spacing, and whether they mixed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import check_kernel, check_kernel_basis, check_states, is_exact
from mc.sampling.amplitude.fit import (
    check_proposal,
    conditioned,
    fit_amplitude,
    log_weight_of,
)
from mc.sampling.amplitude.moves import MOVE_WORK, IndependenceMoves, perfect_states
from mc.sampling.chains.mixing import TRACE, diagnose, directions, unseen_mode
from mc.sampling.chains.moving import (
    FREE,
    MovingChains,
    Seed,
    States,
    as_target,
    scout_states,
    starting_states,
)
from mc.sampling.chains.pilot import CHAINS, Pilot, fastest, run_pilots
from mc.sampling.group_path import check_sweeps
from mc.sampling.info import ChainsInfo, MixingWarning
from mc.sampling.log_z.verdict import lacks
from mc.sampling.policies import MAX_BOND, Chains
from tnqbm.base.forecast import nanoseconds
from tnqbm.base.limits import check_memory
from tnqbm.base.progress import StepsDisplay
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target
from tnqbm.hamiltonian.forecast import group_work
from tnqbm.hamiltonian.grouped import SqBM

FALLBACK = "collapsed"
"""The kernel that is always exact, applies to every model and mixes best per sweep."""

COLLAPSED: float = nanoseconds("sweeps")["collapsed"]
"""Nanoseconds of a pair of units and Pauli matrix in a sweep of :data:`FALLBACK` of an sqRBM."""

TENSOR = "tensor"
"""A sweep of :data:`FALLBACK`, then a global move proposed by an amplitude matrix product state."""

SCOUTS = 8
"""Further chains, at most, that start where modes may be and are not kept: they help to judge."""

UNSEEN = 5.0
"""Samples that a mode must be worth for its absence to count."""


def sample_chains(
    model: SqRBM | SqBM,
    samples: int,
    policy: Chains,
    *,
    data: Target | ArrayLike | None,
    held: NDArray[np.int8],
    seed: Seed,
    progress: bool,
) -> tuple[States, ChainsInfo, list[Warning]]:
    """Samples (chains, samples, n) of :func:`mc.sample`, what is known of them, and warnings.

    ``held`` (n,) is what every unit is clamped to, -1 for free ones.
    """
    began = time.perf_counter()
    n, paulis = model.n_visible, len(model.paulis)
    _check(model, samples, policy, int((held == FREE).sum()))
    source = _Source(model, policy, data, held, seed)
    free = source.free

    pilots: tuple[Pilot, ...] = ()
    chosen = None
    kernels = _candidates(model) if policy.kernel == "auto" else [policy.kernel]
    if len(kernels) > 1 or policy.burn_in is None or policy.thin is None:
        # A start of its own, so that the pilot is the same for every number of chains.
        pilot_start = source.start(CHAINS, streams.Sample.PILOT_START)

        def make_pilot(kernel: str) -> MovingChains:
            return source.chains(
                kernel, pilot_start, streams.key(seed, streams.Sample.PILOT, *kernel.encode())
            )

        size = n * model.n_hidden * paulis + (MOVE_WORK if policy.kernel == TENSOR else 0)
        if isinstance(model, SqBM):
            size = round(group_work(model.layout).sweep / COLLAPSED)
        pilots = run_pilots(make_pilot, kernels, size=size, free=free)
        chosen = fastest(pilots, FALLBACK if policy.kernel == "auto" else policy.kernel)
    kernel = kernels[0] if chosen is None else chosen.kernel
    burn_in = chosen.burn_in if policy.burn_in is None and chosen else policy.burn_in or 0
    thin = chosen.thin if policy.thin is None and chosen else policy.thin or 1

    start = source.start(policy.chains, streams.Sample.START)
    chains = source.chains(kernel, start, streams.key(seed, streams.Sample.CHAINS))
    apart = bool((chains.states != chains.states[0]).any())
    with StepsDisplay("sampling", burn_in + thin * samples, shown=progress) as display:
        trace = _run(chains, samples, burn_in, thin, display.advance)
    target = None if data is None else as_target(data)
    along = directions(model, trace.states, target, np.flatnonzero(free))
    mixing = diagnose(
        trace.states,
        trace.energies,
        kept=samples,
        along=along,
        units=np.flatnonzero(free),
        apart=apart,
        known=source.lacking,
    )
    troubles = list(mixing.troubles)
    if not troubles:
        # Chains that all fell into one mode agree: only others that started elsewhere can tell.
        key = streams.key(seed, streams.Sample.SCOUTS)
        count = min(SCOUTS, max(2, policy.chains // 2))
        scouts = source.chains(kernel, scout_states(model, count, target, key), key)
        seen = _run(scouts, min(samples, TRACE), burn_in, thin, lambda _: None)
        troubles += _unseen(trace, seen, along, policy.chains * samples)
    exact = kernel == TENSOR or is_exact(kernel, paulis)
    notes = _notes(chosen, burn_in, thin)
    if not exact:
        notes.append(f"the kernel {kernel!r} only approximates p(v) for {paulis} Paulis")
    info = ChainsInfo(
        kernel=kernel,
        exact=exact,
        acceptance=float(trace.acceptance.mean()),
        acceptance_min=float(trace.acceptance.min()),
        mixing=mixing,
        sweeps=chains.sweeps,
        burn_in=burn_in,
        thin=thin,
        seconds=time.perf_counter() - began,
        pilots=pilots,
        mixed=not troubles,
        warnings=(*troubles, *notes),
    )
    return trace.samples, info, [MixingWarning(_advice(troubles, kernel))] if troubles else []


def _check(model: SqRBM | SqBM, samples: int, policy: Chains, n_free: int) -> None:
    """Errors on what does not suit the model, before any work."""
    n = model.n_visible
    if isinstance(model, SqBM):
        check_sweeps(policy.kernel, policy.precision)
    elif policy.kernel not in ("auto", TENSOR):
        check_kernel(policy.kernel, len(model.paulis))
        check_states(policy.kernel, model.shape, model.mask)
        check_kernel_basis(policy.kernel, policy.basis, model.paulis)
    shape = (policy.chains, n)
    if not isinstance(policy.init, str) and np.shape(policy.init) != shape:
        raise ValueError(
            f"init must be 'random', 'data' or an array (chains, n) = {shape} of 0 and 1, got an "
            f"array of shape {np.shape(policy.init)}"
        )
    if policy.proposal is not None:
        check_proposal(policy.proposal, n_free)
    check_memory(
        policy.chains * samples * n + 48 * policy.chains * (samples + TRACE),
        f"keeping {policy.chains} chains x {samples} samples x {n} visible units",
        "keep fewer samples, or draw them in portions with different seeds",
    )


class _Source:
    """Makes chains and the states they start from; fits the network of kernel "tensor" once.

    ``lacking``: what that network is known to lack of the model.
    """

    def __init__(
        self,
        model: SqRBM | SqBM,
        policy: Chains,
        data: Target | ArrayLike | None,
        held: NDArray[np.int8],
        seed: Seed,
    ) -> None:
        self._model, self._policy, self._data, self._held = model, policy, data, held
        self._seed = seed
        self.free = held == FREE
        self.lacking: list[str] = []
        self._network = policy.proposal
        if isinstance(model, SqBM) or policy.kernel != TENSOR:
            return
        part = conditioned(model, held)
        self._log_weight = log_weight_of(part)
        if self._network is None:
            self._network = fit_amplitude(
                model,
                max_bond=policy.max_bond or MAX_BOND,
                data=data if isinstance(policy.init, str) and policy.init == "data" else None,
                clamp=held,
                seed=streams.key(seed, streams.Sample.NETWORK),
            )
        self.lacking = lacks(part, self._network, key=streams.key(seed, streams.Sample.COVERAGE))

    def start(self, count: int, path: int) -> States:
        """States (count, n) to start from; ``path`` names the random stream."""
        init, key = self._policy.init, streams.key(self._seed, path)
        start = starting_states(init, count, self._model.n_visible, data=self._data, seed=key)
        if self._network is not None and isinstance(init, str) and init == "random":
            start[:, self.free] = perfect_states(self._network, count, key)
        return start

    def chains(self, kernel: str, states: States, key: int) -> MovingChains:
        """Chains of a kernel that start from ``states``."""
        moves = None
        if self._network is not None:
            units = None if self.free.all() else np.flatnonzero(self.free)
            moves = IndependenceMoves(
                self._network, self._log_weight, streams.key(key, streams.Chains.MOVES), units=units
            )
        return MovingChains(
            self._model,
            FALLBACK if kernel == TENSOR else kernel,
            states,
            key,
            held=self._held,
            precision=self._policy.precision,
            inertia=self._policy.inertia,
            basis=self._policy.basis,
            moves=moves,
        )


@dataclass(frozen=True)
class _Trace:
    """States (chains, early + samples, n) of which the last are kept, the energies of all
    (chains, early + samples), and acceptance (chains,)."""

    samples: States
    states: States
    energies: NDArray[np.float64]
    acceptance: NDArray[np.float64]


def _run(
    chains: MovingChains, samples: int, burn_in: int, thin: int, report: Callable[[int], None]
) -> _Trace:
    count, n = chains.states.shape
    # Few samples per chain say little about mixing. Stationary chains were so in the second half
    # of the burn-in as well.
    early = min(max(0, TRACE - samples), burn_in // 2 // thin)
    before = np.empty((count, early, n), dtype=np.uint8)
    kept = np.empty((count, samples, n), dtype=np.uint8)
    energies = np.empty((count, early + samples))
    acceptance = np.zeros(count)
    left = burn_in - early * thin
    piece = max(1, left // 200)
    while left > 0:
        steps = min(piece, left)
        chains.advance(steps)
        report(steps)
        left -= steps
    for k in range(early + samples):
        accepted = chains.advance(thin)
        report(thin)
        if k < early:
            before[:, k] = chains.states
        else:
            kept[:, k - early] = chains.states
            acceptance += accepted / samples
        energies[:, k] = chains.energies()
    return _Trace(kept, np.concatenate([before, kept], axis=1), energies, acceptance)


def _unseen(trace: _Trace, seen: _Trace, along: NDArray[np.float64], worth: int) -> list[str]:
    """What speaks of a mode that chains in another one, of trace ``seen``, know alone."""
    draws = min(trace.states.shape[1], seen.states.shape[1])
    share = unseen_mode(
        trace.states[:, -draws:],
        trace.energies[:, -draws:],
        seen.states[:, -draws:],
        seen.energies[:, -draws:],
        along,
    )
    if share <= UNSEEN / worth:
        return []
    return [
        "chains that started elsewhere stay in a mode that these have not seen, with a share of "
        f"perhaps {share:.1g}"
    ]


def _notes(chosen: Pilot | None, burn_in: int, thin: int) -> list[str]:
    if chosen is None or chosen.settled:
        return []
    return [
        f"the pilot run ({chosen.sweeps} sweeps) was too short for the autocorrelation time, about "
        f"{chosen.time:.0f} sweeps or more; burn_in = {burn_in} and thin = {thin} may be too small"
    ]


def _advice(troubles: list[str], kernel: str) -> str:
    other = "" if kernel == FALLBACK else f" or kernel = {FALLBACK!r}"
    return (
        f"the chains may not have mixed: {'; '.join(troubles)}. Try a longer burn_in and more "
        f"samples per chain{other}; if chains stay in different modes, use more chains started "
        "from the data (init = 'data'), or parallel tempering (method = 'tempered')"
    )


def _candidates(model: SqRBM | SqBM) -> list[str]:
    """The kernels that are exact for the model."""
    if isinstance(model, SqBM):
        return [FALLBACK]
    return [
        *(["block"] if len(model.paulis) == 1 else []),
        "bloch",
        "thermal",
        "collapsed",
        "measured",
    ]
