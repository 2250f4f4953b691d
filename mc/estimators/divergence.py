"""Estimators from Markov chains: contrastive divergence and its persistent relatives.

``cd`` starts its chains from the data at every update (Hinton 2002); ``pcd`` lets them go on from
where the last update left them (Tieleman 2008); ``tempered`` does so with a ladder of
temperatures per chain (Desjardins et al. 2010). The hidden qubits are summed exactly in every
average, never sampled, so that only visible states are needed. Persistent chains, and the cold
ends of ladders, may be offered states of a tensor network now and then (``global_moves``).

The processes of a team hold a share of the chains each. Random numbers belong to the number of a
chain, and averages are added as integers, so that nothing depends on how chains are shared.

Global moves: now and then a chain is offered a state from a network fitted to its model and takes
it with the Metropolis-Hastings probability, which leaves the model's distribution invariant
whatever the truncation of the network. Chains cross between modes that sweeps do not connect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mc.estimators.settings import CD, PCD, GlobalMovesGradient, Tempered, Weighted
from mc.estimators.tensor import FittedNetworks
from mc.kernels import Sweeper, basis_number
from mc.kernels.groups import GroupSweeper
from mc.sampling.amplitude.moves import independence_step
from mc.sampling.log_z.annealing import default_kernel
from mc.sampling.tempering.ladder import Tempering
from tnqbm.base.teams import SHARD, Team, share
from tnqbm.core import streams
from tnqbm.core.shape import Shape
from tnqbm.training.estimators import Averages, Context
from tnqbm.training.groups import SqBMProblem

if TYPE_CHECKING:
    from tnqbm.training.problems import SqRBMProblem


Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]


class GlobalMoves:
    """Every ``global_moves`` updates, one proposal to every chain of a training.

    The chains of a team are divided as :func:`tnqbm.base.teams.share` says. Its own clock counts
    the updates: :meth:`advance` must be called once in each.
    """

    def __init__(self, settings: GlobalMovesGradient, context: Context) -> None:
        self._team, self._every = context.team, settings.global_moves
        self._networks = FittedNetworks(
            settings, context, streams.keys(context.keys, streams.Run.MOVE_NETWORKS)
        )
        self._keys = streams.keys(context.keys, streams.Run.MOVES)
        self._first = share(settings.chains, context.team)[0]

    def advance(self, theta: Float, rows: Rows, chains: States) -> None:
        """Count an update and, if moves are due, move ``chains`` (B, C, n) in place.

        They are this process's share of the chains of runs ``rows``, and theta (B, size) the runs'
        parameters.
        """
        clock = self._networks.updates
        if clock % self._every == 0:
            self._move(theta, rows, chains, clock)
        self._networks.updates += 1

    def _move(self, theta: Float, rows: Rows, chains: States, clock: int) -> None:
        place = {int(run): k for k, run in enumerate(rows)}

        def everyone(wanted: Rows) -> States:
            return self._team.gather(chains[[place[int(run)] for run in wanted]])

        networks = self._networks.current(theta, rows, everyone)
        if not chains.shape[1]:
            return
        for k, (run, network) in enumerate(zip(rows, networks, strict=True)):
            one = theta[k : k + 1]

            def log_weight(states: States, one: Float = one) -> Float:
                return np.asarray(self._networks.log_weights(one, states[None])[0])

            independence_step(
                network, log_weight, chains[k], int(self._keys[run]), clock, self._first
            )

    def state(self) -> State:
        """Arrays that a checkpoint must keep."""
        return self._networks.state()

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind."""
        self._networks.restore(state)


class ChainAverages:
    """Averages over all chains of a team, from this process's share of them."""

    def __init__(self, context: Context) -> None:
        self._team = context.team
        self._batch_size = context.batch_size
        self._wants_states = context.wants_states
        self._moments = context.problem.sample_moments(context.precision)

    def of(
        self,
        theta: Float,
        states: NDArray[np.uint8],
        total: int,
        data: NDArray[np.uint8] | None,
        usage: Mapping[str, Float] | None = None,
    ) -> Averages:
        """Averages over ``total`` chains and, if there is one, over the update's minibatch."""
        used = usage or {}
        gathered = self._team.gather(states) if self._wants_states else None
        if data is None:
            sums = self._moments.sums(theta, states)
            self._team.add(sums)
            return Averages(self._moments.mean(sums, total), states=gathered, usage=used)
        # Both at once: parameters are prepared, and messages sent, only once.
        both = self._moments.sums_of_both(theta, data, states)
        self._team.add(both)
        of_data = self._moments.mean(both[0], self._batch_size)
        return Averages(self._moments.mean(both[1], total), of_data, states=gathered, usage=used)


def shape_of(context: Context) -> Shape:
    problem: SqRBMProblem = context.problem  # type: ignore[assignment]
    return problem.shape


def sweeper_of(settings: CD | PCD | Weighted, context: Context) -> Sweeper | GroupSweeper:
    if isinstance(context.problem, SqBMProblem):
        if settings.kernel not in ("auto", "collapsed"):
            raise ValueError(
                f"kernel: {settings.kernel!r} is for sqRBMs; the sweeps of sqBMs are 'collapsed'"
            )
        return GroupSweeper(context.problem.layout)
    # Approximate kernels are allowed here, for studies of their bias: Sweeper checks the name.
    shape = shape_of(context)
    paulis = context.problem.paulis  # type: ignore[attr-defined]
    return Sweeper(
        shape,
        default_kernel(shape.n_paulis) if settings.kernel == "auto" else settings.kernel,
        precision=context.precision,
        inertia=settings.inertia,
        basis=basis_number(settings.kernel, settings.basis, paulis),
    )


def share_of_ladders(total: int, team: Team) -> tuple[int, int]:
    """This process's ladders, from the first to before the last; ValueError if one has none."""
    first, last = share(total, team)
    if first == last:
        raise ValueError(
            f"chains: {total} ladders cannot be shared by {team.size} processes; take at least "
            f"{SHARD * team.size}, or fewer processes per run"
        )
    return first, last


def taken(chains: NDArray[np.uint8], rows: Rows) -> NDArray[np.uint8]:
    """The chains of some runs: the array itself if they are all."""
    return chains if rows.size == chains.shape[0] else np.ascontiguousarray(chains[rows])


class ContrastiveDivergence:
    """CD-k: k sweeps from the data, anew at every update.

    With minibatches the chains start at the rows of the minibatch, else at ``chains`` states drawn
    from the data's distribution.
    """

    def __init__(self, settings: CD, context: Context) -> None:
        self._steps, self._states = settings.steps, context.problem.states
        self._sweeper = sweeper_of(settings, context)
        self._averages = ChainAverages(context)
        self._sweep_keys = streams.keys(context.keys, streams.Run.SWEEPS)
        self._start_keys = streams.keys(context.keys, streams.Run.STARTS)
        self._cumulated = np.cumsum(context.problem.probabilities, axis=1)
        self._total = context.batch_size or settings.chains
        self._share = share(self._total, context.team)
        self._updates = 0

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        states = self._draw(rows) if data is None else np.array(data, order="C")
        steps = self._steps
        self._sweeper.sweep(
            theta, states, self._sweep_keys[rows], self._updates * steps, steps, self._share[0]
        )
        self._updates += 1
        return self._averages.of(theta, states, self._total, data)

    def _draw(self, rows: Rows) -> NDArray[np.uint8]:
        """States drawn from the data: functions of the run's key, the update and the chain."""
        first, last = self._share
        starts = np.empty((rows.size, last - first, self._states.shape[2]), dtype=np.uint8)
        for k, run in enumerate(rows):
            rng = streams.philox(self._start_keys[run], (0, self._updates, 0, 0))
            u = rng.random(last)[first:]
            which = 0 if self._cumulated.shape[0] == 1 else run
            drawn = np.searchsorted(self._cumulated[which], u, side="right")
            last_state = self._cumulated.shape[1] - 1  # a rounded sum may fall short of 1
            starts[k] = self._states[which][np.minimum(drawn, last_state)]
        return starts

    def state(self) -> State:
        return {"updates": np.array(self._updates)}

    def restore(self, state: State) -> None:
        self._updates = int(checked_array(state, "updates", ()))


class PersistentChains:
    """PCD-k: chains that start as fair bits and are swept k times before every estimate."""

    def __init__(self, settings: PCD, context: Context) -> None:
        self._steps, self._team = settings.steps, context.team
        self._sweeper = sweeper_of(settings, context)
        self._averages = ChainAverages(context)
        self._sweep_keys = streams.keys(context.keys, streams.Run.SWEEPS)
        self._total = settings.chains
        self._share = share(self._total, context.team)
        self._updates = 0
        self._chains = _random_bits(context, self._share)
        self._moves = global_moves(settings, context)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        chains = taken(self._chains, rows)
        steps = self._steps
        if self._moves is not None:
            self._moves.advance(theta, rows, chains)
        self._sweeper.sweep(
            theta, chains, self._sweep_keys[rows], self._updates * steps, steps, self._share[0]
        )
        if chains is not self._chains:
            self._chains[rows] = chains
        self._updates += 1
        return self._averages.of(theta, chains, self._total, data)

    def state(self) -> State:
        chains = self._team.gather(self._chains)
        own: State = {"updates": np.array(self._updates), "chains": chains.copy()}
        return own | moves_state(self._moves)

    def restore(self, state: State) -> None:
        runs, _, n = self._chains.shape
        chains = checked_array(state, "chains", (runs, self._total, n))
        restore_moves(self._moves, state)
        first, last = self._share
        self._updates = int(checked_array(state, "updates", ()))
        self._chains = np.array(chains[:, first:last], dtype=np.uint8, order="C")


class TemperedChains:
    """PCD with parallel tempering: every chain is the cold end of a ladder of its own.

    Inverse temperatures are evenly spaced from 0 to 1 on the path of :mod:`mc.sampling.path`; for
    those that follow the parameters see :mod:`mc.estimators.tempered`.
    """

    def __init__(self, settings: Tempered, context: Context) -> None:
        self._steps, self._team = settings.steps, context.team
        self._averages = ChainAverages(context)
        self._total = settings.chains
        self._share = first, last = share_of_ladders(self._total, context.team)
        self._ladders = Tempering(
            *shape_of(context),
            betas=np.linspace(0.0, 1.0, settings.temperatures),
            chains=last - first,
            keys=streams.keys(context.keys, streams.Run.SWEEPS),
            kernel=settings.kernel,
            precision=context.precision,
            first_chain=first,
        )
        self._moves = global_moves(settings, context)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        if self._moves is not None:
            cold = np.ascontiguousarray(self._ladders.states[rows])
            self._moves.advance(theta, rows, cold)
            self._ladders.states[rows] = cold
        self._ladders.advance(theta, self._steps, rows=rows)
        states = np.ascontiguousarray(self._ladders.states[rows])
        return self._averages.of(theta, states, self._total, data)

    def state(self) -> State:
        # Rates and round trips are for looking at; only chains and clocks decide numbers.
        ladders = self._ladders.state()
        by_ladder = self._team.gather(np.swapaxes(ladders["chains"], 1, 2))
        own: State = {"chains": by_ladder.copy(), "counters": ladders["counters"]}
        return own | moves_state(self._moves)

    def restore(self, state: State) -> None:
        own = self._ladders.state()
        runs, temperatures, _, n = own["chains"].shape
        by_ladder = checked_array(state, "chains", (runs, self._total, temperatures, n))
        restore_moves(self._moves, state)
        first, last = self._share
        own["chains"] = np.swapaxes(by_ladder[:, first:last], 1, 2)
        own["counters"] = checked_array(state, "counters", (3,))
        self._ladders.restore(own)


def global_moves(settings: GlobalMovesGradient, context: Context) -> GlobalMoves | None:
    if not settings.global_moves:
        return None
    if isinstance(context.problem, SqBMProblem):
        raise ValueError("global_moves: are for sqRBMs, whose networks propose states")
    return GlobalMoves(settings, context)


_MOVES_PREFIX = "moves/"


def moves_state(moves: GlobalMoves | None) -> State:
    state = {} if moves is None else moves.state()
    return {_MOVES_PREFIX + name: array for name, array in state.items()}


def restore_moves(moves: GlobalMoves | None, state: State) -> None:
    if moves is not None:
        own = {k: v for k, v in state.items() if k.startswith(_MOVES_PREFIX)}
        moves.restore({k.removeprefix(_MOVES_PREFIX): v for k, v in own.items()})


class OwnState(Protocol):
    """What a run keeps for itself, where runs have ladders of their own."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


def runs_state(runs: Sequence[OwnState]) -> State:
    """The states of several runs as one, names preceded by a run's number."""
    return {
        f"{k}/{name}": array for k, run in enumerate(runs) for name, array in run.state().items()
    }


def restore_runs(runs: Sequence[OwnState], state: State) -> None:
    """Take over what :func:`runs_state` returned."""
    for k, run in enumerate(runs):
        start = f"{k}/"
        run.restore({n.removeprefix(start): a for n, a in state.items() if n.startswith(start)})


def _random_bits(context: Context, wanted: tuple[int, int]) -> NDArray[np.uint8]:
    """Fair bits (runs, chains, n) of the chains from wanted[0] to wanted[1]."""
    first, last = wanted
    rows = []
    for key in streams.keys(context.keys, streams.Run.STARTS):
        bits = streams.philox(key)
        rows.append(bits.integers(0, 2, (last, context.problem.n_visible), dtype=np.uint8)[first:])
    return np.ascontiguousarray(np.stack(rows))


def checked_array(
    state: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """An array of a checkpoint; ValueError if it is missing or of another shape."""
    if name not in state or np.shape(state[name]) != shape:
        found = np.shape(state[name]) if name in state else "nothing"
        raise ValueError(f"checkpoint: {name} of the chains has shape {found}, expected {shape}")
    return state[name]
