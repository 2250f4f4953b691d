"""Fitting an amplitude network: where the endings come from, and how often it is done.

A sweep (:mod:`tnqbm.networks.amplitude.skeleton`) needs a sample of the endings at every cut. The
first one takes states of the model from the caller, or follows the model from infinite temperature,
where psi is constant, down to the temperature 1: the network of one step proposes states for the
next, and the effective share of their importance weights sets the length of the step. Every further
sweep draws its endings from the network of the last one and, for modes that this may have lost,
from a warmer one; the exact densities of the mixture are their weights.
Sweeps build a state of more than the bond dimension wanted, which is then truncated by its
Schmidt values: that loses less than choosing fewer pivots.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import available_bytes
from tnqbm.core.fields import length, log_2cosh
from tnqbm.core.model import SqRBM
from tnqbm.networks.amplitude.matrix_product import (
    Bits,
    Float,
    SchmidtForm,
    draw,
    draw_endings,
    ending_densities,
    log_amplitudes,
    schmidt_form,
)
from tnqbm.networks.amplitude.skeleton import (
    Amplitude,
    Endings,
    all_endings,
    count_distinct,
    distinct,
    sweep,
)

BUILD_SHARE = 2.0
"""Bond dimension of the last sweep, relative to that of the result."""

COLUMNS_PER_BOND = 8
"""Endings per unit of the bond dimension of a sweep."""

LEAST_COLUMNS = 256

MOST_BATCHES = 16
"""As many endings are drawn at most, in multiples of those wanted, to find different ones."""

STRIDE = 8
"""Endings are drawn anew at every eighth cut; those between them share parts of the same."""

ROUNDS = {"annealing": 2, "samples": 1}
"""Sweeps with endings of the network itself, unless the caller says otherwise."""

PROBES = 1000
"""States from which the quality of a network is estimated during a fit."""

PATH_BOND = 32
"""Bond dimension of the networks at higher temperatures."""

WARM_BETA, WARM_SHARE = 0.7, 0.25
"""Part of the endings that is drawn from a network of the path at an inverse temperature no higher
than this one: of modes that were lost on the way down."""

PATH_SHARE = 0.3
"""Part of the effective samples that a step along the path may leave."""

PATH_STEP = 1.05
"""Least factor from one inverse temperature of the path to the next."""

BISECTIONS = 24
"""Halvings in the search for the next inverse temperature: the first may be as small as 1e-7."""

MEMORY_SHARE = 0.9
"""Part of the free memory that a fit may take."""


@dataclass(frozen=True)
class FitReport:
    """How an amplitude network came about.

    ``source`` of the first endings: "samples" or "annealing" (of ``path`` inverse temperatures);
    ``rounds`` sweeps over endings of the network itself; ``infidelity`` with its standard error
    and ``ess_share``, the effective share of importance samples, both from 1000 samples of the
    network and hence blind to what it lacks altogether; ``seconds`` in all.
    """

    source: str
    path: int
    rounds: int
    infidelity: float
    infidelity_error: float
    ess_share: float
    seconds: float


@dataclass(frozen=True)
class Overlap:
    """Estimates from K samples of a network: infidelity, its standard error, effective share."""

    infidelity: float
    error: float
    ess_share: float


def overlap(log_psi: Float, log_network: Float, sign: Float) -> Overlap:
    """How well a network fits, from log psi and log |network| (K,) of samples of the network.

    Infidelity 1 - <psi|network>^2 / (<psi|psi> <network|network>), with x = psi/network: the
    variance of x over its mean square. Error by linearisation.
    """
    ratio = log_psi - log_network
    x = np.exp(ratio - ratio.max()) * sign
    mean, square = float(np.mean(x)), float(np.mean(x * x))
    infidelity = float(np.mean(np.square(x - mean))) / square
    influence = -2.0 * mean * (x - mean) / square + mean * mean * (x * x - square) / square**2
    error = float(np.sqrt(np.mean(np.square(influence)) / x.size))
    return Overlap(infidelity, error, square**2 / float(np.mean(x**4)))


def fit_bytes(n: int, fields: int, max_bond: int) -> int:
    """Bytes that a fit to a model of n visible units takes, which has so many hidden ``fields``."""
    build = _build_bond(n, max_bond)
    count = columns_for(build)
    result = min(max_bond, _largest_bond(n))
    needed = 8 * (4 * 2 * build * count + 6 * (2 * build) ** 2 + 12 * n * build * result)
    return needed + 8 * fields * (4 * count + 4 * build)


def _largest_bond(n: int) -> int:
    return 1 << min(n // 2, 60)


def _build_bond(n: int, max_bond: int) -> int:
    return min(int(BUILD_SHARE * max_bond), _largest_bond(n))


def check_fit_memory(model: SqRBM, max_bond: int) -> int:
    """The bond dimension that a sweep will use; MemoryError if it would not fit."""
    n = model.n_visible
    needed = fit_bytes(n, model.b.size, max_bond)
    free = available_bytes()
    if free is not None and needed > MEMORY_SHARE * free:
        raise MemoryError(
            f"fitting an amplitude network with max_bond = {max_bond} to {n} visible units would "
            f"take about {needed / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are free; take "
            "a smaller max_bond"
        )
    return _build_bond(n, max_bond)


def columns_for(bond: int) -> int:
    """Endings at every cut for a sweep of this bond dimension."""
    return max(LEAST_COLUMNS, COLUMNS_PER_BOND * bond)


class Fitter:
    """Sweeps of one model in one visiting order, all randomness from one generator."""

    def __init__(
        self,
        model: SqRBM,
        order: NDArray[np.int64],
        max_bond: int,
        infidelity: float,
        rng: np.random.Generator,
    ) -> None:
        self.n = model.n_visible
        self.build = check_fit_memory(model, max_bond)
        self.max_bond, self.target = max_bond, infidelity
        self.discard = infidelity / (4.0 * max(1, self.n - 1))
        self._model, self._order, self._rng = model, order, rng
        self._amplitude = Amplitude(model, order)
        self._warm: SchmidtForm | None = None

    def run(self, samples: Bits | None, rounds: int | None) -> tuple[SchmidtForm, float, FitReport]:
        """The best state found, in Schmidt form, its log norm, and the report."""
        begun = time.perf_counter()
        source, path = "samples" if samples is not None else "annealing", 0
        quality = None
        if samples is None:
            form, path = self._follow_path()
        else:
            form = self._fit(self._amplitude, self._given(samples), self.max_bond, self.max_bond)
            quality = self.quality(form)
        best, best_quality = form, quality
        rounds = ROUNDS[source] if rounds is None else rounds
        done = 0
        while done < rounds:
            if best_quality is not None and best_quality.infidelity <= self.target:
                break
            done += 1
            # Only the last sweep needs to be as good as it can be.
            build = self.build if done == rounds else self.max_bond
            endings = self._endings(form, columns_for(build))
            form = self._fit(self._amplitude, endings, build, self.max_bond)
            quality = self.quality(form)
            if best_quality is None or quality.infidelity < best_quality.infidelity:
                best, best_quality = form, quality
        if best_quality is None:
            best_quality = self.quality(best)
        report = FitReport(
            source=source,
            path=path,
            rounds=done,
            infidelity=best_quality.infidelity,
            infidelity_error=best_quality.error,
            ess_share=best_quality.ess_share,
            seconds=time.perf_counter() - begun,
        )
        return best, best.log_scale, report

    def quality(self, form: SchmidtForm, count: int = PROBES) -> Overlap:
        """Estimated from ``count`` fresh samples."""
        v, _ = draw(form.tensors, count, self._rng)
        log_network, sign = log_amplitudes(form.tensors, v)
        return overlap(0.5 * self._log_weight(v)(1.0), log_network, sign)

    def _fit(
        self, amplitude: Amplitude, endings: list[Endings], build: int, max_bond: int
    ) -> SchmidtForm:
        tensors, log_norm = sweep(amplitude, endings, build, self.discard)
        form = schmidt_form(tensors, max_bond, self.discard)
        return form._replace(log_scale=form.log_scale + log_norm)

    def _given(self, samples: Bits) -> list[Endings]:
        """Endings of the caller's states (K, n), in visiting order."""
        count = columns_for(self.max_bond)
        states = samples[:count, self._order]
        endings = []
        for first in range(1, self.n):
            if _are_few(self.n - first, count):
                endings.append(all_endings(self.n - first))
            else:
                endings.append(distinct(states[:, first:]))
        return endings

    def _endings(self, form: SchmidtForm, count: int) -> list[Endings]:
        """Endings of all cuts drawn from a state and from a warmer one, with exact weights."""
        sources = [(form, 1.0)]
        if self._warm is not None:
            sources = [(form, 1.0 - WARM_SHARE), (self._warm, WARM_SHARE)]
        endings: list[Endings] = []
        for first in range(1, self.n, STRIDE):
            last = min(first + STRIDE, self.n) - 1
            group: tuple[Bits, list[Float]] | None = None
            for site in range(first, last + 1):
                if _are_few(self.n - site, count):
                    endings.append(all_endings(self.n - site))
                    continue
                if group is None:
                    group = self._draw(sources, first, last, count)
                bits, densities = group
                endings.append(distinct(bits[:, site - first :], -0.5 * densities[site - first]))
        return endings

    def _draw(
        self, sources: list[tuple[SchmidtForm, float]], first: int, last: int, count: int
    ) -> tuple[Bits, list[Float]]:
        """Endings from several states, and the log-densities of the mixture."""
        batches: list[Bits] = []
        # Strong couplings leave few endings that are likely; rare modes take more draws.
        for _ in range(MOST_BATCHES):
            batches += [
                draw_endings(form, first, max(1, round(share * count)), self._rng)
                for form, share in sources
            ]
            if count_distinct(np.concatenate(batches)) >= 0.5 * count:
                break
        bits = np.concatenate(batches)
        parts = [
            [np.log(share) + d for d in ending_densities(form, first, last, bits)]
            for form, share in sources
        ]
        total = [np.logaddexp.reduce(densities) for densities in zip(*parts, strict=True)]
        return bits, total

    def _follow_path(self) -> tuple[SchmidtForm, int]:
        """A small network of the model, from infinite temperature on; number of steps."""
        bond = min(PATH_BOND, self.max_bond)
        half = np.full((1, 2, 1), np.sqrt(0.5))
        form = SchmidtForm([half] * self.n, [np.ones(1)] * (self.n - 1), 0.0)
        beta, steps = 0.0, 0
        while True:
            v, log_q = draw(form.tensors, PROBES, self._rng)
            beta = _next_beta(self._log_weight(v), log_q, beta)
            endings = self._endings(form, columns_for(bond))
            if beta == 1.0:
                return self._fit(self._amplitude, endings, bond, bond), steps
            amplitude = Amplitude(self._model, self._order, beta)
            form = self._fit(amplitude, endings, bond, bond)
            steps += 1
            if beta <= WARM_BETA:
                self._warm = form

    def _log_weight(self, v: Bits) -> Callable[[float], Float]:
        """log p~ (K,) of states in visiting order, as a function of the inverse temperature."""
        fields, sums = self._amplitude.part(v, 0)
        shape = (v.shape[0], self._amplitude.m, self._amplitude.n_paulis)
        radius = length((fields + self._amplitude.b).reshape(shape), 2)

        def at(beta: float) -> Float:
            return np.asarray(beta * sums + log_2cosh(beta * radius).sum(axis=1))

        return at


def _are_few(sites: int, count: int) -> bool:
    """Whether there are no more than ``count`` endings."""
    return sites < 60 and 1 << sites <= count


def _next_beta(log_weight: Callable[[float], Float], log_q: Float, beta: float) -> float:
    """The largest inverse temperature at which enough samples of q are effective, 1 at most."""

    def share(value: float) -> float:
        ratio = log_weight(value) - log_q
        x = np.exp(ratio - ratio.max())
        return float(np.mean(x) ** 2 / np.mean(x * x))

    least = PATH_SHARE * share(beta)
    if share(1.0) >= least:
        return 1.0
    low, high = beta, 1.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) >= least else (low, middle)
    return min(1.0, max(low, beta * PATH_STEP, 2.0**-BISECTIONS))
