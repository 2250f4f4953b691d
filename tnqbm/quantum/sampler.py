"""Averages of sqRBMs and of general Hamiltonians from shots of quantum circuits.

Three strategies for sqRBMs, of which the first is also that of Hamiltonians of any kind:

"imaginary-time"
    The Gibbs state of all qubits is prepared by post-selection (:mod:`tnqbm.quantum.gibbs`), once
    for each Pauli matrix of the hidden qubits, which is then measured on all of them. Biased by the
    Trotter error; the share of shots that are kept falls exponentially with the weights.
"enhanced"
    Visible states from quantum-enhanced Markov chains (:mod:`tnqbm.quantum.enhanced`), averages of
    the hidden qubits given them in closed form. No shot is lost, but chains need time.
"pauli-cd", "pauli-pcd"
    Visible states from chains that measure the hidden qubits in Pauli matrices and draw the visible
    ones given the outcomes (:mod:`tnqbm.quantum.pauli_chain`), averages of the hidden qubits given
    them in closed form. The same moves; in training the first start at the data in every update,
    the second go on.
"thermal"
    The visible states of "enhanced", or a caller's samples; the hidden qubits are prepared in their
    thermal states and measured (:mod:`tnqbm.quantum.thermal`), a shot for each state and Pauli
    matrix. Also for sqBMs with hidden groups, whose visible states a caller has to give.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import is_whole
from tnqbm.base.text import short_repr
from tnqbm.core import fields, streams
from tnqbm.core.model import SqRBM
from tnqbm.core.moments import Moments
from tnqbm.core.states import as_states, spins
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.devices import Device, Patience, open_device
from tnqbm.quantum.enhanced import GAMMA, TIME, EnhancedChain
from tnqbm.quantum.group_averages import thermal_averages
from tnqbm.quantum.group_settings import hidden_settings
from tnqbm.quantum.imaginary_time import (
    MIN_KEPT,
    PauliAverages,
    gibbs_shots,
    measured_averages,
    sign_error,
)
from tnqbm.quantum.pauli_chain import PauliChain
from tnqbm.quantum.settings import MEASURED_CHAINS, STRATEGIES
from tnqbm.quantum.thermal import thermal_angles, thermal_template
from tnqbm.quantum.usage import Usage

if TYPE_CHECKING:
    from qiskit.primitives import BaseSamplerV2

Float = NDArray[np.float64]
States = NDArray[np.uint8]


@short_repr
@dataclass(frozen=True, kw_only=True)
class MeasuredMoments(Usage):
    """Averages from shots, and what they used (the fields of :class:`Usage`).

    Attributes
    ----------
    moments, standard_errors : the averages and their standard errors, from shot noise alone: the
        Trotter error and noise of the device are not in them.
    states : (chains, n) where the chains stopped, for the next call; None without chains.
    """

    moments: Moments
    standard_errors: Moments
    states: States | None = None


class QiskitGibbs:
    """Averages measured on a quantum computer or a simulator.

    Parameters
    ----------
    sampler : any ``BaseSamplerV2``, which keeps its own random numbers; None opens ``backend``.
    backend : with ``sampler`` the backend to transpile for, or None; else a name, see
        :func:`tnqbm.quantum.open_device`. On "statevector" circuits of up to 20 qubits are followed
        gate by gate, and the shots drawn from the outcomes, which is the same in law.
    strategy : "imaginary-time", "enhanced", "thermal", "pauli-cd" or "pauli-pcd".
    shots : of "imaginary-time" for each Pauli matrix (or group of strings), of "pauli-cd" and
        "pauli-pcd" for all chains with the same outcomes. Where too few are kept (16, or one for
        each chain), up to 16 times as many are taken.
    trotter_steps : of circuits with imaginary time, in second order.
    basis : of "pauli-cd" and "pauli-pcd", see :data:`tnqbm.core.paulis.BASES`; None is "random".
    chains, moves, burn_in : of strategies with chains: number of chains, moves after which states
        are averaged over, and moves before them where the chains start anew. "enhanced" takes
        chains * (moves + burn_in) shots.
    time, gamma : ranges of the chains' evolution time and transverse field, see
        :class:`tnqbm.quantum.EnhancedChain`; the defaults are those of Layden et al.
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
        basis: str | None = None,
        chains: int = 100,
        moves: int = 40,
        burn_in: int = 20,
        time: tuple[float, float] = TIME,
        gamma: tuple[float, float] = GAMMA,
        seed: int = 0,
        patience: Patience | None = None,
    ) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy: {strategy!r} is not one of {', '.join(STRATEGIES)}")
        least = {"shots": (shots, MIN_KEPT), "trotter_steps": (trotter_steps, 1)}
        least |= {"chains": (chains, 2), "moves": (moves, 1), "burn_in": (burn_in, 0)}
        for name, (value, low) in least.items():
            if not is_whole(value) or value < low:
                raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
        if sampler is None:
            self.device = open_device(backend or "statevector", patience=patience)
        else:
            self.device = Device.of(sampler, backend=backend, patience=patience)
        self.strategy = strategy
        self._shots, self._steps = int(shots), int(trotter_steps)
        self._chains, self._moves, self._burn_in = int(chains), int(moves), int(burn_in)
        self._chain: EnhancedChain | PauliChain = EnhancedChain(self.device, time=time, gamma=gamma)
        if strategy in MEASURED_CHAINS:
            self._chain = PauliChain(
                self.device, self._shots, self._steps, "random" if basis is None else basis
            )
        elif basis is not None:
            raise ValueError(
                f"basis is for the strategies {' and '.join(map(repr, MEASURED_CHAINS))}, not for "
                f"{strategy!r}"
            )
        self._root = streams.sequence(seed)

    def measure_moments(
        self,
        model: SqRBM,
        *,
        states: ArrayLike | None = None,
        samples: ArrayLike | None = None,
        seed: np.random.SeedSequence | None = None,
    ) -> MeasuredMoments:
        """Averages under a model.

        Parameters
        ----------
        states : (chains, n), two or more: where the chains start, without burn-in.
        samples : (K, n), two or more, of "thermal": independent samples of the visible units from
            elsewhere, to be used instead of chains.
        seed : of this call; by default every call gets random numbers of its own.

        Raises TooFewShotsError (a RuntimeError) where too few shots survive post-selection.
        """
        seed = seed or self._root.spawn(1)[0]
        start = None if states is None else _rows("states", states, model.n_visible)
        given = None if samples is None else _rows("samples", samples, model.n_visible)
        if start is not None and (given is not None or self.strategy == "imaginary-time"):
            raise ValueError("states are where chains start, and there are no chains here")
        if given is not None and self.strategy != "thermal":
            raise ValueError(f"strategy {self.strategy!r} takes no samples; 'thermal' does")
        before = self.device.jobs, self.device.job_retries
        measured = self._moments(model, start, given, seed)
        return dataclasses.replace(measured, **self._jobs_since(before))

    def _moments(
        self,
        model: SqRBM,
        start: States | None,
        given: States | None,
        seed: np.random.SeedSequence,
    ) -> MeasuredMoments:
        if self.strategy == "imaginary-time":
            return self._imaginary_time(model, streams.generator(seed))
        chains, hidden = seed.spawn(2)
        if given is not None:
            return self._thermal(model, given[None], streams.generator(hidden))
        visited, usage = self._run_chains(model, start, chains)
        last = visited[-1]
        if self.strategy != "thermal":
            return _averaged(model, visited, usage)
        measured = self._thermal(model, visited, streams.generator(hidden))
        return dataclasses.replace(measured, states=last, **(usage + measured).counts)

    def expectations(
        self,
        hamiltonian: PauliHamiltonian | SqBM,
        paulis: Iterable[str] | None = None,
        *,
        samples: ArrayLike | None = None,
        seed: np.random.SeedSequence | None = None,
    ) -> dict[str, tuple[float, float]]:
        """{string: (expectation, standard error)} in the Gibbs state of any Hamiltonian.

        ``paulis`` are strings over all qubits, by default the terms of the Hamiltonian. See
        :meth:`measure_paulis` for the rest.
        """
        return dict(self.measure_paulis(hamiltonian, paulis, samples=samples, seed=seed).values)

    def measure_paulis(
        self,
        hamiltonian: PauliHamiltonian | SqBM,
        paulis: Iterable[str] | None = None,
        *,
        samples: ArrayLike | None = None,
        seed: np.random.SeedSequence | None = None,
    ) -> PauliAverages:
        """As :meth:`expectations`, with the shots and jobs used.

        By imaginary time, with ``shots`` for each group of strings that commute qubit by qubit; or,
        with the strategy "thermal", the hidden groups of an SqBM given ``samples`` (K, n), K >= 2,
        independent samples of its visible units from elsewhere, one shot for each of them and
        group of strings. Raises ValueError on another strategy and on wrong strings, and
        TooFewShotsError (a RuntimeError) where too few shots survive post-selection.
        """
        if not isinstance(hamiltonian, PauliHamiltonian | SqBM):
            raise TypeError(
                f"expected a PauliHamiltonian or an SqBM, got {type(hamiltonian).__name__}; for an "
                "SqRBM use measure_moments, or PauliHamiltonian.from_sqrbm(model)"
            )
        thermal = self.strategy == "thermal" and isinstance(hamiltonian, SqBM)
        if not thermal and self.strategy != "imaginary-time":
            raise ValueError(
                f"strategy {self.strategy!r} is for sqRBMs; Hamiltonians need 'imaginary-time', "
                "SqBMs that or 'thermal'"
            )
        if thermal != (samples is not None):
            raise ValueError(
                "strategy 'thermal' needs samples of the visible units, and no other takes any"
            )
        rng = streams.generator(seed or self._root.spawn(1)[0])
        before = self.device.jobs, self.device.job_retries
        if thermal and samples is not None and isinstance(hamiltonian, SqBM):
            rows = _rows("samples", samples, hamiltonian.n_visible)
            wanted = hamiltonian.to_hamiltonian().terms if paulis is None else paulis
            measured = thermal_averages(self.device, hamiltonian, wanted, rows, rng=rng)
        else:
            settings: list[str] = []
            if isinstance(hamiltonian, SqBM):
                n, settings = hamiltonian.n_visible, hidden_settings(hamiltonian)
                settings = ["Z" * n + each for each in settings]
                hamiltonian = hamiltonian.to_hamiltonian()
            measured = measured_averages(
                self.device,
                hamiltonian,
                hamiltonian.terms if paulis is None else paulis,
                shots=self._shots,
                trotter_steps=self._steps,
                rng=rng,
                settings=settings,
            )
        return dataclasses.replace(measured, **self._jobs_since(before))

    def _jobs_since(self, before: tuple[int, int]) -> dict[str, Any]:
        device = self.device
        return {"jobs": device.jobs - before[0], "job_retries": device.job_retries - before[1]}

    # --- imaginary time ------------------------------------------------------------------------

    def _imaginary_time(self, model: SqRBM, rng: np.random.Generator) -> MeasuredMoments:
        outcomes, usage = gibbs_shots(
            self.device,
            PauliHamiltonian.from_sqrbm(model),
            model.paulis,
            shots=self._shots,
            trotter_steps=self._steps,
            rng=rng,
        )
        moments, errors = _from_outcomes([(spins(v), spins(h)) for v, h in outcomes])
        return MeasuredMoments(moments=moments, standard_errors=errors, **usage.counts)

    # --- chains --------------------------------------------------------------------------------

    def _run_chains(
        self, model: SqRBM, start: States | None, seed: np.random.SeedSequence
    ) -> tuple[States, Usage]:
        """States after each move that counts, (moves, chains, n), and what they took."""
        first, *others = seed.spawn(1 + self._burn_in + self._moves)
        burn_in = 0
        if start is None:
            rng = streams.generator(first)
            start = rng.integers(0, 2, (self._chains, model.n_visible), dtype=np.uint8)
            burn_in = self._burn_in
        visited, usage, states = [], Usage(), start
        for k, key in enumerate(others[: burn_in + self._moves]):
            moved = self._chain.move(model, states, seed=key)
            states = moved.states
            took = Usage(**moved.counts)
            if k >= burn_in:
                visited.append(states)
            else:
                took = dataclasses.replace(took, proposals=0, accepted=0)
            usage += took
        return np.stack(visited), usage

    def _thermal(self, model: SqRBM, visited: States, rng: np.random.Generator) -> MeasuredMoments:
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
        return MeasuredMoments(
            moments=moments,
            standard_errors=errors,
            shots=len(model.paulis) * moves * chains,
            kept_shots=len(model.paulis) * moves * chains,
            depth=max(circuit.depth() for circuit in circuits),
            two_qubit_gates=max(circuit.num_nonlocal_gates() for circuit in circuits),
        )


def _rows(name: str, states: ArrayLike, n: int) -> States:
    rows = as_states(states, n)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"{name} must be (K, {n}) with K >= 2, got {rows.shape}")
    return rows


def _from_outcomes(outcomes: list[tuple[Float, Float]]) -> tuple[Moments, Moments]:
    """Averages and errors from spins (K, n) and (K, m) of independent shots, one pair a Pauli."""
    every = np.concatenate([s for s, _ in outcomes])
    sigma = [h.mean(axis=0) for _, h in outcomes]
    zsigma = [s.T @ h / len(s) for s, h in outcomes]
    moments = Moments(every.mean(axis=0), np.stack(sigma), np.stack(zsigma))
    counts = np.array([len(s) for s, _ in outcomes], dtype=np.float64)
    return moments, Moments(
        sign_error(moments.z, len(every)),
        sign_error(moments.sigma, counts[:, None]),
        sign_error(moments.zsigma, counts[:, None, None]),
    )


def _averaged(model: SqRBM, visited: States, usage: Usage) -> MeasuredMoments:
    """Averages over visible states (moves, chains, n), hidden qubits in closed form."""
    hidden = fields.averages(model.fields(visited), -2)
    moments, errors = _over_chains(spins(visited), np.moveaxis(hidden, -2, 0))
    return MeasuredMoments(
        moments=moments, standard_errors=errors, states=visited[-1], **usage.counts
    )


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
