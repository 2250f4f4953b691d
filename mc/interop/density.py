"""A density estimator for scikit-learn: an sqRBM in pipelines, grid searches and pickles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.interop import fitting
from mc.kernels import Sweeper
from mc.sampling.likelihood import log_likelihoods
from mc.sampling.log_z.estimate import Estimate
from mc.sampling.log_z.policies import ESTIMATORS, Estimation
from mc.sampling.partition import log_partition
from mc.sampling.policies import (
    SAMPLERS,
    Chains,
    Enumeration,
    P,
    Perfect,
    Sampling,
    Snapshots,
    Tempered,
    policy_of,
)
from mc.sampling.sample import sample
from tnqbm import exact
from tnqbm.base.arguments import check_whole, number
from tnqbm.base.errors import MissingExtraError
from tnqbm.core import fields
from tnqbm.core.model import SqRBM
from tnqbm.core.states import states_of
from tnqbm.datasets import Target
from tnqbm.training.estimators import GradientSettings
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trajectory import Trajectory

try:
    from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError("scikit-learn", "sklearn", "mc.interop.SqRBMDensity") from None

Float = NDArray[np.float64]
States = NDArray[np.uint8]

ENUMERATED = 20
"""Most visible units at which samples are drawn from the table of all probabilities."""

KEPT_ROWS = 1000
"""Rows of the data that are kept for finding log Z."""

_SEEDS = 2**31 - 1


class SqRBMDensity(TransformerMixin, DensityMixin, BaseEstimator):  # type: ignore[misc]
    """An sqRBM as a density estimator and transformer of binary data.

    Parameters
    ----------
    n_hidden : hidden qubits.
    paulis : Pauli matrices of the hidden qubits, "Z" (the classical RBM) to "XYZ".
    connectivity : which units are coupled, by name, see :mod:`tnqbm.core.connectivity`.
    gradient : an estimator of the gradient, by name or as settings of one, or "auto": "exact" up
        to 16 features, "pcd" above.
    optimizer, learning_rate : as of :func:`tnqbm.train`. None: AMSGrad at 0.1 with exact
        gradients; else centred gradients and gradient descent with a rate that falls from 0.05 by
        a cosine. Naming an optimizer leaves the whole of that recipe out.
    iterations : updates of the parameters that :meth:`fit` does.
    batch_size : rows of an update, 0 for all. None: all with exact gradients, else 100.
    settings : further settings by name, as :func:`tnqbm.train` takes them (``{"steps": 10}``).
    scale : range of the starting couplings. None: 0.1 with exact gradients, else 0.02. Visible
        fields start at those that match the data's means.
    binarize : features above this number become 1 and others 0. None: the data are 0 and 1
        already, and anything else is refused.
    log_z_method : how log Z is found, as ``method`` of :func:`mc.log_partition`.
    sampling_method : how samples are drawn, as ``method`` of :func:`mc.sample`, or "auto":
        independently from the table of all probabilities up to 20 features, by chains above.
    random_state : a seed, a ``numpy.random.RandomState``, or None for a different fit every time.
    progress : show a bar while fitting.

    Attributes
    ----------
    model_ : the fitted :class:`tnqbm.SqRBM`.
    trajectory_ : the :class:`tnqbm.Trajectory` of the last :meth:`fit`, None after
        :meth:`partial_fit` alone.
    n_features_in_, feature_names_in_ : as in all of scikit-learn.
    random_state_ : the generator from which fits and samples draw.

    Up to 1000 rows of the data are kept, also in pickles: estimates of log Z begin from them.
    Wrong parameters raise ValueError or TypeError when the estimator is fitted; data that are not
    0 and 1, hold NaN or have another width raise ValueError.
    """

    model_: SqRBM
    trajectory_: Trajectory | None

    def __init__(
        self,
        n_hidden: int = 10,
        paulis: str = "XYZ",
        *,
        connectivity: str = "dense",
        gradient: str | GradientSettings = "auto",
        optimizer: Any = None,
        learning_rate: float | None = None,
        iterations: int = 1000,
        batch_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        scale: float | None = None,
        binarize: float | None = None,
        log_z_method: str | Estimation = "auto",
        sampling_method: str | Sampling = "auto",
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.n_hidden = n_hidden
        self.paulis = paulis
        self.connectivity = connectivity
        self.gradient = gradient
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.iterations = iterations
        self.batch_size = batch_size
        self.settings = settings
        self.scale = scale
        self.binarize = binarize
        self.log_z_method = log_z_method
        self.sampling_method = sampling_method
        self.random_state = random_state
        self.progress = progress

    # --- fitting ------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a new model on rows (N, n); ``y`` is ignored."""
        rows = self._rows(X, reset=True)
        target = Target.from_samples(rows)
        settings = self._checked_settings(target)
        self.random_state_ = check_random_state(self.random_state)
        start = self._start(target)
        path, self._state = fitting.fit(
            start, target, settings, seed=self._seed(), progress=bool(self.progress)
        )
        self.model_, self.trajectory_ = path.model, path
        self._refreshed(rows)
        return self

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Change the model by one update from rows (N, n), all of them; ``y`` is ignored.

        The first call makes a model, others go on from the last call or from :meth:`fit`, with
        the optimizer's memory and the chains of the gradient. The learning rate does not fall.
        """
        new = not hasattr(self, "model_")
        rows = self._rows(X, reset=new)
        target = Target.from_samples(rows)
        settings = self._checked_settings(target)
        if new:
            self.random_state_ = check_random_state(self.random_state)
            self.model_, self._state = self._start(target), {}
            self.trajectory_ = None
        self.model_, self._state = fitting.update(
            self.model_, target, settings, self._state, seed=self._seed()
        )
        self._refreshed(rows)
        return self

    def _checked_settings(self, target: Target) -> TrainingSettings:
        """The settings of trainings; ValueError or TypeError for any parameter that is wrong."""
        check_whole("n_hidden", self.n_hidden, 0)
        _policy("log_z_method", self.log_z_method, ESTIMATORS)
        self._sampling_policy()
        return self._choices().settings(target)

    def _choices(self) -> fitting.Choices:
        return fitting.Choices(
            self.gradient,
            self.optimizer,
            self.learning_rate,
            self.iterations,
            self.batch_size,
            self.settings,
        )

    def _start(self, target: Target) -> SqRBM:
        scale = self.scale
        if scale is None:
            scale = self._choices().starting_scale(target.n_visible)
        return fitting.starting_model(
            target, self.n_hidden, self.paulis, self.connectivity, scale=scale, seed=self._seed()
        )

    def _refreshed(self, rows: States) -> None:
        """Forget log Z of the model before, and note what the next one is found from."""
        self._data, self._log_z_seed = rows[:KEPT_ROWS].copy(), self._seed()
        self._log_z: Estimate | None = None

    def _seed(self) -> int:
        return int(self.random_state_.randint(_SEEDS))

    # --- densities ----------------------------------------------------------------------------

    def log_partition(self) -> Estimate:
        """log Z of the fitted model, found when it is first asked for, and how far to trust it."""
        check_is_fitted(self)
        if self._log_z is None:
            self._log_z = log_partition(
                self.model_, self.log_z_method, data=self._data, seed=self._log_z_seed
            )
        return self._log_z

    def score_samples(self, X: ArrayLike) -> Float:
        """log p(v) of rows (N, n) in nats, (N,)."""
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        return log_likelihoods(self.model_, rows, self.log_partition())

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean of :meth:`score_samples`; ``y`` is ignored."""
        return float(self.score_samples(X).mean())

    # --- features -----------------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> Float:
        """<sigma_j^P> of the hidden qubits given rows (N, n), (N, P m), all j of a Pauli together.

        With ``paulis="Z"`` these are the mean hidden spins of an RBM.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        averages = fields.averages(self.model_.fields(rows), -2)
        return averages.reshape(len(rows), -1)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the columns of :meth:`transform`: "X0", "X1", ... by Pauli and qubit."""
        check_is_fitted(self)
        letters, m = self.model_.paulis, self.model_.n_hidden
        return np.array([f"{letter}{j}" for letter in letters for j in range(m)], dtype=object)

    # --- samples ------------------------------------------------------------------------------

    def sample(self, n_samples: int = 1, random_state: Any = None) -> States:
        """Samples of p(v), (n_samples, n); ``random_state`` instead of the estimator's own.

        From chains, which warn (:class:`mc.MixingWarning`) if they have not mixed, samples come
        in the order of the chains.
        """
        check_is_fitted(self)
        wanted = check_whole("n_samples", n_samples, 1)
        rng = self.random_state_ if random_state is None else check_random_state(random_state)
        n = self.model_.n_visible
        policy = self._sampling_policy()
        if isinstance(policy, Enumeration) or (policy is None and n <= ENUMERATED):
            p = exact.probabilities(self.model_)
            return states_of(rng.choice(p.size, size=wanted, p=p), n)
        # The kernel "auto" is chosen by a measurement of time.
        policy = policy or Chains(chains=min(100, wanted), kernel="collapsed")
        each = -(-wanted // policy.chains)
        drawn, _ = sample(self.model_, each, policy, data=self._data, seed=int(rng.randint(_SEEDS)))
        rows: States = drawn.reshape(-1, n)[:wanted]
        return rows

    def _sampling_policy(self) -> Chains | Tempered | Snapshots | Enumeration | None:
        """How samples are drawn, None for "auto"; ValueError or TypeError if it is no way to."""
        if isinstance(self.sampling_method, str) and self.sampling_method == "auto":
            return None
        policy = _policy("sampling_method", self.sampling_method, SAMPLERS)
        if isinstance(policy, Perfect):
            raise ValueError(
                "sampling_method: samples of a network have weights; take chains or tempering"
            )
        return policy

    def gibbs(self, X: ArrayLike, steps: int = 1, random_state: Any = None) -> States:
        """Rows (N, n) moved by sweeps of a Markov chain that leaves p(v) as it is.

        A sweep updates every visible unit once, the hidden qubits summed out.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        sweeps = check_whole("steps", steps, 1)
        rng = self.random_state_ if random_state is None else check_random_state(random_state)
        sweeper = Sweeper(self.model_.shape, "collapsed")
        keys = rng.randint(_SEEDS, size=1).astype(np.uint64)
        states = np.ascontiguousarray(rows)[None].copy()
        sweeper.sweep(self.model_.to_vector()[None], states, keys, 0, sweeps)
        moved: States = states[0]
        return moved

    # --- data ---------------------------------------------------------------------------------

    def _rows(self, X: ArrayLike, *, reset: bool) -> States:
        """Rows of 0 and 1, uint8; ValueError as scikit-learn words it for what is none."""
        values = validate_data(self, X, reset=reset, dtype="numeric")
        if self.binarize is not None:
            if wrong := number(self.binarize):
                raise type(wrong)(f"binarize {wrong}")
            return np.asarray(values > self.binarize, dtype=np.uint8)
        bad = (values != 0) & (values != 1)
        if bad.any():
            row, column = (int(k) for k in np.argwhere(bad)[0])
            raise ValueError(
                f"X must hold 0 and 1 only, got {values[row, column]} in row {row}, column "
                f"{column}; binarize=0.5 makes every number above 0.5 a 1 and others a 0"
            )
        return np.asarray(values, dtype=np.uint8)


def _policy(name: str, value: Any, known: Mapping[str, P]) -> P:
    """The policy that a parameter is or names; TypeError or ValueError naming the parameter."""
    try:
        return policy_of(value, known)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
