"""What samples and log Z can be asked for: one class of settings per method.

:func:`mc.sample` and :func:`mc.log_partition` take one of these objects, or its name for the
defaults. A wrong value is an error when the object is made, before any work. The command line
reads from the fields which options go with which method.
"""

# ruff: noqa: RUF009  (setting() is dataclasses.field with a check)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from mc.kernels import KERNELS, check_kernel_basis
from tnqbm.base import arguments
from tnqbm.base.text import short_repr
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import BASES

if TYPE_CHECKING:
    from mc.sampling.amplitude.moves import Proposal

PRECISIONS = ("double", "single")
FEEDS = ("chains", "tempered")
MAX_BOND = 128
"""Largest bond dimension of an amplitude network unless another one is asked for."""

Feed = Literal["chains", "tempered"]
Init = Literal["random", "data"] | ArrayLike


def setting(default: Any, kind: arguments.Kind) -> Any:
    """A field of a policy with its default and the kind of its values."""
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True)
class Policy:
    """Settings of one method; ValueError or TypeError naming the setting that is wrong."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, kind = getattr(self, entry.name), entry.metadata["kind"]
            if value is not entry.default and (wrong := kind(value)) is not None:
                raise type(wrong)(f"{entry.name} {wrong}")


P = TypeVar("P", bound=Policy)


def policy_of(method: str | Policy, known: Mapping[str, P]) -> P:
    """The policy that a method is or names; TypeError or ValueError if it is none of ``known``."""
    if isinstance(method, str) and method in known:
        return known[method]
    if isinstance(method, tuple({type(policy) for policy in known.values()})):
        return method  # type: ignore[return-value]
    names = ", ".join(known)
    if isinstance(method, str):
        raise ValueError(f"method: {method!r} is not one of {names}")
    kinds = ", ".join(dict.fromkeys(type(policy).__name__ for policy in known.values()))
    raise TypeError(
        f"method must be one of {names}, or an object {kinds}, got {arguments.shown(method)}"
    )


def settings(policy: Policy) -> set[str]:
    """Names of all settings of a policy, those of the policies that it holds in their place."""
    names = set[str]()
    for entry in fields(policy):
        value = getattr(policy, entry.name)
        names |= settings(value) if isinstance(value, Policy) else {entry.name}
    return names


def with_settings(policy: P, given: Mapping[str, Any]) -> P:
    """The policy with other values of those settings that it, or a policy that it holds, has."""
    changes = {}
    for entry in fields(policy):
        value = getattr(policy, entry.name)
        if isinstance(value, Policy):
            changes[entry.name] = with_settings(value, given)
        elif entry.name in given:
            changes[entry.name] = given[entry.name]
    return replace(policy, **changes)


def _words_or_array(*words: str, array: str) -> arguments.Kind:
    """Kind of arrays, and of certain words instead."""

    def kind(value: object) -> Exception | None:
        if isinstance(value, str) and value in words:
            return None
        if not isinstance(value, str):
            try:
                given = arguments.plain_array(value, "")
            except (TypeError, ValueError) as error:
                return type(error)(str(error).strip())
            if given.ndim and given.dtype.kind in "biuf":
                return None
        known = f"{', '.join(map(repr, words))} or {array}" if words else array
        return ValueError(f"must be {known}, got {arguments.shown(value)}")

    return kind


def _number_or(number: arguments.Kind, other: arguments.Kind) -> arguments.Kind:
    """Kind of whole numbers, and of what another kind takes instead."""

    def kind(value: object) -> Exception | None:
        return number(value) if isinstance(value, int | np.integer) else other(value)

    return kind


def _anything(value: object) -> None:
    """Kind of what is checked where it is used."""


_CHAIN_STATES = "an array (chains, n) of 0 and 1"


# --- samples ------------------------------------------------------------------------------------


@short_repr
@dataclass(frozen=True)
class Chains(Policy):
    """Samples from independent Markov chains.

    chains : number of chains; each gives as many samples as :func:`mc.sample` is asked for.
    kernel : one of :data:`mc.kernels.KERNELS`; "tensor": a sweep of "collapsed", then a state
        proposed by an amplitude matrix product state, which takes chains from mode to mode (see
        :mod:`mc.sampling.amplitude.moves`); or "auto": pilot runs of the exact kernels but
        "pauli" and "pauli-exact", and the one with the most effective samples per second (of the
        energy and of the slowest visible mean, whichever has fewer). That is a measurement of time:
        on another machine, or another day, it can come out differently. ``info.kernel`` says what
        was chosen; given back as ``kernel`` it gives the same samples bit for bit. Near ties, and
        pilots too short for the autocorrelation times, give "collapsed".
    init : "random" (fair bits; with kernel "tensor", samples of the network, as chains would stay
        for ages in states that it hardly ever proposes), "data" (rows of the data), or an array
        (chains, n) of starting states.
    burn_in, thin : sweeps left out, and sweeps from one kept sample to the next. None takes 20
        and 1 autocorrelation times (the longer of the energy's and the slowest visible mean's)
        from a pilot run, which is a function of the seed.
    precision : "double" or "single" arithmetic in the kernels.
    inertia : of the thermal kernel.
    basis : of the kernels "pauli" and "pauli-exact": the Pauli matrix in which hidden qubits are
        measured ("X", "Y", "Z"), one drawn at random for each chain and sweep ("random", also where
        ``basis`` is None), or one for each qubit as well ("each").
    max_bond, proposal : of kernel "tensor": the largest bond dimension (default 128) of the
        network, which is fitted for this call (:func:`mc.fit_amplitude`, with the data if chains
        start from them), or the network itself, of the free units if others are clamped.
    """

    chains: int = setting(100, arguments.at_least(1))
    kernel: str = setting("auto", arguments.among("auto", *KERNELS, "tensor"))
    init: Init = setting("random", _words_or_array("random", "data", array=_CHAIN_STATES))
    burn_in: int | None = setting(None, arguments.at_least(0))
    thin: int | None = setting(None, arguments.at_least(1))
    precision: str = setting("double", arguments.among(*PRECISIONS))
    inertia: float = setting(0.0, arguments.number)
    basis: str | None = setting(None, arguments.among(*BASES))
    max_bond: int | None = setting(None, arguments.at_least(1))
    proposal: Proposal | None = setting(None, _anything)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_bond", "proposal"):
            if self.kernel != "tensor" and getattr(self, name) is not None:
                raise ValueError(f"{name} is for kernel = 'tensor', not for {self.kernel!r}")
        check_kernel_basis(self.kernel, self.basis)


@short_repr
@dataclass(frozen=True)
class Tempered(Policy):
    """Samples by parallel tempering: from chains that exchange states with hotter ones.

    chains : independent ladders; the samples of each are those of its chain at beta = 1.
    temperatures : "adaptive" (:func:`mc.sampling.tempering.sample.tune_ladder`, before any sample
        is kept), a number of evenly spaced inverse temperatures, or the inverse temperatures
        themselves, increasing numbers that end with 1.
    kernel : an exact kernel of :mod:`mc.kernels`; "auto": block for one Pauli, else collapsed.
    init : "spread" (the chains start apart, at random states, where hidden units of opposite signs
        would send them, and at data, so that they agree only once they have forgotten it), or an
        array (chains, n) of starting states.
    burn_in, thin : sweeps before the first sample (after the ladder is settled) and between two;
        by default 40 and 1 times the number of temperatures, some twenty and one half round trips.
    target_swap_rate, max_temperatures : of an adaptive ladder.
    precision : "double" or "single" arithmetic of the sweeps.
    """

    chains: int = setting(10, arguments.at_least(1))
    temperatures: Literal["adaptive"] | int | ArrayLike = setting(
        "adaptive",
        _number_or(
            arguments.at_least(1),
            _words_or_array("adaptive", array="increasing numbers that end with 1"),
        ),
    )
    kernel: str = setting("auto", arguments.among("auto", *KERNELS))
    init: Literal["spread"] | ArrayLike = setting(
        "spread", _words_or_array("spread", array=_CHAIN_STATES)
    )
    burn_in: int | None = setting(None, arguments.at_least(0))
    thin: int | None = setting(None, arguments.at_least(1))
    target_swap_rate: float = setting(0.5, arguments.number)
    max_temperatures: int = setting(64, arguments.at_least(2))
    precision: str = setting("double", arguments.among(*PRECISIONS))


def _models(value: object) -> Exception | None:
    """Kind of sequences of models."""
    if isinstance(value, Sequence) and all(isinstance(model, SqRBM) for model in value):
        return None
    return TypeError(f"must be a list of models (SqRBM), got {arguments.shown(value)}")


@short_repr
@dataclass(frozen=True)
class Snapshots(Policy):
    """Samples by trajectory tempering: exchange of states with earlier models of a training.

    Where a model at several temperatures goes through sharp transitions, the way that the training
    went may not (Béreux et al., ICLR 2025). The ladder begins at independent bits, goes along the
    models, as far as they are on the way, and ends at the model that is sampled;
    :mod:`mc.sampling.tempering.rungs` chooses its rungs.

    models : earlier models of the training, in order, all of the shape of the model that is
        sampled, such as ``[model for _, model in run.snapshots]``; that model itself may be the
        last of them. Without any, the ladder is one of temperatures.
    chains : independent ladders; the samples of each are those of the chain of its last rung.
    target_swap_rate, max_rungs : of the ladder. Fewer rungs mean rarer swaps.
    kernel, init, burn_in, thin, precision : as for :class:`Tempered`.
    """

    models: Sequence[SqRBM] = setting((), _models)
    chains: int = setting(10, arguments.at_least(1))
    kernel: str = setting("auto", arguments.among("auto", *KERNELS))
    init: Literal["spread"] | ArrayLike = setting(
        "spread", _words_or_array("spread", array=_CHAIN_STATES)
    )
    burn_in: int | None = setting(None, arguments.at_least(0))
    thin: int | None = setting(None, arguments.at_least(1))
    target_swap_rate: float = setting(0.5, arguments.number)
    max_rungs: int = setting(64, arguments.at_least(2))
    precision: str = setting("double", arguments.among(*PRECISIONS))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.target_swap_rate < 1.0:
            raise ValueError(
                f"target_swap_rate must be between 0 and 1, got {self.target_swap_rate!r}"
            )


@short_repr
@dataclass(frozen=True)
class Perfect(Policy):
    """Independent samples of an amplitude network, which approximates p(v), and their weights.

    max_bond, feed : see :func:`mc.fit_amplitude`.
    proposal : the network, if there is one already (of the free units, if others are clamped).
    resample : give an equally weighted subset instead, of as many samples as the weights are
        worth (rounded down, at least one), in proportion to their weights. One of more than
        average weight may come more than once.
    """

    max_bond: int = setting(MAX_BOND, arguments.at_least(1))
    feed: Feed = setting("chains", arguments.among(*FEEDS))
    proposal: Proposal | None = setting(None, _anything)
    resample: bool = setting(False, arguments.flag)


Sampling = Chains | Tempered | Snapshots | Perfect

SAMPLERS: dict[str, Sampling] = {
    "chains": Chains(),
    "tempered": Tempered(),
    "snapshots": Snapshots(),
    "perfect": Perfect(),
}
"""What the names of methods of :func:`mc.sample` stand for."""


# --- log Z --------------------------------------------------------------------------------------

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
        1000, _number_or(arguments.at_least(2), _words_or_array(array="numbers from 0 to 1"))
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
    proposal: Proposal | None = setting(None, _anything)
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
