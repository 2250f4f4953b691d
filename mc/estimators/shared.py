"""What all estimators from chains share: averages, sweeps, shares of a team, states of runs.

The processes of a team hold a share of the chains each. Random numbers belong to the number of a
chain, and averages are added as integers, so that nothing depends on how chains are shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mc.estimators.settings import CD, PCD, Weighted
from mc.kernels import Sweeper, basis_number
from mc.kernels.groups import GroupSweeper
from mc.sampling import group_path
from mc.sampling.group_path import Form
from mc.sampling.log_z.annealing import default_kernel
from tnqbm.base.teams import SHARD, Team, share
from tnqbm.core.shape import Shape
from tnqbm.training.estimators import Averages, Context
from tnqbm.training.groups import SqBMProblem

if TYPE_CHECKING:
    from tnqbm.training.problems import SqRBMProblem


Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]


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


def form_of(context: Context) -> Form:
    """Where the parameters of the models stand."""
    if isinstance(context.problem, SqBMProblem):
        return context.problem.layout
    return shape_of(context)


def sweeper_of(
    settings: CD | PCD | Weighted, context: Context, *, free: NDArray[np.bool_] | None = None
) -> Sweeper | GroupSweeper:
    """What moves the chains of a training, or only their bits that are ``free`` (n,)."""
    # Approximate kernels are allowed here, for studies of their bias: Sweeper checks the name.
    form = form_of(context)
    paulis = context.problem.paulis  # type: ignore[attr-defined]
    return group_path.sweeper_of(
        form,
        default_kernel(form.n_paulis) if settings.kernel == "auto" else settings.kernel,
        context.precision,
        inertia=settings.inertia,
        basis=basis_number(settings.kernel, settings.basis, paulis),
        free=free,
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


def checked_array(
    state: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """An array of a checkpoint; ValueError if it is missing or of another shape."""
    if name not in state or np.shape(state[name]) != shape:
        found = np.shape(state[name]) if name in state else "nothing"
        raise ValueError(f"checkpoint: {name} of the chains has shape {found}, expected {shape}")
    return state[name]
