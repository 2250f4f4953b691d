"""Averages of an sqRBM from shots of quantum circuits.

Three strategies:

"imaginary-time"
    The Gibbs state of all qubits is prepared by post-selection (:mod:`tnqbm.quantum.gibbs`), once
    for each Pauli matrix of the hidden qubits, which is then measured on all of them. Biased by the
    Trotter error; the share of shots that are kept falls exponentially with the weights.
"enhanced"
    Visible states from quantum-enhanced Markov chains (:mod:`tnqbm.quantum.enhanced`), averages of
    the hidden qubits given them in closed form. No shot is lost, but chains need time.
"thermal"
    The same visible states, or a caller's samples; the hidden qubits are prepared in their thermal
    states and measured (:mod:`tnqbm.quantum.thermal`), a shot for each state and Pauli matrix.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.model import SqRBM, tanh_ratio
from tnqbm.moments import Moments
from tnqbm.quantum.devices import Device, open_device
from tnqbm.quantum.enhanced import EnhancedChain
from tnqbm.quantum.gibbs import GibbsCircuit, gibbs_circuit
from tnqbm.quantum.jobs import Patience
from tnqbm.quantum.postselection import MAX_QUBITS, postselect
from tnqbm.quantum.thermal import thermal_angles, thermal_template
from tnqbm.settings import STRATEGIES
from tnqbm.states import as_states, spins, states_of

if TYPE_CHECKING:
    from qiskit.primitives import BaseSamplerV2

Float = NDArray[np.float64]
States = NDArray[np.uint8]

MIN_KEPT = 16
"""Fewest kept shots of a Pauli matrix from which averages are made."""


@dataclass(frozen=True)
class Measured:
    """Averages from shots.

    Attributes
    ----------
    moments, standard_errors : the averages and their standard errors, from shot noise alone: the
        Trotter error and noise of the device are not in them.
    shots, kept : shots in all, and those that survived post-selection (or all, without any).
    depth, two_qubit_gates : of the largest circuit as it was run.
    states : (chains, n) where the chains stopped, for the next call; None without chains.
    accepted : share of the chains' proposals that were accepted; nan without chains.
    """

    moments: Moments
    standard_errors: Moments
    shots: int
    kept: int
    depth: int
    two_qubit_gates: int
    states: States | None = None
    accepted: float = float("nan")

    @property
    def success(self) -> float:
        """Share of the shots that was kept."""
        return self.kept / self.shots


class QiskitGibbs:
    """Averages of sqRBMs measured on a quantum computer, or on what stands in for one.

    Parameters
    ----------
    sampler : any ``BaseSamplerV2``, which keeps its own random numbers; None opens ``backend``.
    backend : with ``sampler`` the backend to transpile for, or None; else a name, see
        :func:`tnqbm.quantum.open_device`. On "statevector" circuits of up to 20 qubits are followed
        gate by gate, and the shots drawn from the outcomes, which is the same in law.
    strategy : "imaginary-time", "enhanced" or "thermal".
    shots : of "imaginary-time" for each Pauli matrix.
    trotter_steps : of "imaginary-time", in second order.
    chains, moves, burn_in : of the other two: number of chains, moves after which states are
        averaged over, and moves before them where the chains start anew. chains * (moves +
        burn_in) shots.
    seed : root of all random numbers.
    patience : attempts and time limit of jobs.

    Raises ValueError and TypeError on what does not fit, MissingExtraError without Qiskit.
    """

    def __init__(
        self,
        sampler: BaseSamplerV2 | None = None,
        *,
        backend: Any = None,
        strategy: str = "imaginary-time",
        shots: int = 4096,
        trotter_steps: int = 2,
        chains: int = 100,
        moves: int = 40,
        burn_in: int = 20,
        seed: int = 0,
        patience: Patience | None = None,
    ) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy: {strategy!r} is not one of {', '.join(STRATEGIES)}")
        least = {"shots": (shots, MIN_KEPT), "trotter_steps": (trotter_steps, 1)}
        least |= {"chains": (chains, 2), "moves": (moves, 1), "burn_in": (burn_in, 0)}
        for name, (value, low) in least.items():
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
                raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
        if sampler is None:
            self.device = open_device(backend or "statevector", patience=patience)
        else:
            self.device = Device.of(sampler, backend=backend, patience=patience)
        self.strategy = strategy
        self._shots, self._steps = int(shots), int(trotter_steps)
        self._chains, self._moves, self._burn_in = int(chains), int(moves), int(burn_in)
        self._root = np.random.SeedSequence(seed)

    def moments(
        self,
        model: SqRBM,
        *,
        states: ArrayLike | None = None,
        samples: ArrayLike | None = None,
        seed: np.random.SeedSequence | None = None,
    ) -> Measured:
        """Averages under a model.

        Parameters
        ----------
        states : (chains, n), two or more: where the chains start, without burn-in.
        samples : (K, n), two or more, of "thermal": independent samples of the visible units from
            elsewhere, to be used instead of chains.
        seed : of this call; by default every call gets random numbers of its own.

        Raises RuntimeError where too few shots survive post-selection.
        """
        seed = seed or self._root.spawn(1)[0]
        start = None if states is None else _rows("states", states, model.n_visible)
        given = None if samples is None else _rows("samples", samples, model.n_visible)
        if start is not None and (given is not None or self.strategy == "imaginary-time"):
            raise ValueError("states are where chains start, and there are no chains here")
        if given is not None and self.strategy != "thermal":
            raise ValueError(f"strategy {self.strategy!r} takes no samples; 'thermal' does")
        if self.strategy == "imaginary-time":
            return self._imaginary_time(model, np.random.default_rng(seed))
        chains, hidden = seed.spawn(2)
        if given is not None:
            return self._thermal(model, given[None], np.random.default_rng(hidden))
        visited, last = self._run_chains(model, start, chains)
        if self.strategy == "enhanced":
            return _averaged(model, visited, last)
        found = self._thermal(model, visited, np.random.default_rng(hidden))
        return dataclasses.replace(
            found,
            shots=found.shots + last.shots,
            kept=found.kept + last.kept,
            states=last.states,
            accepted=last.accepted,
            depth=max(found.depth, last.depth),
            two_qubit_gates=max(found.two_qubit_gates, last.two_qubit_gates),
        )

    # --- imaginary time ------------------------------------------------------------------------

    def _imaginary_time(self, model: SqRBM, rng: np.random.Generator) -> Measured:
        hamiltonian, letters = model.hamiltonian(), model.paulis
        reset = self.device.mid_circuit or self.device.ideal
        circuits = [
            gibbs_circuit(
                hamiltonian,
                trotter_steps=self._steps,
                measure=letter,
                ancillas="reset" if reset else "fresh",
            )
            for letter in letters
        ]
        if self.device.ideal and circuits[0].circuit.num_qubits <= MAX_QUBITS:
            outcomes = [_ideal_shots(made, self._shots, rng) for made in circuits]
            run = [made.circuit for made in circuits]
        else:
            if self.device.ideal:
                raise MemoryError(
                    f"the circuit has {circuits[0].circuit.num_qubits} qubits, more than the "
                    f"{MAX_QUBITS} of backend 'statevector'; use 'aer', or strategy 'enhanced'"
                )
            run = [self.device.transpiled(made.circuit) for made in circuits]
            key = int(rng.integers(1 << 63))
            data = self.device.run([(circuit, None, self._shots) for circuit in run], seed=key)
            outcomes = [made.accepted(one) for made, one in zip(circuits, data, strict=True)]
        for letter, made, (visible, _) in zip(letters, circuits, outcomes, strict=True):
            if len(visible) < MIN_KEPT:
                raise RuntimeError(
                    f"only {len(visible)} of {self._shots} shots survived post-selection where "
                    f"{letter} was measured ({made.success_probability:.1e} of them are expected "
                    f"to); at least {MIN_KEPT} are needed. Take more shots, keep the weights "
                    "small (weight_decay, a smaller scale), or use strategy 'enhanced'"
                )
        kept = sum(len(visible) for visible, _ in outcomes)
        moments, errors = _from_outcomes([(spins(v), spins(h)) for v, h in outcomes])
        return Measured(
            moments,
            errors,
            shots=self._shots * len(letters),
            kept=kept,
            depth=max(circuit.depth() for circuit in run),
            two_qubit_gates=max(circuit.num_nonlocal_gates() for circuit in run),
        )

    # --- chains --------------------------------------------------------------------------------

    def _run_chains(
        self, model: SqRBM, start: States | None, seed: np.random.SeedSequence
    ) -> tuple[States, Measured]:
        """States after each move that counts, (moves, chains, n), and a report without averages."""
        first, *others = seed.spawn(1 + self._burn_in + self._moves)
        burn_in = 0
        if start is None:
            rng = np.random.default_rng(first)
            start = rng.integers(0, 2, (self._chains, model.n_visible), dtype=np.uint8)
            burn_in = self._burn_in
        chain = EnhancedChain(self.device)
        visited, accepted, depth, gates, states = [], [], 0, 0, start
        for k, key in enumerate(others[: burn_in + self._moves]):
            moved = chain.move(model, states, seed=key)
            states = moved.states
            depth, gates = max(depth, moved.depth), max(gates, moved.two_qubit_gates)
            if k >= burn_in:
                visited.append(states)
                accepted.append(moved.accepted)
        shots = len(start) * (burn_in + self._moves)
        empty = Moments(np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0)))
        report = Measured(
            empty, empty, shots, shots, depth, gates, states, float(np.mean(accepted))
        )
        return np.stack(visited), report

    def _thermal(self, model: SqRBM, visited: States, rng: np.random.Generator) -> Measured:
        """Hidden qubits measured once for each state of (moves, chains, n) and each Pauli."""
        moves, chains, n = visited.shape
        distinct, place, counts = np.unique(
            visited.reshape(-1, n), axis=0, return_inverse=True, return_counts=True
        )
        order = np.argsort(place.ravel(), kind="stable")
        circuits = [
            self.device.transpiled(thermal_template(model.n_hidden, measure=letter))
            for letter in model.paulis
        ]
        jobs = [
            (circuit, thermal_angles(model, distinct, measure=letter))
            for circuit, letter in zip(circuits, model.paulis, strict=True)
        ]
        key = int(rng.integers(1 << 63))
        s = spins(visited)
        outcomes = []
        for bits in self.device.measure_rows(jobs, counts, "hidden", seed=key):
            hidden = np.empty((moves * chains, model.n_hidden))
            hidden[order] = spins(bits)
            outcomes.append(hidden.reshape(moves, chains, -1))
        moments, errors = _over_chains(s, np.stack(outcomes))
        return Measured(
            moments,
            errors,
            shots=len(model.paulis) * moves * chains,
            kept=len(model.paulis) * moves * chains,
            depth=max(circuit.depth() for circuit in circuits),
            two_qubit_gates=max(circuit.num_nonlocal_gates() for circuit in circuits),
        )


def _rows(name: str, states: ArrayLike, n: int) -> States:
    rows = as_states(states, n)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"{name} must be (K, {n}) with K >= 2, got {rows.shape}")
    return rows


def _ideal_shots(made: GibbsCircuit, shots: int, rng: np.random.Generator) -> tuple[States, States]:
    """Kept shots of a noiseless circuit: visible and hidden bits."""
    found = postselect(made)
    flat = np.clip(found.probabilities.ravel(), 0.0, None)
    kept = rng.binomial(shots, min(found.success, 1.0))
    index = rng.choice(flat.size, size=kept, p=flat / flat.sum())
    n, q = made.trotterised.n_visible, made.trotterised.n_qubits
    bits = states_of(index.astype(np.int64), q)
    return bits[:, :n], bits[:, n:]


def _from_outcomes(outcomes: list[tuple[Float, Float]]) -> tuple[Moments, Moments]:
    """Averages and errors from spins (K, n) and (K, m) of independent shots, one pair a Pauli."""
    every = np.concatenate([s for s, _ in outcomes])
    sigma = [h.mean(axis=0) for _, h in outcomes]
    zsigma = [s.T @ h / len(s) for s, h in outcomes]
    moments = Moments(every.mean(axis=0), np.stack(sigma), np.stack(zsigma))
    counts = np.array([len(s) for s, _ in outcomes], dtype=np.float64)
    return moments, Moments(
        _sign_error(moments.z, np.float64(len(every))),
        _sign_error(moments.sigma, counts[:, None]),
        _sign_error(moments.zsigma, counts[:, None, None]),
    )


def _sign_error(mean: Float, count: Any) -> Float:
    """Standard error of the mean of +1 and -1, not 0 where all were alike: one more of each."""
    shrunk = mean * count / (count + 2.0)
    return np.asarray(np.sqrt((1.0 - shrunk**2) / count))


def _averaged(model: SqRBM, visited: States, report: Measured) -> Measured:
    """Averages over visible states (moves, chains, n), hidden qubits in closed form."""
    phi = model.fields(visited)
    hidden = -tanh_ratio(np.linalg.norm(phi, axis=-2))[..., None, :] * phi
    moments, errors = _over_chains(spins(visited), np.moveaxis(hidden, -2, 0))
    return dataclasses.replace(report, moments=moments, standard_errors=errors)


def _over_chains(s: Float, hidden: Float) -> tuple[Moments, Moments]:
    """Averages and errors from spins (moves, chains, n) and hidden averages (P, moves, chains, m).

    The means of the chains are independent of each other, whatever happens along one of them.
    """
    moves, chains, _ = s.shape
    parts = Moments(
        s.mean(axis=0),
        hidden.mean(axis=1).swapaxes(0, 1),
        np.einsum("tci,ptcj->cpij", s, hidden) / moves,
    )
    root = np.sqrt(chains)
    return (
        Moments(*(part.mean(axis=0) for part in parts)),
        Moments(*(part.std(axis=0, ddof=1) / root for part in parts)),
    )
