"""The estimator "quantum": averages from shots of circuits (:mod:`tnqbm.quantum`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tnqbm.base.limits import MAX_COUNTS
from tnqbm.core.paulis import BASES, check_basis
from tnqbm.training.estimators import Context, GradientEstimator, GradientSettings, Size
from tnqbm.training.schema import Name, choice, whole

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

STRATEGIES = ("imaginary-time", "enhanced", "thermal", "pauli-cd", "pauli-pcd")
MEASURED_CHAINS = ("pauli-cd", "pauli-pcd")
"""Strategies whose chains measure hidden qubits in Pauli matrices."""


class QuantumGradient(GradientSettings):
    """Averages measured on circuits, see docs/quantum.md."""

    name: ClassVar[str] = "quantum"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "sqbm", "hamiltonian")
    alone: ClassVar[str] = "measures circuits"

    shots: Annotated[int, whole(16, MAX_COUNTS["shots"])] = Field(
        4096,
        description="shots for each Pauli matrix and update, up to 16 times as many where too few "
        "are kept",
    )
    trotter_steps: Annotated[int, whole(1, MAX_COUNTS["trotter_steps"])] = Field(
        2, description="steps of the product formula"
    )
    strategy: Annotated[str, choice(*STRATEGIES)] = Field(
        "imaginary-time",
        description="`imaginary-time`, `enhanced`, `thermal`, `pauli-cd` or `pauli-pcd`",
    )
    backend: Name = Field(
        "statevector", description="`statevector`, `aer`, `aer:noisy`, `fake:NAME` or `ibm:NAME`"
    )
    chains: Annotated[int, whole(1, MAX_COUNTS["chains"])] = Field(
        100, description="Markov chains, of strategies that have any"
    )
    steps: Annotated[int, whole(1, MAX_COUNTS["steps"])] = Field(
        1, description="moves of every chain per update"
    )
    basis: Annotated[str, choice(*BASES)] | None = Field(
        None,
        description="of `pauli-cd` and `pauli-pcd`: the Pauli matrix that is measured, `random` "
        "(one for each chain and move; the same without a basis) or `each` (one for each qubit, "
        "too)",
    )

    def check(self, size: Size, training: TrainingSettings) -> None:
        from tnqbm.quantum.conventions import need_qiskit
        from tnqbm.quantum.devices import check_backend

        check_backend(self.backend)
        need_qiskit("gradient 'quantum'")
        if self.has_chains and self.chains < 2:
            raise ValueError(f"chains = 1; strategy {self.strategy!r} needs at least 2")
        if self.basis is not None and self.strategy not in MEASURED_CHAINS:
            raise ValueError(
                f"basis: is for the strategies {' and '.join(map(repr, MEASURED_CHAINS))}, not for "
                f"{self.strategy!r}"
            )
        if self.basis is not None:
            check_basis(self.basis, size.paulis)

    @property
    def starts_at_data(self) -> bool:
        """Whether chains start at states of the data in every update."""
        return self.strategy == "pauli-cd"

    @property
    def accepts(self) -> bool:
        """Whether chains accept their moves or not."""
        return self.strategy in ("enhanced", "thermal")

    @property
    def has_chains(self) -> bool:
        """Whether the strategy keeps Markov chains from update to update."""
        return self.strategy != "imaginary-time"

    def cost(self, size: Size, training: TrainingSettings) -> float:
        if self.strategy == "enhanced":  # a move of all chains, by all proposal probabilities
            circuits = self.steps * (2.5e6 + 1.2 * 8.0 ** min(size.n_visible, 10))
        else:
            qubits = min(size.n_visible + size.n_hidden, 40)
            circuits = 4e7 + 30.0 * self.shots + 2e3 * 2.0**qubits
        return super().cost(size, training) + circuits

    def make(self, context: Context) -> GradientEstimator:
        from tnqbm.quantum.estimators import measured

        return measured(self, context)
