"""Resources for training on a quantum computer, without building or running a circuit.

Qubits, gates and depth are those of the circuits of this package: imaginary time with
post-selection (:mod:`tnqbm.quantum.gibbs`), or the hidden qubits alone given visible states that
are sampled classically (:mod:`tnqbm.quantum.thermal`). The number of shots follows from the share
of them that is kept, which follows from log Z, and from the variance of what is measured.

Nothing here needs Qiskit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tnqbm.base.arguments import check_choice, is_whole
from tnqbm.core.connectivity import named
from tnqbm.core.model import SqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.quantum.bounds import known_log_partition
from tnqbm.quantum.formulas import Formula, ProductFormula, TermFormula
from tnqbm.quantum.gate_counts import COUPLING_MAPS, Counts, count_gibbs, count_thermal
from tnqbm.quantum.group_settings import hidden_settings

Strategy = Literal["imaginary-time", "thermal"]
LogZ = float | Literal["auto", "bound"]

STRATEGIES = ("imaginary-time", "thermal")
READOUTS = ("measured", "closed form")


@dataclass(frozen=True)
class RandomModel:
    """A model given by its size, with parameters drawn uniformly from [-scale, scale].

    ``connectivity`` is "dense" or a name such as "line-4", see
    :func:`tnqbm.core.connectivity.named`. The paper starts training from ``scale = 1``.
    """

    n_visible: int
    n_hidden: int
    paulis: str = "XYZ"
    scale: float = 1.0
    seed: int = 0
    connectivity: str = "dense"

    def draw(self) -> SqRBM:
        """The model; it is, the same for the same seed. ValueError if there is none."""
        n, m = self.n_visible, self.n_hidden
        if n < 1 or m < 0:
            raise ValueError(f"need n >= 1 visible and m >= 0 hidden units, got n = {n}, m = {m}")
        mask = named(self.connectivity, n, m)
        return SqRBM.uniform(n, m, self.paulis, scale=self.scale, seed=self.seed, mask=mask)


@dataclass(frozen=True)
class Resources:
    """What :func:`estimate` found.

    Attributes
    ----------
    n_visible, n_hidden, paulis, n_parameters : of the model.
    strategy, trotter_steps, order, ancillas, hidden_start, coupling_map, readout, target_error :
        as asked for. The thermal strategy has no Trotter steps: 0.
    measure : Pauli matrix measured on the hidden qubits in the circuit that is counted, the one of
        the longest circuit.
    settings : circuits that differ in what they measure: one for each Pauli matrix, and of sqBMs
        with groups as many as their pairs of qubits need.
    qubits : partners and ancillas included.
    factors : exponentials carried out by post-selection.
    gates : operations of one circuit by Qiskit's name, swaps left out.
    swaps : added for the coupling_map; a bound from above.
    two_qubit_gates : operations on two qubits of one circuit as it is built, a CRY or a swap one;
        so do runs count (:class:`tnqbm.quantum.usage.Usage`) whose device takes these operations.
    cx_gates : CX gates of one circuit after decomposition, two for a CRY, three for a swap.
    depth : of one circuit, measurements included, CRY as one operation, a swap as three.
        Thermal circuits of groups have state preparations and unitaries of several qubits: one
        operation each in ``gates`` and ``depth``, at most their CX in ``two_qubit_gates`` and
        ``cx_gates``, and no swaps inside them are counted.
    log_partition, log_partition_kind : log Z of the model, "exact", "lower bound" or "given";
        nan and "not needed" for the thermal strategy.
    log_success : log of the share of shots that are kept, up to the Trotter error; a bound from
        below where log Z is.
    kept_shots : shots that must be kept, of all settings together.
    """

    n_visible: int
    n_hidden: int
    paulis: str
    n_parameters: int
    strategy: str
    trotter_steps: int
    order: int
    ancillas: str
    hidden_start: str
    coupling_map: str
    readout: str
    measure: str
    settings: int
    qubits: int
    factors: int
    gates: dict[str, int]
    swaps: int
    two_qubit_gates: int
    cx_gates: int
    depth: int
    log_partition: float
    log_partition_kind: str
    log_success: float
    target_error: float
    kept_shots: float

    @property
    def success_probability(self) -> float:
        """Share of shots that are kept; 0 where it is below what a float can hold."""
        return math.exp(self.log_success)

    @property
    def log10_shots(self) -> float:
        """Logarithm to base 10 of :attr:`shots`, finite where that is not."""
        return math.log10(self.kept_shots) - self.log_success / math.log(10.0)

    @property
    def shots(self) -> float:
        """Shots for the negative phase of one gradient, discarded ones included; inf above 1e308.

        A bound from above where log Z is one from below.
        """
        return 10.0**self.log10_shots if self.log10_shots < 308.0 else math.inf

    def as_dict(self) -> dict[str, Any]:
        """All of it in types that JSON knows."""
        return {
            **asdict(self),
            "success_probability": self.success_probability,
            "shots": self.shots,
            "log10_shots": self.log10_shots,
        }


def estimate(
    model: SqRBM | SqBM | RandomModel,
    *,
    strategy: Strategy = "imaginary-time",
    trotter_steps: int = 4,
    order: int = 2,
    target_error: float = 0.01,
    coupling_map: str = "all-to-all",
    ancillas: str = "reset",
    hidden_start: str = "bell",
    readout: str = "measured",
    log_partition: LogZ = "auto",
) -> Resources:
    """Resources for one gradient of the log-likelihood, each entry to ``target_error``.

    The averages <s_i>, <sigma_j> and <s_i sigma_j> of the negative phase are means of outcomes +-1,
    of variance 1 at most, so that 1 / target_error**2 kept shots are enough for a standard error of
    ``target_error`` in each entry. The positive phase is known in closed form.

    Parameters
    ----------
    strategy : "imaginary-time": the Gibbs state of all qubits, most shots discarded. "thermal": the
        hidden qubits only, one visible state a shot, which a classical sampler provides (its cost
        is not counted, nor is a correlation of its samples).
    trotter_steps, order, ancillas, hidden_start : of the circuit, as in
        :func:`tnqbm.quantum.gibbs_circuit`.
    coupling_map : "all-to-all", "line" or "grid" (as square as can be), see
        :func:`tnqbm.quantum.gate_counts.count_gibbs`.
    readout : "measured": one circuit for each Pauli matrix of the model, each run as often.
        "closed form": visible bits only, the averages of the hidden qubits calculated from them
        (|<sigma_j>_v| <= 1, so the bound on the variance stays).
    log_partition : log Z if it is known (from :func:`mc.log_partition`, say), "auto" for the exact
        one if that takes seconds and a lower bound otherwise, or "bound".

    Raises ValueError or TypeError on what does not fit, before any work.
    """
    check_choice("strategy", strategy, STRATEGIES)
    check_choice("coupling_map", coupling_map, COUPLING_MAPS)
    check_choice("ancillas", ancillas, ("reset", "fresh"))
    check_choice("hidden_start", hidden_start, ("bell", "basis"))
    check_choice("readout", readout, READOUTS)
    if not is_whole(trotter_steps) or trotter_steps < 1:
        raise ValueError(f"trotter_steps must be a whole number >= 1, got {trotter_steps!r}")
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    if not (math.isfinite(target_error) and target_error > 0):
        raise ValueError(f"target_error must be a number > 0, got {target_error!r}")
    if isinstance(log_partition, str):
        check_choice("log_partition", log_partition, ("auto", "bound"))
    elif not math.isfinite(log_partition):
        raise ValueError(f"log_partition must be finite, got {log_partition!r}")
    if not isinstance(model, SqRBM | SqBM | RandomModel):
        raise TypeError(
            f"model must be an SqRBM, an SqBM or a RandomModel, got {type(model).__name__}"
        )
    made = model.draw() if isinstance(model, RandomModel) else model
    m = made.n_hidden
    thermal = strategy == "thermal"
    if thermal and readout == "closed form":
        raise ValueError('the thermal strategy measures hidden qubits; use readout="measured"')

    measured = readout == "measured" and m > 0
    measure = max(made.paulis, key="ZXY".index) if measured and not thermal else "Z"
    counts: Counts
    if thermal:
        counts, factors, success = count_thermal(_sizes(made)), 0, 0.0
        log_z, kind = math.nan, "not needed"
        trotter_steps = order = 0
    else:
        formula = _formula(made, trotter_steps, order)
        factors = formula.n_factors
        counts = count_gibbs(
            formula,
            measure=measure,
            ancillas=ancillas,
            hidden_start=hidden_start,
            coupling_map=coupling_map,
        )
        log_z, kind = known_log_partition(made, log_partition)
        success = min(formula.log_success(log_z), 0.0)
    settings = _settings(made) if measured else 1
    return Resources(
        n_visible=made.n_visible,
        n_hidden=m,
        paulis=made.paulis,
        n_parameters=made.n_parameters,
        strategy=strategy,
        trotter_steps=trotter_steps,
        order=order,
        ancillas="none" if thermal else ancillas,
        hidden_start="bell" if thermal else hidden_start,
        coupling_map=coupling_map,
        readout=readout,
        measure=measure,
        settings=settings,
        qubits=counts.qubits,
        factors=factors,
        gates=counts.gates,
        swaps=counts.swaps,
        two_qubit_gates=counts.two_qubit,
        cx_gates=counts.cx,
        depth=counts.depth,
        log_partition=log_z,
        log_partition_kind=kind,
        log_success=success,
        target_error=float(target_error),
        kept_shots=settings / target_error**2,
    )


def _formula(model: SqRBM | SqBM, trotter_steps: int, order: int) -> Formula:
    if isinstance(model, SqBM):
        return TermFormula(model.to_hamiltonian(), trotter_steps, order)
    return ProductFormula(model, trotter_steps, order)


def _settings(model: SqRBM | SqBM) -> int:
    return len(hidden_settings(model)) if isinstance(model, SqBM) else len(model.paulis)


def _sizes(model: SqRBM | SqBM) -> list[int]:
    """Sizes of the hidden groups."""
    return [len(g) for g in model.groups] if isinstance(model, SqBM) else [1] * model.n_hidden
