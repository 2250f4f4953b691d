"""Shots of Gibbs circuits that survive post-selection, and expectations of Pauli strings from them.

If fewer than ``MIN_KEPT`` shots of a circuit are kept, it is run again until the shots in all are
twice, four, eight, at most 16 times as many. Whether to go on depends on the number of kept shots
only and not on their outcomes, so all that were kept are independent draws from the Gibbs state,
and averages over them are not biased by it.

Strings that commute qubit by qubit are measured by one circuit, whose shots serve every string that
its letters cover. This works for all of :mod:`tnqbm.hamiltonian`: couplings inside the
layers, terms that flip visible qubits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.states import spins, states_of
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.hamiltonian.terms import check_string
from tnqbm.quantum.conventions import commuting_groups
from tnqbm.quantum.devices import Device
from tnqbm.quantum.gibbs import (
    MAX_QUBITS,
    GibbsCircuit,
    NothingKeptError,
    Postselected,
    gibbs_circuit,
    postselect,
)
from tnqbm.quantum.usage import TooFewShotsError, Usage

States = NDArray[np.uint8]
Outcomes = tuple[States, States]
"""Visible (K, n) and hidden (K, m) bits of kept shots."""

MIN_KEPT = 16
"""Fewest kept shots of a circuit from which averages are made."""

DOUBLINGS = 4
"""How often the shots of a circuit are doubled before too few are an error."""


def gibbs_shots(
    device: Device,
    hamiltonian: PauliHamiltonian,
    measure: Sequence[str],
    *,
    shots: int,
    trotter_steps: int,
    rng: np.random.Generator,
) -> tuple[list[Outcomes], Usage]:
    """Kept shots of a Gibbs circuit for each of several sets of Pauli matrices to measure.

    ``measure`` as in :func:`tnqbm.quantum.gibbs_circuit`; ``shots`` of each circuit at first.
    Raises TooFewShotsError where too few are kept of 16 times as many, MemoryError where the device
    is ideal and the circuit too large for it.
    """
    reset = device.mid_circuit or device.ideal
    circuits = [
        gibbs_circuit(
            hamiltonian,
            trotter_steps=trotter_steps,
            measure=letters,
            ancillas="reset" if reset else "fresh",
        )
        for letters in measure
    ]
    names = [f"{letters} was measured" for letters in measure]
    needed = [MIN_KEPT] * len(circuits)
    return kept_shots(device, circuits, needed, shots=shots, rng=rng, names=names)


def kept_shots(
    device: Device,
    circuits: Sequence[GibbsCircuit],
    needed: Sequence[int],
    *,
    shots: int,
    rng: np.random.Generator,
    names: Sequence[str] = (),
) -> tuple[list[Outcomes], Usage]:
    """At least ``needed[k]`` kept shots of circuit k, all that were kept of ``shots`` or more.

    ``names`` say in errors which circuit it was. Raises as :func:`gibbs_shots`.
    """
    source = _Ideal(circuits) if device.ideal else _Run(circuits, device)
    outcomes = source.draw(range(len(circuits)), shots, rng)
    shots_run = [shots] * len(circuits)
    retries = 0
    for _ in range(DOUBLINGS):
        lacking = [k for k, (visible, _) in enumerate(outcomes) if len(visible) < needed[k]]
        if not lacking:
            break
        more = source.draw(lacking, shots_run[lacking[0]], rng)  # those that lack have had the same
        for k, extra in zip(lacking, more, strict=True):
            visible, hidden = (
                np.concatenate(pair) for pair in zip(outcomes[k], extra, strict=True)
            )
            outcomes[k] = visible, hidden
            shots_run[k] *= 2
        retries += len(lacking)
    usage = Usage(
        shots=sum(shots_run),
        kept_shots=sum(len(visible) for visible, _ in outcomes),
        depth=max(circuit.depth() for circuit in source.circuits),
        two_qubit_gates=max(circuit.num_nonlocal_gates() for circuit in source.circuits),
        shot_retries=retries,
    )
    for k, (visible, _) in enumerate(outcomes):
        if len(visible) < needed[k]:
            where = f" where {names[k]}" if names else ""
            raise TooFewShotsError(
                f"only {len(visible)} of {shots_run[k]} shots survived post-selection{where} "
                f"({circuits[k].success_probability:.1e} of them are expected to); at least "
                f"{needed[k]} are needed. Take more shots, keep the weights small (weight_decay, a "
                "smaller scale) or, for an sqRBM, use strategy 'enhanced'",
                usage,
            )
    return outcomes, usage


class _Ideal:
    """Circuits whose outcomes are found exactly, and shots drawn from them."""

    def __init__(self, made: Sequence[GibbsCircuit]) -> None:
        if made[0].circuit.num_qubits > MAX_QUBITS:
            raise MemoryError(
                f"the circuit has {made[0].circuit.num_qubits} qubits, more than the {MAX_QUBITS} "
                "of backend 'statevector'; use 'aer' or, for an sqRBM, strategy 'enhanced'"
            )
        self._made = made
        self.circuits = [each.circuit for each in made]
        self._exact = [_outcomes(each) for each in made]

    def draw(self, which: Sequence[int], shots: int, rng: np.random.Generator) -> list[Outcomes]:
        return [self._shots(k, shots, rng) for k in which]

    def _shots(self, k: int, shots: int, rng: np.random.Generator) -> Outcomes:
        exact, t = self._exact[k], self._made[k].trotterised
        index = np.zeros(0, dtype=np.int64)
        if exact is not None:
            flat = np.clip(exact.probabilities.ravel(), 0.0, None)
            n_kept = rng.binomial(shots, min(exact.success_probability, 1.0))
            index = rng.choice(flat.size, size=n_kept, p=flat / flat.sum())
        bits = states_of(index.astype(np.int64), t.n_qubits)
        return bits[:, : t.n_visible], bits[:, t.n_visible :]


def _outcomes(made: GibbsCircuit) -> Postselected | None:
    try:
        return postselect(made)
    except NothingKeptError:
        return None


class _Run:
    """Circuits that a device runs."""

    def __init__(self, made: Sequence[GibbsCircuit], device: Device) -> None:
        self._made, self._device = made, device
        self.circuits = [device.transpiled(each.circuit) for each in made]

    def draw(self, which: Sequence[int], shots: int, rng: np.random.Generator) -> list[Outcomes]:
        key = int(rng.integers(1 << 63))
        data = self._device.run([(self.circuits[k], None, shots) for k in which], seed=key)
        return [self._made[k].accepted(outcome) for k, outcome in zip(which, data, strict=True)]


Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PauliAverages(Usage):
    """Expectations from shots, and the shots and jobs used.

    Attributes
    ----------
    values : {string: (expectation, standard error)}, the error that of shot noise alone; it is 0
        where the value is known without measuring.
    bases : the Pauli matrices measured, a letter for each qubit, one entry for each circuit.
    """

    values: Mapping[str, tuple[float, float]]
    bases: tuple[str, ...]


def measured_averages(
    device: Device,
    hamiltonian: PauliHamiltonian,
    paulis: Iterable[str],
    *,
    shots: int,
    trotter_steps: int,
    rng: np.random.Generator,
    settings: Sequence[str] = (),
) -> PauliAverages:
    """Expectations of ``paulis``, strings over all qubits; ``shots`` of each circuit.

    ``settings`` are letters for all qubits to measure first, where a string needs them. Raises as
    :func:`tnqbm.quantum.imaginary_time.gibbs_shots`, and ValueError on wrong strings.
    """
    strings = [check_string(pauli, hamiltonian.n_qubits) for pauli in dict.fromkeys(paulis)]
    known = {pauli: value for pauli in strings if (value := _known(hamiltonian, pauli)) is not None}
    wanted = [pauli for pauli in strings if pauli not in known]
    bases = covering(wanted, settings)
    if not bases:
        return PauliAverages(values={pauli: (known[pauli], 0.0) for pauli in strings}, bases=())
    outcomes, usage = gibbs_shots(
        device, hamiltonian, bases, shots=shots, trotter_steps=trotter_steps, rng=rng
    )
    every = [spins(np.concatenate(pair, axis=1)) for pair in outcomes]
    values = {
        pauli: (known[pauli], 0.0) if pauli in known else _average(pauli, bases, every)
        for pauli in strings
    }
    return PauliAverages(values=values, bases=tuple(bases), **usage.counts)


def sign_error(mean: Float | float, count: Float | int) -> Float:
    """Standard error of the mean of +1 and -1, not 0 where all were alike: one more of each."""
    shrunk = mean * count / (count + 2.0)
    return np.asarray(np.sqrt((1.0 - shrunk**2) / count))


def _known(hamiltonian: PauliHamiltonian, pauli: str) -> float | None:
    """An expectation that needs no measurement, or None.

    A Gibbs state that is diagonal over the visible qubits has none of what flips them.
    """
    if set(pauli) == {"I"}:
        return 1.0
    if hamiltonian.is_semi_quantum and {"X", "Y"} & set(pauli[: hamiltonian.n_visible]):
        return 0.0
    return None


def covers(setting: str, pauli: str) -> bool:
    """Whether measuring these letters tells the value of a string."""
    return all(letter in ("I", own) for own, letter in zip(setting, pauli, strict=True))


def covering(paulis: Sequence[str], settings: Sequence[str]) -> list[str]:
    """Letters to measure, one string for each circuit.

    First those of ``settings`` that tell something new, then one for each group of the rest that
    commutes qubit by qubit, Z where nothing is asked.
    """
    needed, rest = list[str](), list(paulis)
    for setting in settings:
        left = [pauli for pauli in rest if not covers(setting, pauli)]
        if len(left) < len(rest):
            needed.append(setting)
        rest = left
    for group in commuting_groups(rest):
        letters = (set(column) - {"I"} for column in zip(*group, strict=True))
        needed.append("".join(own.pop() if own else "Z" for own in letters))
    return needed


def _average(pauli: str, bases: Sequence[str], every: Sequence[Float]) -> tuple[float, float]:
    """Over the shots (K, qubits) of all circuits that measure a string."""
    support = [k for k, letter in enumerate(pauli) if letter != "I"]
    products = [
        spins_of_shots[:, support].prod(axis=1)
        for basis, spins_of_shots in zip(bases, every, strict=True)
        if covers(basis, pauli)
    ]
    outcomes = np.concatenate(products)
    mean = float(outcomes.mean())
    return mean, float(sign_error(mean, outcomes.size))
