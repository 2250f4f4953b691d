"""Chains between measured hidden qubits and visible units (Demidik et al., arXiv 2511.11802).

A move is two circuits. The hidden qubits are prepared in their thermal states given the chain's
visible units and measured in Pauli matrices, one shot for each chain: no shot is lost
(:mod:`tnqbm.quantum.thermal`). Then the outcomes h are where a Gibbs circuit starts: hidden qubits
in the eigenstates |h> that were found, visible ones in |+>. After exp(-H/2) by imaginary time
(:mod:`tnqbm.quantum.gibbs`) visible units are found in v with probability

    |exp(-H/2) |v,h>|^2 / Z_h = <v,h| exp(-H) |v,h> / Z_h = p(v | h),

but for the Trotter error. That is the purified Gibbs state post-selected on outcomes h of the
purifying qubits, without having to wait for them. One circuit serves all chains with the same
outcomes in the same bases.

A device that prepares these states could prepare the Gibbs state of all qubits as well, each kept
shot of which is a sample of p(v) itself: chains save the purifying qubits and part of the lost
shots, not the preparation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import check_basis
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.devices import Device
from tnqbm.quantum.enhanced import Moved
from tnqbm.quantum.gibbs import GibbsCircuit, gibbs_circuit
from tnqbm.quantum.imaginary_time import kept_shots
from tnqbm.quantum.thermal import thermal_angles, thermal_template
from tnqbm.quantum.usage import Usage

States = NDArray[np.uint8]
Letters = NDArray[np.str_]


def clamped_circuit(
    model: SqRBM, hidden: States, measure: str, *, trotter_steps: int, ancillas: str = "reset"
) -> GibbsCircuit:
    """The circuit whose visible outcomes are those of p(v | h), given outcomes ``hidden`` (m,).

    ``measure`` are the Pauli matrices that gave them, one letter for each hidden qubit; outcome 0
    is +1. Raises as :func:`tnqbm.quantum.gibbs_circuit` does.
    """
    return gibbs_circuit(
        PauliHamiltonian.from_sqrbm(model),
        trotter_steps=trotter_steps,
        hidden_start="outcomes",
        outcomes=[(letter, 1 - 2 * int(bit)) for letter, bit in zip(measure, hidden, strict=True)],
        ancillas=ancillas,  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class PauliChain:
    """Moves of many chains at once.

    Attributes
    ----------
    device : where circuits run.
    shots : of every visible circuit at first; up to 16 times as many where fewer are kept than
        there are chains that wait for them.
    trotter_steps : in second order.
    basis : one of :data:`tnqbm.core.paulis.BASES`.
    """

    device: Device
    shots: int
    trotter_steps: int
    basis: str = "random"

    def __post_init__(self) -> None:
        check_basis(self.basis)

    def move(self, model: SqRBM, states: States, *, seed: np.random.SeedSequence) -> Moved:
        """Both half steps of every chain, (chains, n), as a function of the arguments.

        Raises TooFewShotsError where too few shots survive post-selection, ValueError on a basis
        that is none of the model's.
        """
        check_basis(self.basis, model.paulis)
        rng = streams.generator(seed)
        letters = self._letters(model, len(states), rng)
        hidden, first = self._measure_hidden(model, states, letters, rng)
        visible, second = self._draw_visible(model, hidden, letters, rng)
        return Moved(states=visible, **(first + second).counts)

    def _letters(self, model: SqRBM, chains: int, rng: np.random.Generator) -> Letters:
        """The Pauli matrix of every chain and qubit, (chains, m)."""
        shape = (chains, model.n_hidden)
        if self.basis not in ("random", "each"):
            return np.full(shape, self.basis)
        drawn = rng.choice(list(model.paulis), size=shape if self.basis == "each" else (chains, 1))
        return np.broadcast_to(drawn, shape)

    def _measure_hidden(
        self, model: SqRBM, states: States, letters: Letters, rng: np.random.Generator
    ) -> tuple[States, Usage]:
        """Outcomes (chains, m), one shot each."""
        angles = np.zeros((len(states), 2 * model.n_hidden))
        for letter in model.paulis:
            own = np.repeat(letters == letter, 2, axis=1)
            angles = np.where(own, thermal_angles(model, states, measure=letter), angles)
        distinct, place, counts = np.unique(angles, axis=0, return_inverse=True, return_counts=True)
        circuit = self.device.transpiled(thermal_template(model.n_hidden, measure="Z"))
        hidden = np.empty((len(states), model.n_hidden), dtype=np.uint8)
        hidden[np.argsort(place.ravel(), kind="stable")] = self.device.measure_rows(
            [(circuit, distinct)], counts, "hidden", seed=int(rng.integers(1 << 63))
        )[0]
        return hidden, Usage(
            shots=len(states),
            kept_shots=len(states),
            depth=int(circuit.depth()),
            two_qubit_gates=int(circuit.num_nonlocal_gates()),
        )

    def _draw_visible(
        self, model: SqRBM, hidden: States, letters: Letters, rng: np.random.Generator
    ) -> tuple[States, Usage]:
        """Visible units (chains, n): a kept shot for every chain, from the circuit of its h."""
        names = ["".join(row) for row in letters]
        wanted: dict[tuple[str, bytes], list[int]] = {}
        for chain, name in enumerate(names):
            wanted.setdefault((name, hidden[chain].tobytes()), []).append(chain)
        reset = self.device.mid_circuit or self.device.ideal
        circuits = [
            clamped_circuit(
                model,
                np.frombuffer(bits, dtype=np.uint8),
                name,
                trotter_steps=self.trotter_steps,
                ancillas="reset" if reset else "fresh",
            )
            for name, bits in wanted
        ]
        outcomes, usage = kept_shots(
            self.device,
            circuits,
            [len(chains) for chains in wanted.values()],
            shots=self.shots,
            rng=rng,
        )
        visible = np.empty((len(hidden), model.n_visible), dtype=np.uint8)
        for chains, (bits, _) in zip(wanted.values(), outcomes, strict=True):
            visible[chains] = bits[: len(chains)]
        return visible, usage
