"""What circuits run on, by name: an ideal state vector, Aer, fake and real backends.

A :class:`Device` takes circuits and gives shots through the primitive ``BaseSamplerV2``; jobs that
fail are submitted again (:class:`Patience`). An ideal device need not draw every shot: see
:mod:`tnqbm.quantum.sampler`.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import is_whole
from tnqbm.base.errors import MissingExtraError
from tnqbm.core import streams
from tnqbm.quantum.conventions import bits_from_bit_array, need_qiskit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

FINAL = (TypeError, ValueError, NotImplementedError, MemoryError, MissingExtraError)
"""Errors about the request itself, which another attempt would repeat."""


@dataclass(frozen=True)
class Patience:
    """How long and how often a job is tried.

    Attributes
    ----------
    attempts : submissions at most, 1 or more.
    wait : seconds before the second attempt; doubled before each further one.
    time_limit : seconds that one attempt may take, queueing included; None: any. A job that
        takes longer is cancelled and counts as failed.

    Raises ValueError on values that are impossible.
    """

    attempts: int = 3
    wait: float = 2.0
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if not is_whole(self.attempts):
            raise ValueError(f"attempts must be a whole number, got {self.attempts!r}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        if not self.wait >= 0:
            raise ValueError(f"wait must be >= 0 seconds, got {self.wait!r}")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ValueError(f"time_limit must be above 0 seconds or None, got {self.time_limit!r}")


def run_job(
    submit: Callable[[], Any],
    patience: Patience | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """The result of the job that ``submit()`` returns, submitted again if it fails.

    Errors about the request itself (see ``FINAL``) are raised at once; after the last attempt a
    RuntimeError, or TimeoutError, with the last error as its cause. ``sleep`` and ``clock`` are
    those of :mod:`time` unless a test says otherwise.
    """
    patience = patience or Patience()
    for attempt in range(1, patience.attempts + 1):
        try:
            return _result(submit(), patience.time_limit, sleep, clock)
        except FINAL:
            raise
        except Exception as error:
            if attempt == patience.attempts:
                kind = TimeoutError if isinstance(error, TimeoutError) else RuntimeError
                times = "once" if attempt == 1 else f"{attempt} times"
                raise kind(f"the job failed {times}, the last time with: {error}") from error
        sleep(patience.wait * 2.0 ** (attempt - 1))
    raise AssertionError("unreachable")


def _result(
    job: Any, limit: float | None, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Any:
    if limit is None:
        return job.result()
    start, pause = clock(), 1e-3
    while not job.in_final_state():
        if clock() - start > limit:
            job.cancel()
            raise TimeoutError(f"no result within {limit:g} s; the job was cancelled")
        sleep(pause)
        pause = min(2.0 * pause, 5.0)
    return job.result()


Float = NDArray[np.float64]
Pub = tuple[Any, Float | None, int]
"""A circuit, the values of its parameters (..., parameters) or None, and shots for each row."""

NAMES = ("statevector", "aer", "aer:noisy")
PREFIXES = ("fake:", "ibm:")


def check_backend(name: object) -> str:
    """A name that :func:`open_device` knows; ValueError otherwise. Imports nothing."""
    if isinstance(name, str):
        if name in NAMES:
            return name
        if any(name.startswith(prefix) and name != prefix for prefix in PREFIXES):
            return name
    near = difflib.get_close_matches(str(name), NAMES, 1)
    hint = f"did you mean {near[0]!r}?" if near else "choose from " + ", ".join(NAMES)
    raise ValueError(
        f"backend: {name!r} is not known; {hint} (or 'fake:NAME' and 'ibm:NAME' for IBM's)"
    )


class Device:
    """Something that runs circuits.

    ``make_sampler(seed, qubits)`` returns a ``BaseSamplerV2`` for circuits of so many qubits, with
    the random numbers of ``seed`` where it has any; ``make_backend(qubits)`` what circuits are
    transpiled for, or None. ``ideal`` says that there is no noise, so that outcomes may be drawn
    from a distribution found exactly; ``mid_circuit`` that measurements may come before the end.
    """

    def __init__(
        self,
        name: str,
        make_sampler: Callable[[int, int], Any],
        make_backend: Callable[[int], Any] | None = None,
        *,
        ideal: bool = False,
        mid_circuit: bool = True,
        patience: Patience | None = None,
    ) -> None:
        self.name = name
        self.ideal, self.mid_circuit = ideal, mid_circuit
        self._make_sampler, self._make_backend = make_sampler, make_backend
        self._managers: dict[int, Any] = {}
        self._patience = patience or Patience()
        self.jobs = self.job_retries = 0
        """Jobs submitted so far, and those among them that another one had failed before."""

    @classmethod
    def of(
        cls,
        sampler: Any,
        *,
        backend: Any | None = None,
        mid_circuit: bool | None = None,
        patience: Patience | None = None,
    ) -> Device:
        """A device from a sampler of one's own, which keeps its own random numbers.

        ``backend`` is what circuits are transpiled for, None to leave them as they are.
        ``mid_circuit`` is found out where it is None: all samplers but Qiskit's StatevectorSampler
        measure before the end. TypeError on what is no BaseSamplerV2.
        """
        need_qiskit("a sampler")
        from qiskit.primitives import BaseSamplerV2, StatevectorSampler

        if not isinstance(sampler, BaseSamplerV2):
            raise TypeError(f"sampler must be a BaseSamplerV2, got {type(sampler).__name__}")
        if mid_circuit is None:
            mid_circuit = not isinstance(sampler, StatevectorSampler)
        return cls(
            type(sampler).__name__,
            lambda seed, qubits: sampler,
            None if backend is None else (lambda qubits: backend),
            mid_circuit=mid_circuit,
            patience=patience,
        )

    def transpiled(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit in the gates of the device, the same for equal circuits."""
        if self._make_backend is None:
            return circuit
        from qiskit.transpiler import generate_preset_pass_manager

        qubits = circuit.num_qubits
        if qubits not in self._managers:
            self._managers[qubits] = generate_preset_pass_manager(
                optimization_level=1, backend=self._make_backend(qubits), seed_transpiler=0
            )
        return self._managers[qubits].run(circuit)

    def run(self, pubs: Sequence[Pub], *, seed: int) -> list[Any]:
        """Data of a sampler's results, one for each of the transpiled circuits."""
        qubits = max(circuit.num_qubits for circuit, _, _ in pubs)

        before = self.jobs

        def submit() -> Any:
            self.job_retries += self.jobs > before
            self.jobs += 1
            # A new sampler: one that failed may have used up some of its random numbers.
            return self._make_sampler(seed, qubits).run(list(pubs))

        return [result.data for result in run_job(submit, self._patience)]

    def measure_rows(
        self,
        jobs: Sequence[tuple[QuantumCircuit, Float]],
        counts: NDArray[np.int64],
        register: str,
        *,
        seed: int,
    ) -> list[NDArray[np.uint8]]:
        """Outcomes of transpiled circuits with many rows of parameters.

        Each job is a circuit and its rows (U, parameters), of which row u is measured ``counts[u]``
        times. Returns for each job the bits of ``register``, (sum of counts, bits), row by row.
        """
        # A job has one number of shots for all its rows, so rows are sorted by what they need.
        groups = [np.flatnonzero(counts == count) for count in np.unique(counts)]
        pubs = [(c, rows[group], int(counts[group[0]])) for c, rows in jobs for group in groups]
        data = self.run(pubs, seed=seed)
        owner = np.repeat(np.arange(counts.size), counts)
        place = np.concatenate([np.flatnonzero(np.isin(owner, group)) for group in groups])
        outcomes = []
        for k in range(len(jobs)):
            own = data[k * len(groups) : (k + 1) * len(groups)]
            bits = np.concatenate([bits_from_bit_array(result[register]) for result in own])
            sorted_bits = np.empty_like(bits)
            sorted_bits[place] = bits
            outcomes.append(sorted_bits)
        return outcomes


def open_device(name: str, *, patience: Patience | None = None) -> Device:
    """The device of a name.

    "statevector" is noiseless; "aer" draws shots with Qiskit Aer, noiseless too; "aer:noisy" has
    the noise of a ``GenericBackendV2`` (all pairs of qubits coupled, as many as are needed);
    "fake:NAME" of one of IBM's fake backends such as FakeSherbrooke; "ibm:NAME" is a machine,
    through the account that is saved on this computer. Raises ValueError on other names and
    MissingExtraError where what is needed is not installed.
    """
    check_backend(name)
    need_qiskit(f"backend {name!r}")
    if name == "statevector":
        return Device(name, _statevector, ideal=True, mid_circuit=False, patience=patience)
    if name == "aer":
        _need_aer(name)
        return Device(name, _aer, _aer_backend, patience=patience)
    if name == "aer:noisy":
        _need_aer(name)
        return Device(name, _noisy, _generic, patience=patience)
    kind, _, own = name.partition(":")
    return (_fake if kind == "fake" else _ibm)(name, own, patience)


def _statevector(seed: int, qubits: int) -> Any:
    from qiskit.primitives import StatevectorSampler

    # With a number as its seed every circuit of a job would get the same random numbers.
    return StatevectorSampler(seed=streams.generator(seed))


def _aer(seed: int, qubits: int) -> Any:
    from qiskit_aer.primitives import SamplerV2

    return SamplerV2(seed=_small(seed), options={"backend_options": {"max_parallel_threads": 1}})


def _aer_backend(qubits: int) -> Any:
    from qiskit_aer import AerSimulator

    return AerSimulator()


def _generic(qubits: int) -> Any:
    from qiskit.providers.fake_provider import GenericBackendV2

    return GenericBackendV2(num_qubits=max(qubits, 2), seed=1)


def _noisy(seed: int, qubits: int) -> Any:
    return _noisy_sampler(_generic(qubits), seed)


def _noisy_sampler(backend: Any, seed: int) -> Any:
    from qiskit_aer import AerSimulator
    from qiskit_aer.primitives import SamplerV2

    simulator = AerSimulator.from_backend(backend, max_parallel_threads=1)
    return SamplerV2.from_backend(simulator, seed=_small(seed))


def _fake(name: str, own: str, patience: Patience | None) -> Device:
    _need_aer(name)
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise MissingExtraError("qiskit-ibm-runtime", "ibm", f"backend {name!r}") from error
    kind = getattr(fake_provider, own, None)
    if kind is None:
        raise ValueError(f"backend: qiskit_ibm_runtime.fake_provider has no {own!r}")
    backend = kind()
    return Device(
        name,
        lambda seed, qubits: _noisy_sampler(backend, seed),
        lambda qubits: backend,
        patience=patience,
    )


def _ibm(name: str, own: str, patience: Patience | None) -> Device:
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2
    except ImportError as error:
        raise MissingExtraError("qiskit-ibm-runtime", "ibm", f"backend {name!r}") from error
    backend = QiskitRuntimeService().backend(own)
    return Device(
        name,
        lambda seed, qubits: SamplerV2(mode=backend),
        lambda qubits: backend,
        patience=patience,
    )


def _need_aer(name: str) -> None:
    try:
        import qiskit_aer  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("qiskit-aer", "quantum", f"backend {name!r}") from error


def _small(seed: int) -> int:
    """A seed as Aer takes it."""
    return int(seed) & 0x7FFFFFFF
