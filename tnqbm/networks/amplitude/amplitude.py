"""Amplitude networks: sqrt(p~(v)) of an sqRBM as a matrix product state.

With |psi(v)|^2 = p~(v), what truncation takes away is a part of <psi|psi> = Z (the infidelity),
samples are drawn independently, site by site, without a Markov chain (perfect sampling), and their
importance weights p~(v)/q(v) with the network's own q(v) = |psi(v)|^2 / <psi|psi> give an unbiased
estimate of Z, however much was truncated, that comes with an error bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import check_whole
from tnqbm.base.errors import ArchiveError
from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.files.outputs import NETWORK, check_output
from tnqbm.files.storage import read_tree, write_tree
from tnqbm.networks.amplitude.fit import FitReport, Fitter, Overlap, overlap
from tnqbm.networks.amplitude.matrix_product import (
    CHUNK,
    ROUNDING,
    Bits,
    Float,
    SchmidtForm,
    Tensors,
    draw,
    left_canonical,
    log_amplitudes,
    right_canonical,
    schmidt_form,
)
from tnqbm.networks.amplitude.ordering import Order, check_order

if TYPE_CHECKING:
    from quimb.tensor import MatrixProductState

__all__ = ["AmplitudeMPS", "FitReport", "Importance"]

Seed = int | np.random.SeedSequence

NO_LIMIT = 1 << 62


@short_repr
@dataclass(frozen=True)
class Importance:
    """Importance samples of a model: ``states`` (K, n) drawn from a network's q, with weights.

    ``log_weights`` (K,) are log p~(v)/q(v), and the mean weight is an unbiased estimate of Z:
    ``log_partition`` is its logarithm, ``standard_error`` that of the latter, from the spread of
    the weights. ``ess`` = (sum w)^2 / sum w^2 is the number of samples of the model that these
    are worth for averages over it, sum w f / sum w. What q hardly ever proposes is not among the
    samples and shows in neither figure: a mode that the fit has missed, and states near a zero of
    psi, whose rare and large weights make the error itself uncertain.
    """

    states: Bits
    log_weights: Float
    log_partition: float
    standard_error: float
    ess: float


class AmplitudeMPS:
    """A matrix product state psi with |psi(v)|^2 ~ p~(v); made by :meth:`fit`.

    ``order`` (n,): site k holds visible unit order[k]. ``log_norm``: logarithm of the norm of
    psi. ``report``: what the fit found out about itself, None for a network read from arrays.
    States that go in or come out have the model's own order of the units.
    """

    def __init__(
        self, tensors: Tensors, order: Order, log_norm: float, report: FitReport | None = None
    ) -> None:
        self._form = schmidt_form(left_canonical(tensors), NO_LIMIT, 0.0)
        self.order = order
        self.log_norm = log_norm
        self.report = report

    @classmethod
    def fit(
        cls,
        model: SqRBM,
        samples: ArrayLike | None = None,
        *,
        max_bond: int = 128,
        infidelity: float = 1e-4,
        order: str | ArrayLike = "auto",
        rounds: int | None = None,
        seed: Seed,
    ) -> AmplitudeMPS:
        """The network of a model.

        samples : (K, n) states, roughly of the model, that tell the first sweep where p(v) is
            large; the first few thousand count. A mode that they lack may be missing from the
            network. None: the network follows the model from infinite temperature.
        max_bond : largest bond dimension. Bonds are as small as ``infidelity`` permits.
        infidelity : 1 - |<psi|network>|^2 / (<psi|psi> <network|network>) to be reached if
            ``max_bond`` allows.
        order : of the units along the chain: "auto", so that strongly coupled units are near
            each other (:func:`tnqbm.networks.amplitude.ordering.visible_order`), "natural", or a
            permutation.
        rounds : sweeps, at most, over endings drawn from the network itself, as long as the
            estimated infidelity is not reached; None: one after samples, two without.
        seed : the same seed gives the same network, whatever the number of threads.

        Raises ValueError or TypeError for impossible arguments, MemoryError if the network would
        not fit.
        """
        site_order = check_order(order, model)
        max_bond = check_whole("max_bond", max_bond, 1)
        if rounds is not None:
            rounds = check_whole("rounds", rounds, 0)
        if not (np.isfinite(infidelity) and 0.0 <= infidelity < 1.0):
            raise ValueError(f"infidelity must be at least 0 and below 1, got {infidelity!r}")
        states = None
        if samples is not None:
            states = as_states(samples, model.n_visible)
            if states.ndim != 2 or states.shape[0] == 0:
                raise ValueError(
                    f"samples must have shape (K, {model.n_visible}) with K >= 1, "
                    f"got {states.shape}; pass None to do without"
                )
        rng = streams.generator(seed)
        with one_thread():
            fitter = Fitter(model, site_order, max_bond, float(infidelity), rng)
            form, log_norm, report = fitter.run(states, rounds)
            return cls(form.tensors, site_order, log_norm, report)

    @property
    def n_visible(self) -> int:
        return len(self._form.tensors)

    @property
    def bond_sizes(self) -> NDArray[np.int64]:
        """Bond dimensions of the n - 1 cuts."""
        return np.array([s.size for s in self._form.schmidt], dtype=np.int64)

    @property
    def max_bond(self) -> int:
        """The largest of the bond dimensions; 1 for one unit."""
        return int(self.bond_sizes.max(initial=1))

    @property
    def mps(self) -> MatrixProductState:
        """The normalised state as a quimb MatrixProductState, right-canonical; site k is "k{k}"."""
        from quimb.tensor import MatrixProductState

        tensors = [np.array(tensor) for tensor in self._form.tensors]
        if len(tensors) == 1:
            return MatrixProductState([tensors[0].reshape(2)], shape="p")
        inner = [tensor.transpose(0, 2, 1) for tensor in tensors[1:-1]]
        arrays = [tensors[0][0].T, *inner, tensors[-1][:, :, 0]]
        return MatrixProductState(arrays, shape="lrp")

    def log_partition(self) -> float:
        """log <psi|psi>, an approximation of log Z; :meth:`importance` estimates Z without bias."""
        return 2.0 * self.log_norm

    def sample(
        self, samples: int, *, clamp: Mapping[int, int] | None = None, seed: Seed
    ) -> tuple[Bits, Float]:
        """Independent samples (K, n) of q(v) and their log q (K,), K = ``samples``.

        clamp : {unit: bit} of units to hold: samples of q given them, and log q of the others
            given them. ValueError if q gives them no probability.
        """
        samples = check_whole("samples", samples, 0)
        rng = streams.generator(seed)
        with one_thread():
            tensors = self._form.tensors if not clamp else self._clamped(clamp)
            sites, log_q = draw(tensors, samples, rng)
        v = np.empty_like(sites)
        v[:, self.order] = sites
        return v, log_q

    def _clamped(self, clamp: Mapping[int, int]) -> Tensors:
        tensors = list(self._form.tensors)
        place = {int(unit): k for k, unit in enumerate(self.order)}
        for unit, bit in clamp.items():
            if unit not in place or bit not in (0, 1):
                raise ValueError(
                    f"clamp: unit {unit!r} = {bit!r}; units are 0 to {self.n_visible - 1} and "
                    "bits 0 or 1"
                )
            tensor = tensors[place[unit]].copy()
            tensor[:, 1 - bit] = 0.0
            tensors[place[unit]] = tensor
        clamped, log_norm = right_canonical(tensors)
        if not np.isfinite(log_norm):
            raise ValueError(f"clamp: the network gives {dict(clamp)} no probability at all")
        return clamped

    def log_prob(self, v: ArrayLike) -> Float:
        """log q(v) of states (..., n), -inf where q is 0."""
        states = as_states(v, self.n_visible)
        flat = np.ascontiguousarray(states.reshape(-1, self.n_visible)[:, self.order])
        with one_thread():
            log_size, _ = log_amplitudes(self._form.tensors, flat)
        return np.asarray(2.0 * log_size.reshape(states.shape[:-1]))

    def importance(self, model: SqRBM, samples: int, *, seed: Seed) -> Importance:
        """Samples of q weighted as samples of the model: log Z (Z unbiased), moments."""
        self._check_model(model)
        v, log_q = self.sample(check_whole("samples", samples, 2), seed=seed)
        log_weights = _log_weight(model, v) - log_q
        top = float(log_weights.max())
        w = np.exp(log_weights - top)
        mean = float(w.mean())
        return Importance(
            states=v,
            log_weights=log_weights,
            log_partition=top + float(np.log(mean)),
            standard_error=float(w.std(ddof=1) / mean / np.sqrt(samples)),
            ess=float(w.sum() ** 2 / np.square(w).sum()),
        )

    def infidelity(self, model: SqRBM, samples: int = 4000, *, seed: Seed) -> tuple[float, float]:
        """1 - |<psi|network>|^2 / (<psi|psi> <network|network>) from samples; standard error.

        Samples of the network know nothing of a mode that it lacks.
        """
        self._check_model(model)
        v, _ = self.sample(check_whole("samples", samples, 2), seed=seed)
        with one_thread():
            log_network, sign = log_amplitudes(
                self._form.tensors, np.ascontiguousarray(v[:, self.order])
            )
        result: Overlap = overlap(0.5 * _log_weight(model, v), log_network, sign)
        return result.infidelity, result.error

    def schmidt_values(self, cut: int) -> Float:
        """Schmidt values, descending, of the cut between sites ``cut`` and ``cut`` + 1."""
        if not 0 <= cut < self.n_visible - 1:
            raise ValueError(f"cut must be 0 to {self.n_visible - 2}, got {cut}")
        return self._form.schmidt[cut].copy()

    def entropies(self) -> Float:
        """Von Neumann entropies (n - 1,) of the cuts, in nats."""
        entropies = np.zeros(self.n_visible - 1)
        for k, s in enumerate(self._form.schmidt):
            p = np.square(s[s > ROUNDING])
            entropies[k] = max(0.0, -float(np.sum(p * np.log(p))))
        return entropies

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything by name, for checkpoints; inverse :meth:`from_arrays`."""
        arrays: dict[str, NDArray[Any]] = {
            "order": self.order.copy(),
            "log_norm": np.array(self.log_norm),
        }
        for k, tensor in enumerate(self._form.tensors):
            arrays[f"tensors/{k}"] = tensor.copy()
        for k, s in enumerate(self._form.schmidt):
            arrays[f"schmidt/{k}"] = s.copy()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> AmplitudeMPS:
        """The network of :meth:`arrays`, bit for bit; KeyError or ValueError if they are none."""
        order = np.array(arrays["order"], dtype=np.int64)
        n = order.size
        tensors = [np.array(arrays[f"tensors/{k}"], dtype=np.float64) for k in range(n)]
        schmidt = [np.array(arrays[f"schmidt/{k}"], dtype=np.float64) for k in range(n - 1)]
        sizes = [1, *[s.size for s in schmidt], 1]
        shapes = [(sizes[k], 2, sizes[k + 1]) for k in range(n)]
        actual = [tensor.shape for tensor in tensors]
        if actual != shapes or not np.array_equal(np.sort(order), np.arange(n)) or n == 0:
            raise ValueError(f"these arrays are no amplitude network: tensors of shapes {actual}")
        self = cls.__new__(cls)
        self._form = SchmidtForm(tensors, schmidt, 0.0)
        self.order, self.log_norm, self.report = order, float(arrays["log_norm"]), None
        return self

    def save(self, path: str | Path) -> None:
        """Write the network to a new HDF5 file, whose name ends in .h5.

        Raises FileExistsError if the file exists, ValueError for another ending, OSError if it
        cannot be written.
        """
        check_output(path, NETWORK)

        write_tree(path, self.arrays(), {}, kind="network", overwrite=False)

    @classmethod
    def load(cls, path: str | Path) -> AmplitudeMPS:
        """Read a network written by :meth:`save`; ArchiveError if it is damaged or none."""
        arrays, _ = read_tree(path, kind="network")
        try:
            return cls.from_arrays(arrays)
        except KeyError as error:
            raise ArchiveError(f"{path} is damaged: it has no {error.args[0]}") from None
        except (ValueError, TypeError) as error:
            raise ArchiveError(f"{path} is damaged: {error}") from None

    def __repr__(self) -> str:
        return f"AmplitudeMPS(n_visible={self.n_visible}, max_bond={self.max_bond})"

    def _check_model(self, model: SqRBM) -> None:
        if model.n_visible != self.n_visible:
            raise ValueError(
                f"the network is about {self.n_visible} visible units, the model has "
                f"{model.n_visible}"
            )


def _log_weight(model: SqRBM, v: Bits) -> Float:
    """log p~ of states (K, n), a few thousand at a time."""
    parts = [model.log_weight(v[k : k + CHUNK]) for k in range(0, v.shape[0], CHUNK)]
    return np.concatenate(parts)
