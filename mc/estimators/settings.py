"""The estimators of this package, and the evaluator "ais", as trainings and studies know them.

Settings only, so that names can be known without compiling anything: what they make is imported
when it is made. An installed package offers them to :mod:`tnqbm.training` as entry points. From a
checkout that is not installed there are none, so studies call :func:`provide` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tnqbm.base.forecast import nanoseconds
from tnqbm.base.limits import MAX_COUNTS
from tnqbm.base.teams import SHARD
from tnqbm.core.paulis import BASES
from tnqbm.core.shape import Shape
from tnqbm.training.bias import REFERENCES, ComparedReference
from tnqbm.training.costs import averages_cost, update_cost
from tnqbm.training.estimators import (
    EVALUATORS,
    GRADIENTS,
    EvaluatorSettings,
    GradientSettings,
    Size,
)
from tnqbm.training.schema import Name, choice, number, whole

if TYPE_CHECKING:
    from tnqbm.training.bias import Reference
    from tnqbm.training.estimators import Context, GradientEstimator, LogPartition
    from tnqbm.training.settings import TrainingSettings


SINGLE = 0.45
"""Time of a sweep in single precision, in that of double."""

SWEEP = {"block": 0.09, "bloch": 0.4, "thermal": 0.4, "measured": 0.6, "pauli": 5.0}
"""Nanoseconds of one pair of units in a sweep of one chain; collapsed ones take the most."""

COLLAPSED: float = nanoseconds("sweeps")["collapsed"]

STATE = {"pauli-exact": (0.4, 12.0)}
"""Of kernels that sum over states: nanoseconds of a state for each hidden unit, and besides."""


def sweep_cost(size: Size, kernel: str, precision: str) -> float:
    """Nanoseconds of one sweep of one chain."""
    if size.work is not None:
        return size.work.sweep
    if kernel in STATE:
        return _states_cost(size, *STATE[kernel])
    if kernel == "auto" and size.n_paulis == 1:
        kernel = "block"
    pair = SWEEP.get(kernel, COLLAPSED) * (SINGLE if precision == "single" else 1.0)
    units = size.n_visible + size.n_hidden
    return 60.0 + 0.5 * units + pair * size.n_visible * size.n_hidden


def _states_cost(size: Size, each: float, besides: float) -> float:
    if size.mask is None:
        return 2.0 ** min(size.n_visible, 40) * (each * size.n_hidden + besides)
    from mc.kernels.elimination import frontier_width

    states = 2.0 ** min(frontier_width(size.mask), 40)
    return states * (4.0 * each * size.n_hidden + besides * size.n_visible)


def chains_bytes(size: Size, models: int, chains: int) -> float:
    """Memory of so many chains of each of so many models.

    States and a copy, eight numbers for each chain, and the models' parameters four times.
    """
    return float(models * (chains * (2.0 * size.n_visible + 64.0) + 32.0 * size.n_parameters))


def network_bytes(size: Size, max_bond: int) -> float:
    """Memory of a fit of an amplitude network."""
    from tnqbm.networks.amplitude.fit import fit_bytes

    return float(fit_bytes(size.n_visible, size.n_paulis * size.n_hidden, max_bond))


class SampledGradient(GradientSettings):
    """What estimators from samples have in common."""

    gives_states: ClassVar[bool] = True

    chains: Annotated[int, whole(1, MAX_COUNTS["chains"])] = Field(
        100, description="number of Markov chains"
    )

    @property
    def sample_size(self) -> int:
        return self.chains

    def members(self, training: TrainingSettings) -> int:
        return _shards(max(self.chains, training.batch_size))


class ChainGradient(SampledGradient):
    """What estimators from Markov chains have in common."""

    sweeps: ClassVar[bool] = True

    steps: Annotated[int, whole(1, MAX_COUNTS["steps"])] = Field(
        1, description="sweeps of the chains per update, the k of CD-k"
    )
    kernel: Name = Field(
        "auto",
        description="what a sweep does: `auto`, `collapsed`, `block` (one Pauli only), `bloch`, "
        "`thermal`, `measured`, `pauli`, `pauli-exact` (all bits at once, by a sum over states), "
        "`thermal-uncorrected` (biased for two and three Paulis, for comparison)",
    )

    def check(self, size: Size, training: TrainingSettings) -> None:
        if size.work is not None and self.kernel not in ("auto", "collapsed"):
            raise ValueError(
                f"kernel: {self.kernel!r} is for sqRBMs; the sweeps of sqBMs are 'collapsed'"
            )
        if self.kernel != "auto":
            from mc.kernels import check_kernel, check_states

            check_kernel(self.kernel, size.n_paulis)
            check_states(
                self.kernel, Shape(size.n_visible, size.n_hidden, size.n_paulis), size.mask
            )

    def cost(self, size: Size, training: TrainingSettings) -> float:
        each = self.moves_cost(size, training) + averages_cost(size, training)
        return update_cost(size, training) + self.moved(training) * each

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return chains_bytes(size, runs, self.moved(training))

    def moved(self, training: TrainingSettings) -> int:
        """Chains that an update moves."""
        return self.chains

    def moves_cost(self, size: Size, training: TrainingSettings) -> float:
        """Nanoseconds of an update's moves of one chain."""
        return self.steps * sweep_cost(size, self.kernel, training.precision)


Basis = Annotated[str, choice(*BASES)]
BASIS = (
    "of the kernels `pauli` and `pauli-exact`: the Pauli matrix that is measured, `random` (one "
    "for each chain and sweep; the same without a basis) or `each` (one for each qubit as well)"
)


def _check_basis(settings: CD | PCD | Weighted, size: Size) -> None:
    from mc.kernels import check_kernel_basis

    check_kernel_basis(settings.kernel, settings.basis, size.paulis)


class CD(ChainGradient):
    """Contrastive divergence: chains start at the data in every update (Hinton 2002)."""

    name: ClassVar[str] = "cd"
    clamps: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm")
    remembers: ClassVar[bool] = False

    inertia: Annotated[float, number()] = Field(0.0, description="of the kernel `thermal`")
    basis: Basis | None = Field(None, description=BASIS)

    def check(self, size: Size, training: TrainingSettings) -> None:
        super().check(size, training)
        _check_basis(self, size)

    def members(self, training: TrainingSettings) -> int:
        # With minibatches the chains start at the rows of them.
        return _shards(training.batch_size or self.chains)

    def moved(self, training: TrainingSettings) -> int:
        return training.batch_size or self.chains

    def make(self, context: Context) -> GradientEstimator:
        from mc.estimators.divergence import ContrastiveDivergence

        return ContrastiveDivergence(self, context)


class GlobalMovesGradient(ChainGradient):
    """Persistent chains, to which states of a tensor network may be proposed now and then."""

    max_bond: Annotated[int, whole(1, MAX_COUNTS["max_bond"])] = Field(
        64, description="largest bond dimension of the tensor network that proposes states"
    )
    refit: Annotated[int, whole(1, MAX_COUNTS["refit"])] = Field(
        100, description="updates after which the network is fitted again at the latest"
    )
    global_moves: Annotated[int, whole(0, MAX_COUNTS["global_moves"])] = Field(
        0, description="every so many updates each chain gets one proposal of the network; 0: never"
    )

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        network = network_bytes(size, self.max_bond) if self.global_moves else 0.0
        return super().memory(size, training, runs) + network

    def check(self, size: Size, training: TrainingSettings) -> None:
        super().check(size, training)
        if self.global_moves and (size.work is not None or size.n_deep):
            raise ValueError("global_moves: are for sqRBMs, whose networks propose states")


class PCD(GlobalMovesGradient):
    """Persistent contrastive divergence: chains go on from update to update (Tieleman 2008)."""

    name: ClassVar[str] = "pcd"
    clamps: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm")

    inertia: Annotated[float, number()] = Field(0.0, description="of the kernel `thermal`")
    basis: Basis | None = Field(None, description=BASIS)

    def check(self, size: Size, training: TrainingSettings) -> None:
        super().check(size, training)
        _check_basis(self, size)

    def make(self, context: Context) -> GradientEstimator:
        from mc.estimators.divergence import PersistentChains

        return PersistentChains(self, context)


class Tempered(GlobalMovesGradient):
    """PCD with a ladder of temperatures for every chain (Desjardins et al. 2010)."""

    name: ClassVar[str] = "tempered"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm")

    temperatures: Annotated[int, whole(2, MAX_COUNTS["temperatures"])] = Field(
        10, description="rungs of the ladder of every chain, at most if they follow the parameters"
    )
    target_swap_rate: Annotated[float, number(0.01, 0.99)] | None = Field(
        None,
        description="of neighbours on a ladder that gets as many rungs as this needs, and other "
        "temperatures, while parameters grow; without: evenly spaced temperatures",
    )

    def most_members(self, training: TrainingSettings) -> int | None:
        return self.members(training)

    def moves_cost(self, size: Size, training: TrainingSettings) -> float:
        # Weights at other temperatures: a logarithm for every hidden unit, two for a swap.
        sweep = sweep_cost(size, self.kernel, training.precision)
        return self.steps * self.temperatures * (1.15 * sweep + 16.0 * size.n_hidden)

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        rungs = chains_bytes(size, runs * self.temperatures, self.chains)
        return rungs + super().memory(size, training, runs)

    def check(self, size: Size, training: TrainingSettings) -> None:
        super().check(size, training)
        if self.target_swap_rate is not None and size.work is None:
            from mc.sampling.log_z.annealing import choose_kernel

            choose_kernel(self.kernel, size.n_paulis)

    def make(self, context: Context) -> GradientEstimator:
        from mc.estimators.divergence import TemperedChains
        from mc.estimators.tempered import TunedChains

        return (TemperedChains if self.target_swap_rate is None else TunedChains)(self, context)


class Trajectory(ChainGradient):
    """PCD with a ladder of earlier models of the run, see :mod:`mc.estimators.trajectory`."""

    name: ClassVar[str] = "trajectory"

    target_swap_rate: Annotated[float, number(0.01, 1.0)] = Field(
        0.3, description="rate of swaps with the newest rung below which a model becomes a rung"
    )
    max_rungs: Annotated[int, whole(3, MAX_COUNTS["max_rungs"])] = Field(
        16, description="models of a ladder at most; where more are needed, they swap less often"
    )

    def check(self, size: Size, training: TrainingSettings) -> None:
        super().check(size, training)
        from mc.sampling.log_z.annealing import choose_kernel

        choose_kernel(self.kernel, size.n_paulis)

    def most_members(self, training: TrainingSettings) -> int | None:
        return self.members(training)

    def moves_cost(self, size: Size, training: TrainingSettings) -> float:
        # As tempering, with ladders that are half full on average, and weights for the rates.
        sweep = sweep_cost(size, self.kernel, training.precision)
        each = 1.15 * sweep + 16.0 * size.n_hidden
        return (0.5 * self.steps * self.max_rungs + 2.0) * each

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return chains_bytes(size, runs * self.max_rungs, self.chains)

    def make(self, context: Context) -> GradientEstimator:
        from mc.estimators.trajectory import SnapshotChains

        return SnapshotChains(self, context)


class Weighted(ChainGradient):
    """Persistent chains with weights, see :mod:`mc.estimators.weighted`."""

    name: ClassVar[str] = "weighted"
    knows_log_partition: ClassVar[bool] = True

    inertia: Annotated[float, number()] = Field(0.0, description="of the kernel `thermal`")
    basis: Basis | None = Field(None, description=BASIS)
    resample_below: Annotated[float, number(0.0, 1.0)] = Field(
        0.5, description="effective share of the chains below which they are resampled"
    )
    step_share: Annotated[float, number(0.0, 1.0)] = Field(
        0.9,
        description="conditional effective share of the chains that an update must leave, or its "
        "step is shortened; 0: steps of any length",
    )

    witness_share: Annotated[float, number(0.0, 1.0)] = Field(
        0.25, description="share of the chains that tell log Z and have no part in the averages"
    )

    @property
    def witnesses(self) -> int:
        """How many of the chains have no part in the averages."""
        return round(self.witness_share * self.chains)

    @property
    def sample_size(self) -> int:
        return self.chains - self.witnesses

    def check(self, size: Size, training: TrainingSettings) -> None:
        super().check(size, training)
        _check_basis(self, size)
        self.check_chains(size.n_paulis)

    def check_chains(self, n_paulis: int) -> None:
        """ValueError if there are too few of them, or if they would move only approximately."""
        from mc.sampling.log_z.annealing import choose_kernel

        choose_kernel(self.kernel, n_paulis)
        if not 2 <= self.witnesses < self.chains:
            raise ValueError(
                f"witness_share: {self.witness_share:g} of {self.chains} chains are "
                f"{self.witnesses}; at least 2 must tell log Z and at least 1 must be left"
            )

    def moves_cost(self, size: Size, training: TrainingSettings) -> float:
        # Log weights twice: a third of what averages take each, and a logarithm.
        weights = 0.7 * averages_cost(size, training) + 20.0
        return super().moves_cost(size, training) + weights

    def make(self, context: Context) -> GradientEstimator:
        from mc.estimators.weighted import WeightedChains

        return WeightedChains(self, context)


class Tensor(SampledGradient):
    """Weighted independent samples of an amplitude network, see :mod:`mc.estimators.tensor`."""

    name: ClassVar[str] = "tensor"
    knows_log_partition: ClassVar[bool] = True

    chains: Annotated[int, whole(1, MAX_COUNTS["chains"])] = Field(
        100, description="samples of an update"
    )
    max_bond: Annotated[int, whole(1, MAX_COUNTS["max_bond"])] = Field(
        64, description="largest bond dimension of the network"
    )
    refit: Annotated[int, whole(1, MAX_COUNTS["refit"])] = Field(
        100, description="updates after which the network is fitted again at the latest"
    )

    def cost(self, size: Size, training: TrainingSettings) -> float:
        # Samples of a network of bond chi, and fits, at least so often: more where models drift.
        n, m, p, chi = size.n_visible, size.n_hidden, size.n_paulis, self.max_bond
        sample = n * (2.0 * chi**2 + p * m)
        fit = 40.0 * n * chi * (chi**2 + m * p * chi)
        samples = self.chains * (sample + averages_cost(size, training))
        return update_cost(size, training) + samples + fit / self.refit

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        # The networks of all runs are kept, and one is fitted at a time.
        n, largest = size.n_visible, min(self.max_bond, 1 << min(size.n_visible // 2, 60))
        kept = 16.0 * runs * n * largest**2
        samples = chains_bytes(size, runs, self.chains)
        return samples + kept + network_bytes(size, self.max_bond)

    def make(self, context: Context) -> GradientEstimator:
        from mc.estimators.tensor import WeightedSamples

        return WeightedSamples(self, context)


class AIS(EvaluatorSettings):
    """log Z by annealed importance sampling, see :mod:`mc.sampling.likelihood`."""

    name: ClassVar[str] = "ais"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm")
    prefix: ClassVar[str] = "ais_"

    chains: Annotated[int, whole(1, MAX_COUNTS["ais_chains"])] = Field(
        200, description="chains of annealing"
    )
    betas: Annotated[int, whole(2, MAX_COUNTS["ais_betas"])] = Field(
        500, description="inverse temperatures of annealing"
    )

    def cost(self, size: Size, training: TrainingSettings) -> float:
        kernel = getattr(training.gradient, "kernel", "auto")
        sweep = sweep_cost(size, kernel, training.precision)
        return self.chains * self.betas * (1.1 * sweep + 8.0 * size.n_hidden)

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return chains_bytes(size, runs, self.chains)

    def make(self, context: Context) -> LogPartition:
        from mc.estimators.annealing import annealed_log_partition

        return annealed_log_partition(context, self.chains, self.betas)


class TensorReference(ComparedReference):
    """Averages over samples of an amplitude network, see :mod:`mc.estimators.reference`."""

    name: ClassVar[str] = "tensor"

    samples: Annotated[int, whole(64, MAX_COUNTS["bias_samples"])] = Field(
        20_000, description="weighted samples of the network"
    )
    max_bond: Annotated[int, whole(1, MAX_COUNTS["max_bond"])] = Field(
        64, description="largest bond dimension of the network"
    )

    def model_cost(self, size: Size, training: TrainingSettings) -> float:
        own = Tensor(chains=self.samples, max_bond=self.max_bond, refit=1)
        return own.cost(size, training)

    def make(self, context: Context) -> Reference:
        from mc.estimators.reference import NetworkReference

        return NetworkReference(self, context)


def _shards(states: int) -> int:
    return max(1, -(-states // SHARD))


def provide() -> None:
    """Make this package's estimators known to training, if they are not yet."""
    for gradient in (CD, PCD, Tempered, Trajectory, Weighted, Tensor):
        if gradient.name not in GRADIENTS.names():
            GRADIENTS.register(gradient)
    if AIS.name not in EVALUATORS.names():
        EVALUATORS.register(AIS)
    if TensorReference.name not in REFERENCES.names():
        REFERENCES.register(TensorReference)
