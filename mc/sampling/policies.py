"""What samples can be asked for: one class of settings per method.

:func:`mc.sample` takes one of these objects, or its name for the defaults; those of
:func:`mc.log_partition` are in :mod:`mc.sampling.log_z.policies`. A wrong value is an error when
the object is made, before any work. The command line reads from the fields which options go with
which method.
"""

# ruff: noqa: RUF009  (setting() is dataclasses.field with a check)

from __future__ import annotations

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


def words_or_array(*words: str, array: str) -> arguments.Kind:
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


def number_or(number: arguments.Kind, other: arguments.Kind) -> arguments.Kind:
    """Kind of whole numbers, and of what another kind takes instead."""

    def kind(value: object) -> Exception | None:
        return number(value) if isinstance(value, int | np.integer) else other(value)

    return kind


def anything(value: object) -> None:
    """Kind of what is checked where it is used."""


_CHAIN_STATES = "an array (chains, n) of 0 and 1"


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
    init: Init = setting("random", words_or_array("random", "data", array=_CHAIN_STATES))
    burn_in: int | None = setting(None, arguments.at_least(0))
    thin: int | None = setting(None, arguments.at_least(1))
    precision: str = setting("double", arguments.among(*PRECISIONS))
    inertia: float = setting(0.0, arguments.number)
    basis: str | None = setting(None, arguments.among(*BASES))
    max_bond: int | None = setting(None, arguments.at_least(1))
    proposal: Proposal | None = setting(None, anything)

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
        number_or(
            arguments.at_least(1),
            words_or_array("adaptive", array="increasing numbers that end with 1"),
        ),
    )
    kernel: str = setting("auto", arguments.among("auto", *KERNELS))
    init: Literal["spread"] | ArrayLike = setting(
        "spread", words_or_array("spread", array=_CHAIN_STATES)
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
        "spread", words_or_array("spread", array=_CHAIN_STATES)
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
    proposal: Proposal | None = setting(None, anything)
    resample: bool = setting(False, arguments.flag)


@short_repr
@dataclass(frozen=True)
class Enumeration(Policy):
    """Independent samples from the probabilities of all 2**n states, of models of any family."""


Sampling = Chains | Tempered | Snapshots | Perfect | Enumeration

SAMPLERS: dict[str, Sampling] = {
    "chains": Chains(),
    "tempered": Tempered(),
    "snapshots": Snapshots(),
    "perfect": Perfect(),
    "enumeration": Enumeration(),
}
"""What the names of methods of :func:`mc.sample` stand for."""
