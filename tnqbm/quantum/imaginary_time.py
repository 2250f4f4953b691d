"""Shots of Gibbs circuits that survive post-selection, enough of them or an error.

If fewer than ``MIN_KEPT`` shots of a circuit are kept, it is run again until the shots in all are
twice, four, eight, at most 16 times as many. Whether to go on depends on the number of kept shots
only and not on their outcomes, so all that were kept are independent draws from the Gibbs state,
and averages over them are not biased by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.states import states_of
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.devices import Device
from tnqbm.quantum.gibbs import GibbsCircuit, gibbs_circuit
from tnqbm.quantum.postselection import MAX_QUBITS, NothingKeptError, Postselected, postselect
from tnqbm.quantum.spent import Spent, TooFewShotsError

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
) -> tuple[list[Outcomes], Spent]:
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
    source = _Ideal(circuits) if device.ideal else _Run(circuits, device)
    outcomes = source.draw(range(len(circuits)), shots, rng)
    taken = [shots] * len(circuits)
    retries = 0
    for _ in range(DOUBLINGS):
        lacking = [k for k, (visible, _) in enumerate(outcomes) if len(visible) < MIN_KEPT]
        if not lacking:
            break
        more = source.draw(lacking, taken[lacking[0]], rng)  # those that lack have had the same
        for k, one in zip(lacking, more, strict=True):
            visible, hidden = (np.concatenate(pair) for pair in zip(outcomes[k], one, strict=True))
            outcomes[k] = visible, hidden
            taken[k] *= 2
        retries += len(lacking)
    spent = Spent(
        shots=sum(taken),
        kept=sum(len(visible) for visible, _ in outcomes),
        depth=max(circuit.depth() for circuit in source.circuits),
        two_qubit_gates=max(circuit.num_nonlocal_gates() for circuit in source.circuits),
        shot_retries=retries,
    )
    for letters, made, (visible, _), count in zip(measure, circuits, outcomes, taken, strict=True):
        if len(visible) < MIN_KEPT:
            raise TooFewShotsError(
                f"only {len(visible)} of {count} shots survived post-selection where {letters} was "
                f"measured ({made.success_probability:.1e} of them are expected to); at least "
                f"{MIN_KEPT} are needed. Take more shots, keep the weights small (weight_decay, a "
                "smaller scale) or, for an sqRBM, use strategy 'enhanced'",
                spent,
            )
    return outcomes, spent


class _Ideal:
    """Circuits whose outcomes are found exactly, and shots drawn from them."""

    def __init__(self, made: Sequence[GibbsCircuit]) -> None:
        if made[0].circuit.num_qubits > MAX_QUBITS:
            raise MemoryError(
                f"the circuit has {made[0].circuit.num_qubits} qubits, more than the {MAX_QUBITS} "
                "of backend 'statevector'; use 'aer' or, for an sqRBM, strategy 'enhanced'"
            )
        self._made = made
        self.circuits = [one.circuit for one in made]
        self._found = [_outcomes(one) for one in made]

    def draw(self, which: Sequence[int], shots: int, rng: np.random.Generator) -> list[Outcomes]:
        return [self._shots(k, shots, rng) for k in which]

    def _shots(self, k: int, shots: int, rng: np.random.Generator) -> Outcomes:
        found, t = self._found[k], self._made[k].trotterised
        index = np.zeros(0, dtype=np.int64)
        if found is not None:
            flat = np.clip(found.probabilities.ravel(), 0.0, None)
            kept = rng.binomial(shots, min(found.success, 1.0))
            index = rng.choice(flat.size, size=kept, p=flat / flat.sum())
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
        self.circuits = [device.transpiled(one.circuit) for one in made]

    def draw(self, which: Sequence[int], shots: int, rng: np.random.Generator) -> list[Outcomes]:
        key = int(rng.integers(1 << 63))
        data = self._device.run([(self.circuits[k], None, shots) for k in which], seed=key)
        return [self._made[k].accepted(one) for k, one in zip(which, data, strict=True)]
