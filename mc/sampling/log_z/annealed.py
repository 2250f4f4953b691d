"""log Z of one model by annealing, forwards from a solvable one, backwards from equilibrium."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.group_path import form_of, path_of
from mc.sampling.log_z.annealing import Annealed, anneal_along, kernel_for
from mc.sampling.log_z.estimate import (
    Estimate,
    Run,
    agree,
    pareto_shape,
    tail_troubles,
    weight_troubles,
)
from mc.sampling.log_z.policies import Annealing
from mc.sampling.path import reference_fields
from mc.sampling.policies import Tempered
from mc.sampling.tempering.sample import sample_tempered
from tnqbm.base.progress import StepsDisplay
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.hamiltonian.grouped import SqBM

Seed = int | np.random.SeedSequence
States = NDArray[np.uint8]

FORWARD, REVERSE = "ais", "ais-reverse"

_LADDERS = 25
_METHODS = {"forward": (FORWARD,), "reverse": (REVERSE,), "both": (FORWARD, REVERSE)}
_STREAMS = {FORWARD: streams.LogZ.FORWARD, REVERSE: streams.LogZ.REVERSE}


def check_annealing(
    model: SqRBM | SqBM, policy: Annealing, data: Target | ArrayLike | None
) -> None:
    """ValueError on what does not suit the model, before any work."""
    kernel_for(form_of(model), policy.kernel, policy.precision)
    if data is not None:
        reference_fields(data, model.n_visible)
    if policy.states is not None:
        as_states(policy.states, model.n_visible)


def annealed_runs(
    model: SqRBM | SqBM,
    policy: Annealing,
    *,
    data: Target | ArrayLike | None,
    seed: Seed,
    progress: bool,
) -> list[Run]:
    """Estimates of log Z, one per direction ("ais", "ais-reverse").

    The second direction takes the same inverse temperatures as the first.
    """
    form, methods = form_of(model), _METHODS[policy.direction]
    kernel = kernel_for(form, policy.kernel, policy.precision)
    fields = None if data is None else reference_fields(data, model.n_visible)
    path = path_of(form, model.to_vector()[None], fields)
    runs: list[Run] = []
    betas = policy.betas
    total = len(methods) * (policy.n_betas - 1)
    with StepsDisplay("annealing", total, shown=progress) as display:
        for method in methods:
            before = time.perf_counter()
            init, group, doubts = None, 1, list[str]()
            if method == REVERSE:
                init, group, doubts = _equilibrium(model, policy, kernel, data, seed)
            result = anneal_along(
                path,
                keys=streams.keys([seed], _STREAMS[method]),
                chains=policy.chains, betas=betas, schedule=policy.schedule, kernel=kernel,
                steps=policy.steps, precision=policy.precision, init=init,
                group=group, resamples=policy.resamples, progress=display.advance,
            )  # fmt: skip
            betas = result.betas
            estimate = _estimate(result, method, kernel, time.perf_counter() - before)
            runs.append(Run(estimate, result.states[0], doubts))
    return runs


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
            "is wrong; take more inverse temperatures (betas)",
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
        two_sided=True,
    )


def _equilibrium(
    model: SqRBM | SqBM,
    policy: Annealing,
    kernel: str,
    data: Target | ArrayLike | None,
    seed: Seed,
) -> tuple[States, int, list[str]]:
    """States (1, C, n) to anneal back from, how many neighbours belong together, doubts."""
    n, count = model.n_visible, policy.chains
    if policy.states is None:
        ladders = min(_LADDERS, count)
        tempered, info, _ = sample_tempered(
            model,
            -(-count // ladders),
            Tempered(chains=ladders, kernel=kernel, precision=policy.precision),
            data=data,
            seed=streams.key(seed, streams.LogZ.START),
            progress=False,
        )
        doubts = [f"the reverse run may not start in equilibrium: {text}" for text in info.warnings]
        return tempered.reshape(1, -1, n), tempered.shape[1], doubts
    given = as_states(policy.states, n)
    if given.ndim == 2:
        given = given[:, None]
    if given.ndim != 3 or given.size == 0:
        raise ValueError(f"states must be (K, {n}) or (chains, draws, {n}), got {given.shape}")
    chains, draws, _ = given.shape
    if chains >= count:
        chosen = np.linspace(0, chains - 1, count).round().astype(np.intp)
        return given[None, chosen, -1], 1, []
    each = min(draws, -(-count // chains))
    spaced = np.linspace(0, draws - 1, each).round().astype(np.intp)
    return given[:, spaced].reshape(1, -1, n), each, []


def _estimate(result: Annealed, method: str, kernel: str, seconds: float) -> Estimate:
    chains, temperatures = result.log_weights.shape[1], result.betas.shape[1]
    ess, largest = float(result.ess[0]), float(result.largest[0])
    cure = f"take more than {temperatures} inverse temperatures (betas), or more chains"
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
        chains=chains,
        seconds=seconds,
        trusted=not complaints,
        warnings=complaints,
        kernel=kernel,
        betas=result.betas[0],
        pareto_k=shape,
    )
