"""log Z of one model by annealing, forwards from a solvable one, backwards from equilibrium."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.log_z.annealing import Annealed, Schedule, anneal, choose_kernel
from mc.sampling.log_z.estimate import (
    Estimate,
    Run,
    agree,
    pareto_shape,
    tail_troubles,
    weight_troubles,
)
from mc.sampling.path import reference_fields
from tnqbm.base.progress import StepsDisplay
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target

Seed = int | np.random.SeedSequence
States = NDArray[np.uint8]

FORWARD, REVERSE = "ais", "ais-reverse"

_LADDERS = 25
_STREAMS = {FORWARD: streams.LogZ.FORWARD, REVERSE: streams.LogZ.REVERSE}


@dataclass(frozen=True)
class Annealing:
    """How to anneal; fields as in :func:`mc.sampling.partition.log_partition`."""

    n_chains: int
    n_betas: int
    betas: Schedule | ArrayLike
    kernel: str
    sweeps_per_beta: int
    precision: str
    reference: Target | ArrayLike | None
    samples: ArrayLike | None
    bootstrap: int
    progress: bool

    def check(self, model: SqRBM) -> None:
        """ValueError on what cannot be annealed, before any work."""
        choose_kernel(self.kernel, len(model.paulis))
        for name, least in (("n_chains", 1), ("n_betas", 2), ("sweeps_per_beta", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.reference is not None:
            reference_fields(self.reference, model.n_visible)
        if self.samples is not None:
            as_states(self.samples, model.n_visible)


def annealed(model: SqRBM, directions: Sequence[str], how: Annealing, seed: Seed) -> list[Run]:
    """Estimates of log Z, one per direction ("ais", "ais-reverse").

    The second direction takes the same inverse temperatures as the first.
    """
    n, m, p = model.n_visible, model.n_hidden, len(model.paulis)
    kernel = choose_kernel(how.kernel, p)
    theta = model.to_vector()[None]
    fields = None if how.reference is None else reference_fields(how.reference, n)
    found: list[Run] = []
    schedule = how.betas
    steps = how.n_betas if isinstance(schedule, str) else int(np.shape(schedule)[-1])
    with StepsDisplay("annealing", len(directions) * (steps - 1), shown=how.progress) as display:
        for direction in directions:
            before = time.perf_counter()
            start, group, doubts = None, 1, list[str]()
            if direction == REVERSE:
                start, group, doubts = _equilibrium(model, how, kernel, seed)
            result = anneal(
                theta, n, m, p,
                keys=streams.keys([seed], _STREAMS[direction]),
                n_chains=how.n_chains, n_betas=how.n_betas, betas=schedule, kernel=kernel,
                sweeps_per_beta=how.sweeps_per_beta, precision=how.precision,
                reference=fields,
                start=start, group=group, bootstrap=how.bootstrap, progress=display.advance,
            )  # fmt: skip
            schedule = result.betas
            seconds = time.perf_counter() - before
            one = _estimate(result, direction, kernel, seconds)
            found.append(Run(one, result.states[0], doubts))
    return found


def both(forward: Estimate, reverse: Estimate, doubts: Sequence[str] = ()) -> Estimate:
    """Both directions, judged, as one estimate.

    They agree by themselves only if the reverse run started well, so that ``doubts`` about its
    start count where they do not. Agreement is no proof: both can miss the same mode.
    """
    gap = reverse.value - forward.value
    value = 0.5 * (forward.value + reverse.value)
    complaints = [*forward.warnings, *reverse.warnings]
    if not agree(forward, reverse):
        complaints += [
            f"forward and reverse annealing differ by {gap:.3g}, against standard errors of "
            f"{forward.standard_error:.2g} and {reverse.standard_error:.2g}: at least one of them "
            "is wrong; take more inverse temperatures (n_betas)",
            *doubts,
        ]
    error = max(
        0.5 * math.hypot(forward.standard_error, reverse.standard_error),
        0.5 * abs(gap),
        -math.inf if forward.lower_bound is None else forward.lower_bound - value,
    )
    return replace(
        forward,
        value=value,
        standard_error=error,
        ess=min(forward.ess, reverse.ess),
        method="both",
        trusted=not complaints,
        warnings=complaints,
        forward=forward,
        reverse=reverse,
        gap=gap,
    )


def _equilibrium(
    model: SqRBM, how: Annealing, kernel: str, seed: Seed
) -> tuple[States, int, list[str]]:
    """States (1, C, n) to anneal back from, how many neighbours belong together, doubts."""
    n, n_chains = model.n_visible, how.n_chains
    if how.samples is None:
        from mc.sampling.tempering.sample import TemperingWarning, sample_tempered

        ladders = min(_LADDERS, n_chains)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TemperingWarning)  # passed on as a complaint
            states, info = sample_tempered(
                model,
                -(-n_chains // ladders),
                n_ladders=ladders,
                kernel=kernel,
                precision=how.precision,
                reference=how.reference,
                seed=streams.key(seed, streams.LogZ.START),
            )
        return (
            states.reshape(1, -1, n),
            states.shape[1],
            [f"the reverse run may not start in equilibrium: {text}" for text in info.warnings],
        )
    given = as_states(how.samples, n)
    if given.ndim == 2:
        given = given[:, None]
    if given.ndim != 3 or given.size == 0:
        raise ValueError(f"samples must be (K, {n}) or (chains, draws, {n}), got {given.shape}")
    chains, draws, _ = given.shape
    if chains >= n_chains:
        chosen = np.linspace(0, chains - 1, n_chains).round().astype(np.intp)
        return given[None, chosen, -1], 1, []
    each = min(draws, -(-n_chains // chains))
    spaced = np.linspace(0, draws - 1, each).round().astype(np.intp)
    return given[:, spaced].reshape(1, -1, n), each, []


def _estimate(result: Annealed, method: str, kernel: str, seconds: float) -> Estimate:
    chains, temperatures = result.log_weights.shape[1], result.betas.shape[1]
    ess, largest = float(result.ess[0]), float(result.largest[0])
    cure = f"take more than {temperatures} inverse temperatures (n_betas), or more chains"
    shape = pareto_shape(result.log_weights[0])
    complaints = [
        *weight_troubles(method, "chains", chains, ess, largest, cure),
        *tail_troubles(method, "chains", chains, ess, shape, cure),
    ]
    return Estimate(
        value=float(result.log_z[0]),
        standard_error=float(result.standard_error[0]),
        ess=ess,
        log_weights=result.log_weights[0],
        method=method,
        n_chains=chains,
        n_betas=temperatures,
        seconds=seconds,
        trusted=not complaints,
        warnings=complaints,
        kernel=kernel,
        betas=result.betas[0],
        pareto_k=shape,
    )
