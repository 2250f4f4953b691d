"""What log Z can be asked for: one class of settings per method.

:func:`mc.log_partition` takes one of these objects, or its name for the defaults.
"""

# ruff: noqa: RUF009  (setting() is dataclasses.field with a check)

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from mc.kernels import KERNELS
from mc.sampling.policies import (
    FEEDS,
    MAX_BOND,
    PRECISIONS,
    Feed,
    Policy,
    Snapshots,
    Tempered,
    anything,
    number_or,
    setting,
    words_or_array,
)
from tnqbm.base import arguments
from tnqbm.base.text import short_repr

if TYPE_CHECKING:
    from mc.sampling.amplitude.moves import Proposal

Schedule = Literal["adaptive", "linear"]
Direction = Literal["forward", "reverse", "both"]


@short_repr
@dataclass(frozen=True)
class Annealing(Policy):
    """log Z by annealed importance sampling ("ais", "ais-reverse", "both").

    direction : "forward", from a solvable model to the one at hand, low on average by about half
        the squared standard error; "reverse", backwards from equilibrium states, high on average
        if they are that; "both", the mean of the two.
    chains : chains, to average over.
    betas : number of inverse temperatures, 0 and 1 included, or the inverse temperatures
        themselves, rising from 0 to 1. More of them make the weights more even.
    schedule : how a number of them is placed: "adaptive" (by a pilot run) or "linear".
    kernel : an exact kernel of :mod:`mc.kernels`; "auto": block for one Pauli, else collapsed.
    steps : sweeps at each inverse temperature.
    precision : arithmetic of the sweeps; weights are always computed in double precision.
    states : equilibrium states to anneal back from, (K, n) independent of one another or
        (chains, draws, n) as :func:`mc.sample` returns them; default: taken by parallel tempering.
        If there are more than ``chains``, evenly spaced ones are used.
    resamples : resamples of the chains for the standard error.
    """

    direction: Direction = setting("forward", arguments.among("forward", "reverse", "both"))
    chains: int = setting(500, arguments.at_least(1))
    betas: int | ArrayLike = setting(
        1000, number_or(arguments.at_least(2), words_or_array(array="numbers from 0 to 1"))
    )
    schedule: Schedule = setting("adaptive", arguments.among("adaptive", "linear"))
    kernel: str = setting("auto", arguments.among("auto", *KERNELS))
    steps: int = setting(1, arguments.at_least(1))
    precision: str = setting("double", arguments.among(*PRECISIONS))
    states: ArrayLike | None = setting(None, arguments.rows())
    resamples: int = setting(200, arguments.at_least(2))

    @property
    def n_betas(self) -> int:
        """Number of inverse temperatures."""
        if isinstance(self.betas, int | np.integer):
            return int(self.betas)
        return int(np.shape(self.betas)[-1])


@short_repr
@dataclass(frozen=True)
class Network(Policy):
    """log Z by importance sampling with perfect samples of an amplitude network ("tensor").

    The mean weight is an unbiased estimate of Z whatever the bond dimension.

    samples : perfect samples of the network.
    max_bond, feed : see :func:`mc.fit_amplitude`.
    states : (K, n) or (chains, draws, n) states that the network is fitted to; default: found by
        ``feed``.
    proposal : the network, if there is one already.
    resamples : resamples for the standard error.
    """

    samples: int = setting(4000, arguments.at_least(1))
    max_bond: int = setting(MAX_BOND, arguments.at_least(1))
    feed: Feed = setting("chains", arguments.among(*FEEDS))
    states: ArrayLike | None = setting(None, arguments.rows())
    proposal: Proposal | None = setting(None, anything)
    resamples: int = setting(200, arguments.at_least(2))


@short_repr
@dataclass(frozen=True)
class Visited(Policy):
    """log Z by the weight of visited states, and how often samples fall on them ("visited").

    For models that are sharp enough for chains to see most of their probability, and then far more
    precise than annealing. It needs chains that mix.

    samples : samples kept of each chain.
    tempered : how they are drawn; at least 8 chains, of which each half visits states for the
        other.
    """

    samples: int = setting(1000, arguments.at_least(1))
    tempered: Tempered = setting(Tempered(chains=20), arguments.one_of(Tempered))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tempered.chains < 8:
            raise ValueError(f"chains must be at least 8, got {self.tempered.chains}")


@short_repr
@dataclass(frozen=True)
class Multistate(Policy):
    """log Z of all rungs of a ladder at once, from the states of all of them ("mbar").

    The multistate Bennett acceptance ratio (Shirts & Chodera, J. Chem. Phys. 129, 124105, 2008)
    weighs states of every rung under every model. The first rung's log Z is known. Needs the
    package pymbar, the extra ``mbar``.

    samples : samples kept of each chain.
    snapshots : the ladder, and how chains move on it; at least 8 chains, whose differences make
        the error bar. ``thin`` None is twice the number of rungs.
    """

    samples: int = setting(80, arguments.at_least(2))
    snapshots: Snapshots = setting(Snapshots(chains=100), arguments.one_of(Snapshots))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.snapshots.chains < 8:
            raise ValueError(f"chains must be at least 8, got {self.snapshots.chains}")


@short_repr
@dataclass(frozen=True)
class Exact(Policy):
    """log Z exactly.

    method : "enumeration", "contraction", "quadrature", or "exact", the fastest of these for the
        model at hand.
    engine : what contracts the factor graph, "quimb" or "compiled"; "auto": the faster one by its
        forecast. See :func:`tnqbm.exact.log_partition`.
    """

    method: str = setting(
        "exact", arguments.among("exact", "enumeration", "contraction", "quadrature")
    )
    engine: str = setting("auto", arguments.among("auto", "quimb", "compiled"))


@short_repr
@dataclass(frozen=True)
class Auto(Policy):
    """log Z the first way that can be trusted: exactly if that takes less than about half a
    minute, else by annealing, and where that is not to be trusted by a network too."""

    annealing: Annealing = setting(Annealing(), arguments.one_of(Annealing))
    network: Network = setting(Network(), arguments.one_of(Network))


@short_repr
@dataclass(frozen=True)
class All(Policy):
    """log Z by annealing in both directions, by the network and exactly where that takes less than
    about half a minute, compared with one another."""

    annealing: Annealing = setting(Annealing(), arguments.one_of(Annealing))
    network: Network = setting(Network(), arguments.one_of(Network))


@short_repr
@dataclass(frozen=True)
class Certified(Policy):
    """log Z in an interval of a given width ("certified").

    Exactly where that takes less than about half a minute; else by annealing in both directions,
    visited states where the model is sharp enough, and a network where it is quick, until a trusted
    one is narrow enough and no other trusted one contradicts it. At least two are tried, unless
    annealing is the only one that can help.

    width : of the interval, in nats: three standard errors to each side.
    rounds : every round takes four times as many inverse temperatures and samples, and twice the
        bond dimension, as the one before.
    annealing, network : of the first round, whose visited states are those of :class:`Visited`.
    """

    width: float = setting(0.1, arguments.number)
    rounds: int = setting(3, arguments.at_least(1))
    annealing: Annealing = setting(Annealing("both"), arguments.one_of(Annealing))
    network: Network = setting(Network(), arguments.one_of(Network))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.width < math.inf:
            raise ValueError(f"width must be a finite number above 0, got {self.width!r}")
        if self.annealing.direction != "both":
            raise ValueError(f"direction must be 'both', got {self.annealing.direction!r}")
        if not isinstance(self.annealing.betas, int | np.integer):
            raise ValueError("betas must be a number of them, which grows from round to round")


Estimation = Auto | Annealing | Network | Visited | Multistate | Exact | All | Certified

ESTIMATORS: dict[str, Estimation] = {
    "auto": Auto(),
    "ais": Annealing(),
    "ais-reverse": Annealing("reverse"),
    "both": Annealing("both"),
    "tensor": Network(),
    "visited": Visited(),
    "mbar": Multistate(),
    "exact": Exact(),
    "enumeration": Exact("enumeration"),
    "contraction": Exact("contraction"),
    "quadrature": Exact("quadrature"),
    "all": All(),
    "certified": Certified(),
}
"""What the names of methods of :func:`mc.log_partition` stand for."""
