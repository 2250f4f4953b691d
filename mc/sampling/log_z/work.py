"""One call for log Z of a model: the runs that methods ask for, judged by what is known of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mc.sampling.log_z.annealed import annealed_runs, both, check_annealing
from mc.sampling.log_z.estimate import Estimate, Run
from mc.sampling.log_z.multistate import weigh_snapshots
from mc.sampling.log_z.network import weigh_network
from mc.sampling.log_z.policies import Annealing, Exact, Multistate, Network, Visited
from mc.sampling.log_z.verdict import ModeWeights, judge, weigh_modes
from mc.sampling.log_z.visited import weigh_visited
from tnqbm import exact
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.hamiltonian.group_contraction import exact_log_partition, quick
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.operator import PauliHamiltonian

Seed = int | np.random.SeedSequence

MAX_SECONDS = 30.0
"""Forecast up to which an exact evaluation is done without being asked for."""

_NETWORK_RATE = 1e-7
"""Seconds of a fit per coupling and square of the bond dimension."""


def affordable(model: SqRBM | SqBM) -> bool:
    """Whether exact evaluation of the model takes less than about half a minute."""
    if isinstance(model, SqBM):
        return quick(model, MAX_SECONDS)
    return any(cost.fits and cost.seconds <= MAX_SECONDS for cost in exact.forecasts(model))


def network_affordable(model: SqRBM | SqBM, max_bond: int) -> bool:
    """Whether a network is fitted to the model in about a minute; there is none for an sqBM."""
    if isinstance(model, SqBM):
        return False
    size = model.n_visible * model.n_hidden * len(model.paulis)
    return _NETWORK_RATE * size * max_bond**2 <= 2 * MAX_SECONDS


def exact_estimate(model: SqRBM | SqBM | PauliHamiltonian, policy: Exact) -> Estimate:
    """log Z by an exact method, without an error."""
    begun = time.perf_counter()
    method = "auto" if policy.method == "exact" else policy.method
    if isinstance(model, SqBM):
        value = exact_log_partition(model, policy.method, policy.engine)
    elif isinstance(model, PauliHamiltonian):
        value = model.log_partition()
    else:
        value = float(exact.log_partition(model, method=method, engine=policy.engine))
    return Estimate(
        value=value,
        standard_error=0.0,
        ess=math.inf,
        log_weights=np.empty(0),
        method=policy.method,
        seconds=time.perf_counter() - begun,
        trusted=True,
        two_sided=True,
    )


@dataclass(frozen=True)
class Work:
    """A model, the data that it was trained on, if there are any, and the seed of what is drawn."""

    model: SqRBM | SqBM
    data: Target | ArrayLike | None
    seed: Seed
    progress: bool

    def check(self, policy: Annealing) -> None:
        """ValueError on what does not suit the model."""
        check_annealing(self.model, policy, self.data)

    def sqrbm(self) -> SqRBM:
        """The model, of methods for sqRBMs alone; ValueError if it is none."""
        if isinstance(self.model, SqBM):
            raise ValueError(
                "method: log Z of an SqBM is known by 'auto', 'ais', 'ais-reverse', 'both', "
                "'visited', 'certified' and 'exact'"
            )
        return self.model

    def runs(self, policy: Annealing | Network | Visited | Multistate) -> list[Run]:
        """The runs of a method: annealing gives one per direction."""
        if isinstance(policy, Annealing):
            return annealed_runs(
                self.model, policy, data=self.data, seed=self.seed, progress=self.progress
            )
        if isinstance(policy, Network):
            key = streams.key(self.seed, streams.LogZ.NETWORK)
            return [weigh_network(self.sqrbm(), policy, data=self.data, key=key)]
        if isinstance(policy, Multistate):
            seed = streams.key(self.seed, streams.LogZ.MULTISTATE)
            found = weigh_snapshots(
                self.sqrbm(), policy, data=self.data, seed=seed, progress=self.progress
            )
            return found[-1:]
        seed = streams.key(self.seed, streams.LogZ.VISITED)
        return [
            weigh_visited(self.model, policy, data=self.data, seed=seed, progress=self.progress)
        ]

    def known(
        self, runs: Sequence[Run], annealing: Annealing, given: ArrayLike | None = None
    ) -> ModeWeights:
        """What is known of the model from all that was seen or ``given``, and from its modes, each
        of which is annealed with as much effort as the model."""
        n = self.model.n_visible
        seen = [run.states for run in runs]
        if isinstance(self.data, Target):
            seen.append(self.data.states)
        elif self.data is not None:
            seen.append(as_states(self.data, n))
        if given is not None:
            seen.append(as_states(given, n).reshape(-1, n))
        return weigh_modes(
            self.model,
            np.concatenate(seen),
            chains=annealing.chains,
            betas=annealing.n_betas,
            kernel=annealing.kernel,
            precision=annealing.precision,
            key=streams.key(self.seed, streams.LogZ.MODES),
        )

    def judged(self, policy: Annealing | Network | Visited | Multistate) -> Estimate:
        """The estimate of one method, which stands for itself."""
        runs = self.runs(policy)
        annealing = policy if isinstance(policy, Annealing) else Annealing()
        return estimates(runs, self.known(runs, annealing, getattr(policy, "states", None)))[0]


def estimates(runs: Sequence[Run], known: ModeWeights) -> list[Estimate]:
    """The runs judged, both directions of annealing as one estimate."""
    methods = [run.estimate.method for run in runs]
    if methods[:2] == ["ais", "ais-reverse"]:
        forward, reverse = runs[:2]
        together = both(judge(forward, known), judge(reverse, known, doubts=False), reverse.doubts)
        return [together, *(judge(run, known) for run in runs[2:])]
    return [judge(run, known) for run in runs]
