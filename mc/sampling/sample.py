"""The front door to samples of p(v): Markov chains, tempered ones, or an amplitude network."""

from __future__ import annotations

import warnings
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.amplitude.sample import sample_perfect
from mc.sampling.chains.moving import FREE, Clamp, Seed, clamped_values
from mc.sampling.chains.sample import sample_chains
from mc.sampling.enumerated import sample_enumerated
from mc.sampling.info import (
    ChainsInfo,
    EnumerationInfo,
    Info,
    PerfectInfo,
    SnapshotsInfo,
    TemperedInfo,
)
from mc.sampling.policies import (
    SAMPLERS,
    Chains,
    Enumeration,
    Perfect,
    Sampling,
    Snapshots,
    Tempered,
    policy_of,
)
from mc.sampling.second_layer import completed_clamp, completed_data, completed_policy
from mc.sampling.tempering.sample import sample_tempered
from mc.sampling.tempering.snapshots import sample_snapshots
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.kinds import ANY_MODEL, Model
from tnqbm.hamiltonian.operator import PauliHamiltonian

States = NDArray[np.uint8]
Data = Target | ArrayLike | None


@overload
def sample(
    model: Model, samples: int, method: Chains | Literal["chains"] = "chains", *,
    data: Data = None, clamp: Clamp | None = None, seed: Seed, progress: bool = False,
) -> tuple[States, ChainsInfo]: ...  # fmt: skip


@overload
def sample(
    model: SqRBM, samples: int, method: Tempered | Literal["tempered"], *,
    data: Data = None, clamp: Clamp | None = None, seed: Seed, progress: bool = False,
) -> tuple[States, TemperedInfo]: ...  # fmt: skip


@overload
def sample(
    model: SqRBM, samples: int, method: Snapshots | Literal["snapshots"], *,
    data: Data = None, clamp: Clamp | None = None, seed: Seed, progress: bool = False,
) -> tuple[States, SnapshotsInfo]: ...  # fmt: skip


@overload
def sample(
    model: SqRBM, samples: int, method: Perfect | Literal["perfect"], *,
    data: Data = None, clamp: Clamp | None = None, seed: Seed, progress: bool = False,
) -> tuple[States, PerfectInfo]: ...  # fmt: skip


@overload
def sample(
    model: Model, samples: int, method: Enumeration | Literal["enumeration"], *,
    data: Data = None, clamp: Clamp | None = None, seed: Seed, progress: bool = False,
) -> tuple[States, EnumerationInfo]: ...  # fmt: skip


@overload
def sample(
    model: Model, samples: int, method: str | Sampling, *,
    data: Data = None, clamp: Clamp | None = None, seed: Seed, progress: bool = False,
) -> tuple[States, Info]: ...  # fmt: skip


@checked(
    model=ANY_MODEL,
    samples=arguments.at_least(1),
    data=arguments.rows(Target),
    seed=arguments.seed,
    progress=arguments.flag,
)
def sample(
    model: Model,
    samples: int,
    method: str | Sampling = "chains",
    *,
    data: Data = None,
    clamp: Clamp | None = None,
    seed: Seed,
    progress: bool = False,
) -> tuple[States, Info]:
    """Samples of p(v), or of p(free units | clamped units), and what is known of them.

    Parameters
    ----------
    model : an sqRBM; a :class:`tnqbm.DeepSqRBM`, whose bits of both kinds move and whose second
        layer is then left out; of methods "chains", "tempered" and "enumeration" a
        :class:`tnqbm.SqBM`, too, and of "enumeration" a :class:`tnqbm.PauliHamiltonian`.
    samples : how many to keep of every chain; of "perfect" and "enumeration", how many to draw in
        all.
    method : "chains" or :class:`mc.Chains`, Markov chains; "tempered" or :class:`mc.Tempered`,
        parallel tempering, where modes are far apart; :class:`mc.Snapshots`, tempering along the
        models of a training; "perfect" or :class:`mc.Perfect`, independent samples of an amplitude
        network, with weights; "enumeration" or :class:`mc.Enumeration`, independent samples from
        the probabilities of all 2**n states. The name stands for the object with its defaults.
    data : what the model was trained on, a Target or rows (N, n). Chains start from it if
        ``init="data"``; the hot end of tempering gets its first moments and some chains start from
        it; every second chain that an amplitude network is fitted to starts from it; and mixing is
        judged along its principal directions, too.
    clamp : units held fixed, for completion and conditional generation (not by ladders): a
        mapping {unit: 0 or 1}, units counted from 0, or an array (n,) with -1 for free units.
        Starting states are overwritten there.
    seed : a whole number or a SeedSequence; the same seed gives the same samples. Chain c's depend
        on it, on c, and on the other arguments, not on how many chains there are, threads or the
        machine's speed.
    progress : show it on standard error (chains).

    Returns
    -------
    samples : uint8, (chains, samples, n); of "perfect" and "enumeration" (K, n)
    info : :class:`mc.ChainsInfo`, :class:`mc.TemperedInfo`, :class:`mc.SnapshotsInfo`,
        :class:`mc.PerfectInfo` or :class:`mc.EnumerationInfo`

    Warns (MixingWarning) if chains have not mixed or tempering makes few round trips, and
    (EstimateWarning) where the weights of perfect samples are too uneven to stand for the model.
    What the network lacks altogether they do not show: :func:`mc.log_partition`
    (method="tensor") checks that with chains. Raises TypeError or ValueError naming the argument
    that is wrong, and MemoryError with a forecast if the samples or a network would not fit, before
    any work.
    """
    policy = policy_of(method, SAMPLERS)
    held = clamped_values(clamp, model.n_visible)
    n_visible = model.n_visible
    if isinstance(model, DeepSqRBM) and not isinstance(policy, Enumeration):
        policy, data = completed_policy(model, policy, seed), completed_data(model, data, seed)
        held, model = completed_clamp(model, held), model.joint
    states: States
    info: Info
    alarms: list[Warning]
    if isinstance(policy, Enumeration):
        states, info, alarms = sample_enumerated(model, samples, held=held, seed=seed)
    elif isinstance(model, PauliHamiltonian):
        raise ValueError(
            "method: Markov chains and networks are for sqRBMs; sample a Hamiltonian by "
            "method = 'enumeration'"
        )
    elif isinstance(model, DeepSqRBM):
        raise AssertionError("replaced by the sqRBM over bits of both kinds")
    elif isinstance(policy, Chains):
        states, info, alarms = sample_chains(
            model, samples, policy, data=data, held=held, seed=seed, progress=progress
        )
    elif isinstance(policy, Tempered | Snapshots) and (held != FREE).any():
        raise ValueError("clamp: tempering holds no units fixed; use method = 'chains'")
    elif isinstance(policy, Tempered):
        states, info, alarms = sample_tempered(
            model, samples, policy, data=data, seed=seed, progress=progress
        )
    elif isinstance(model, SqBM):
        raise ValueError("method: an SqBM is sampled by 'chains', 'tempered' and 'enumeration'")
    elif isinstance(policy, Snapshots):
        states, info, alarms = sample_snapshots(
            model, samples, policy, data=data, seed=seed, progress=progress
        )
    else:
        states, info, alarms = sample_perfect(
            model, samples, policy, data=data, held=held, seed=seed
        )
    for alarm in alarms:
        warnings.warn(alarm, stacklevel=3)
    return states[..., :n_visible], info
