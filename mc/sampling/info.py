"""What samplers report besides the samples."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mc.sampling.chains.mixing import Mixing
from tnqbm.base.text import short_repr

if TYPE_CHECKING:
    from mc.sampling.chains.pilot import Pilot

Float = NDArray[np.float64]


class MixingWarning(UserWarning):
    """The chains have not mixed, or were too short to tell; the samples may misrepresent p(v)."""


@dataclass(frozen=True, kw_only=True)
class Info:
    """What :func:`mc.sample` did, whatever the method: ``seconds`` all in all, and ``warnings``."""

    seconds: float
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields by name in plain types, ``mixing`` as its numbers, without the weights."""
        values: dict[str, Any] = {}
        for name in (entry.name for entry in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Mixing):
                values |= value.numbers()
            elif name == "pilots":
                values[name] = [pilot.as_dict() for pilot in value]
            elif name != "log_weights":
                values[name] = value.tolist() if isinstance(value, np.ndarray) else value
        return values


@short_repr
@dataclass(frozen=True, kw_only=True)
class ChainsInfo(Info):
    """What Markov chains did and whether they mixed.

    ``kernel`` was used; ``exact``: it has p(v) as its stationary distribution. ``acceptance``,
    ``acceptance_min``: mean and least over chains of accepted proposals per sweep (Metropolis
    kernels; "tensor": its global moves) or of free bits that changed per sweep (Gibbs kernels).
    ``mixing``: effective samples and R-hat (:class:`mc.Mixing`). ``sweeps`` per chain in all
    (pilots apart), of which ``burn_in`` came before the first kept sample interval and ``thin`` lie
    between two. ``pilots``: figures of the pilot runs. ``mixed``: no sign of trouble; else
    ``warnings`` say what was seen.
    """

    kernel: str
    exact: bool
    acceptance: float
    acceptance_min: float
    mixing: Mixing
    sweeps: int
    burn_in: int
    thin: int
    pilots: tuple[Pilot, ...]
    mixed: bool


@short_repr
@dataclass(frozen=True, kw_only=True)
class TemperedInfo(Info):
    """How a tempered run went.

    ``betas`` (R,) inverse temperatures; ``swap_rates`` (R - 1,) mean acceptance of swaps of
    neighbours; ``acceptance`` (R,) of the sweeps; ``round_trips`` (chains,) of states from
    beta = 1 to the other end and back, once the ladder was settled; ``sweeps`` of every chain in
    all, of which ``ladder_sweeps`` to adapt the ladder and ``burn_in`` after it; ``thin`` sweeps
    between two samples; ``mixing``: effective samples and R-hat (:class:`mc.Mixing`); ``mixed``
    whether no warning was given.
    """

    kernel: str
    betas: Float
    swap_rates: Float
    acceptance: Float
    round_trips: NDArray[np.int64]
    sweeps: int
    ladder_sweeps: int
    burn_in: int
    thin: int
    mixing: Mixing
    mixed: bool


@short_repr
@dataclass(frozen=True, kw_only=True)
class SnapshotsInfo(Info):
    """How a run of trajectory tempering went.

    ``places`` (R,) of the rungs: 0 for independent bits, k for the k-th of the models, a number
    between for a model put in between; else as for :class:`TemperedInfo`, with ``round_trips``
    from the last rung to the first and back.
    """

    kernel: str
    places: Float
    swap_rates: Float
    acceptance: Float
    round_trips: NDArray[np.int64]
    sweeps: int
    burn_in: int
    thin: int
    mixing: Mixing
    mixed: bool


@short_repr
@dataclass(frozen=True, kw_only=True)
class PerfectInfo(Info):
    """What was drawn from a network.

    ``log_weights`` (K,) of the samples, log p~(v)/q(v): the log of their mean, ``log_partition``,
    estimates log Z (with clamped units: that of the conditional model of the free ones) with
    ``standard_error``; all 0 after resampling, when the samples count alike. ``drawn`` samples
    were drawn from the network, worth ``ess`` of the model; ``distinct`` is the number of the
    drawn ones among those returned. ``pareto_k`` is the shape of the tail of the weights and
    ``max_bond`` the bond dimension of the network (None for one that does not say). ``trusted``
    and ``warnings``: the verdict on the weights.
    """

    log_weights: Float
    drawn: int
    ess: float
    distinct: int
    log_partition: float
    standard_error: float
    pareto_k: float
    max_bond: int | None
    resampled: bool
    trusted: bool


@short_repr
@dataclass(frozen=True, kw_only=True)
class EnumerationInfo(Info):
    """Independent samples were drawn from the probabilities of so many ``states``."""

    states: int
