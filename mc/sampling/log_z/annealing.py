"""Annealed importance sampling of log Z, for batches of models (Neal, "Annealed importance
sampling", Statistics and Computing 11, 2001).

A chain starts at a state of the solvable end beta = 0 and is swept once at every inverse
temperature; the product of the ratios p~_{k}(v)/p~_{k-1}(v) on its way is a weight with mean
Z / Z_0. Run backwards from equilibrium states of the model, the weights have mean Z_0 / Z. By
Jensen's inequality the forward estimate of log Z is low on average. The reverse one is high if, and
only if, its states are equilibrium states (Grosse, Ghahramani & Adams, "Sandwiching the marginal
likelihood using bidirectional Monte Carlo", arXiv:1511.02543): chains that never saw a mode give
states that lack it, and then both are low.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import check_kernel, is_exact
from mc.sampling.group_path import Form, GroupPath, check_sweeps, sweeper_of
from mc.sampling.log_z.estimate import summarise
from mc.sampling.log_z.policies import Schedule
from mc.sampling.path import Path, check_betas
from tnqbm.base.teams import Alone, Team, share
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.hamiltonian.layout import GroupLayout

Float = NDArray[np.float64]
States = NDArray[np.uint8]
Keys = NDArray[np.uint64]

PILOT_CHAINS = 64
PILOT_SPREAD = 1.0
"""Standard deviation of log weight increments aimed at in the pilot run."""
PILOT_KNOTS = 400
UNIFORM_SHARE = 0.1
"""Part of the inverse temperatures spread evenly, whatever the pilot run found."""


@short_repr
class Annealed(NamedTuple):
    """Result of annealing a batch of B models.

    ``log_z``, ``standard_error`` (bootstrap over chains), ``ess`` (effective number of chains),
    ``largest`` (share of the largest weight), each (B,); ``log_weights`` (B, C) whose mean
    estimates Z / Z_0 (forward) or Z_0 / Z (reverse); ``betas`` (B, K); ``states`` (B, C, n) of
    the chains at beta = 1, which the weights of a forward run make states of the model (those of
    this process, if a team shares the chains).
    """

    log_z: Float
    standard_error: Float
    ess: Float
    largest: Float
    log_weights: Float
    betas: Float
    states: States


def default_kernel(n_paulis: int) -> str:
    """The exact kernel taken for ``kernel="auto"``: block for the RBM, collapsed otherwise."""
    return "block" if n_paulis == 1 else "collapsed"


def choose_kernel(kernel: str, n_paulis: int) -> str:
    """The kernel that a name stands for; ValueError unless it leaves the model invariant."""
    if kernel == "auto":
        return default_kernel(n_paulis)
    check_kernel(kernel, n_paulis)
    if not is_exact(kernel, n_paulis):
        raise ValueError(
            f"kernel: {kernel!r} samples {n_paulis} Paulis only approximately, which would bias "
            "the estimate; take an exact one, or 'auto'"
        )
    return kernel


def kernel_for(form: Form, kernel: str, precision: str) -> str:
    """The kernel that a name stands for with models of a form; ValueError as
    :func:`choose_kernel`, and for what sqBMs are not swept by."""
    if isinstance(form, GroupLayout):
        return check_sweeps(kernel, precision)
    return choose_kernel(kernel, form.n_paulis)


def anneal(
    theta: Float,
    n: int,
    m: int,
    n_paulis: int,
    *,
    keys: Keys,
    chains: int = 500,
    betas: int | ArrayLike = 1000,
    schedule: Schedule = "adaptive",
    kernel: str = "auto",
    steps: int = 1,
    precision: str = "double",
    reference: Float | None = None,
    init: States | None = None,
    group: int = 1,
    resamples: int = 200,
    team: Team | None = None,
    progress: Callable[[int], None] | None = None,
) -> Annealed:
    """log Z of models theta (B, size) with error bars; row b depends on theta[b], keys[b] alone.

    n, m, n_paulis : shape of the models.
    keys : (B,) names of the random streams.
    chains : chains per model.
    betas : number of inverse temperatures, 0 and 1 included, or the inverse temperatures
        themselves, (K,) or (B, K), rising from 0 to 1.
    schedule : how a number of them is placed: "adaptive" (by a pilot run, see
        :func:`adaptive_betas`) or "linear".
    kernel : an exact kernel of :mod:`mc.kernels`; "auto": block for one Pauli, else collapsed.
    steps : sweeps at each inverse temperature.
    precision : arithmetic of the sweeps; weights are always computed in double precision.
    reference : fields of the solvable end, default the models' own; shapes as for
        :class:`mc.sampling.path.Path`.
    init : (B, C, n) equilibrium states of the models; if given, anneals backwards from them
        (and ``chains`` is C).
    group : so many neighbouring chains of ``init`` are not independent of one another (they come
        from one Markov chain); the bootstrap draws them together.
    resamples : number of resamples of chains for the standard error.
    team : processes that share the chains; every member gets the whole result.
    progress : called with 1 after every inverse temperature.

    Memory beyond the states: two copies of theta. ValueError on impossible arguments.
    """
    return anneal_along(
        Path(theta, n, m, n_paulis, reference), keys=keys, chains=chains, betas=betas,
        schedule=schedule, kernel=choose_kernel(kernel, n_paulis), steps=steps,
        precision=precision, init=init, group=group, resamples=resamples, team=team,
        progress=progress,
    )  # fmt: skip


def anneal_along(
    path: Path | GroupPath,
    *,
    keys: Keys,
    chains: int = 500,
    betas: int | ArrayLike = 1000,
    schedule: Schedule = "adaptive",
    kernel: str = "collapsed",
    steps: int = 1,
    precision: str = "double",
    init: States | None = None,
    group: int = 1,
    resamples: int = 200,
    team: Team | None = None,
    progress: Callable[[int], None] | None = None,
) -> Annealed:
    """log Z of the models at the end of a path; arguments and errors as of :func:`anneal`."""
    team = team or Alone()
    batch, n = path.theta.shape[0], path.n
    if init is not None:
        if init.ndim != 3 or init.shape[::2] != (batch, n) or init.shape[1] == 0:
            raise ValueError(f"init must have shape ({batch}, chains, {n}), got {init.shape}")
        chains = init.shape[1]
    for name, value, least in (
        ("chains", chains, 1),
        ("betas", betas if isinstance(betas, int | np.integer) else 2, 2),
        ("steps", steps, 1),
        ("resamples", resamples, 2),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if group < 1 or chains % group:
        raise ValueError(f"group = {group} does not divide the {chains} chains")
    places = _places(path, keys, betas, schedule, kernel, precision)
    first, last = share(chains, team)
    walker = _Walker(path, kernel, precision, streams.keys(keys, streams.Annealing.CHAINS), first)
    if init is None:
        states = np.zeros((batch, last - first, n), dtype=np.uint8)
        log_weights = walker.forward(places, states, steps, progress)
    else:
        states = np.array(init[:, first:last], dtype=np.uint8, order="C")
        log_weights = walker.reverse(places, states.copy(), steps, progress)
    log_weights = np.ascontiguousarray(team.gather(log_weights))
    summary = summarise(
        log_weights,
        streams.keys(keys, streams.Annealing.BOOTSTRAP),
        resamples=resamples,
        group=group,
    )
    sign = 1.0 if init is None else -1.0
    log_z = path.log_z0() + sign * summary.log_mean
    # The weights are sums of rounded differences: claim no more than double precision has.
    rounding = np.finfo(np.float64).eps * np.sqrt(places.shape[1]) * (1.0 + np.abs(log_z))
    error = np.maximum(summary.standard_error, rounding)
    return Annealed(log_z, error, summary.ess, summary.largest, log_weights, places, states)


def adaptive_betas(
    path: Path | GroupPath,
    count: int,
    *,
    keys: Keys,
    kernel: str,
    precision: str = "double",
    chains: int = PILOT_CHAINS,
) -> Float:
    """Inverse temperatures (B, count) between which the log weights spread evenly.

    A pilot run of a few chains walks from 0 to 1 in steps whose log weight increments have a
    standard deviation near 1; these lengths, summed, measure the path (thermodynamic length,
    Crooks, PRL 99, 100602, 2007), and equal parts of it minimise the variance of the result
    (Gelman & Meng, Statistical Science 13, 1998). A tenth of the density stays uniform in beta,
    against what the pilot run did not see. Its random numbers are not used again, so the estimate
    stays unbiased.
    """
    batch = path.theta.shape[0]
    walker = _Walker(path, kernel, precision, streams.keys(keys, streams.Annealing.PILOT), 0)
    states = np.zeros((batch, chains, path.n), dtype=np.uint8)
    beta = np.zeros(batch)
    step = np.full(batch, 0.02)
    knots: list[list[tuple[float, float]]] = [[(0.0, 0.0)] for _ in range(batch)]
    walker.sweep(path.at(beta), states, 1)
    rows = np.arange(batch)
    while rows.size:
        theta = path.at(beta[rows], rows)
        here = walker.weigh(theta, states[rows])
        spread = np.zeros(rows.size)
        trial = np.empty(rows.size)
        searching = np.arange(rows.size)
        for attempt in range(8):
            which = rows[searching]
            trial[searching] = np.minimum(beta[which] + step[which], 1.0)
            there = walker.weigh(path.at(trial[searching], which), states[which])
            spread[searching] = (there - here[searching]).std(axis=1)
            too_long = spread[searching] > 2.0 * PILOT_SPREAD
            too_short = (spread[searching] < 0.5 * PILOT_SPREAD) & (trial[searching] < 1.0)
            ratio = PILOT_SPREAD / np.maximum(spread[searching], 1e-3)
            again = too_long | (too_short if attempt < 4 else False)
            step[which] *= np.where(again, np.clip(ratio, 0.05, 4.0), 1.0)
            searching = searching[again]
            if not searching.size:
                break
        for k, row in enumerate(rows):
            knots[row].append((float(trial[k]), float(spread[k])))
            if len(knots[row]) > PILOT_KNOTS:  # hopelessly rough: the rest of the path is uniform
                trial[k] = 1.0
        beta[rows] = trial
        rows = rows[trial < 1.0]
        if rows.size:
            moving = np.ascontiguousarray(states[rows])
            walker.sweep(path.at(beta[rows], rows), moving, 2, rows)
            states[rows] = moving
    return np.stack([_evenly(np.array(knot), count) for knot in knots])


def _evenly(knots: Float, count: int) -> Float:
    """``count`` betas that cut the length of the knots (beta, length since the last) equally."""
    beta = np.append(knots[:, 0], 1.0) if knots[-1, 0] < 1.0 else knots[:, 0]
    length = np.cumsum(np.append(knots[:, 1], 0.0)[: beta.size])
    if length[-1] > 0.0:
        length = (1.0 - UNIFORM_SHARE) * length / length[-1] + UNIFORM_SHARE * beta
    else:
        length = beta
    betas = np.interp(np.linspace(0.0, 1.0, count), length, beta)
    betas[0], betas[-1] = 0.0, 1.0
    return np.asarray(betas)


def _places(
    path: Path | GroupPath,
    keys: Keys,
    betas: int | ArrayLike,
    schedule: Schedule,
    kernel: str,
    precision: str,
) -> Float:
    """Inverse temperatures of every model, (B, K)."""
    batch = path.theta.shape[0]
    if isinstance(betas, int | np.integer):
        count = int(betas)
        if schedule == "adaptive":
            return adaptive_betas(path, count, keys=keys, kernel=kernel, precision=precision)
        if schedule == "linear":
            return np.tile(np.linspace(0.0, 1.0, count), (batch, 1))
        raise ValueError(f"schedule must be 'adaptive' or 'linear', got {schedule!r}")
    given = np.asarray(betas, dtype=np.float64)
    if given.ndim == 2 and given.shape[0] == batch:
        return np.stack([check_betas(row) for row in given])
    return np.tile(check_betas(given), (batch, 1))


class _Walker:
    """Sweeps chains along a path and weighs them; keeps the clock of their random numbers."""

    def __init__(
        self, path: Path | GroupPath, kernel: str, precision: str, keys: Keys, first: int
    ) -> None:
        self._path, self._keys, self._first = path, keys, first
        self._sweeper = sweeper_of(path.form, kernel, precision)
        same = precision == "double"
        self._weigher = self._sweeper if same else sweeper_of(path.form, kernel, "double")
        self._clock = 0

    def sweep(
        self, theta: Float, states: States, sweeps: int, rows: NDArray[np.intp] | None = None
    ) -> None:
        if states.shape[1]:
            keys = self._keys if rows is None else self._keys[rows]
            self._sweeper.sweep(theta, states, keys, self._clock, sweeps, self._first)
        self._clock += sweeps

    def weigh(self, theta: Float, states: States) -> Float:
        if not states.shape[1]:
            return np.zeros(states.shape[:2])
        return self._weigher.log_weights(theta, states)

    def forward(
        self, betas: Float, states: States, sweeps: int, progress: Callable[[int], None] | None
    ) -> Float:
        """log of p~_K(v_K-1)/... along the way up, (B, C). ``states`` are overwritten."""
        here = self._path.at(betas[:, 0])
        # At beta = 0 the bits are independent of the hidden units: one sweep draws them exactly.
        self.sweep(here, states, 1)
        return self._walk(betas, here, states, sweeps, progress)

    def reverse(
        self, betas: Float, states: States, sweeps: int, progress: Callable[[int], None] | None
    ) -> Float:
        """The same on the way down from equilibrium ``states``, which are overwritten."""
        down = betas[:, ::-1]
        return self._walk(down, self._path.at(down[:, 0]), states, sweeps, progress)

    def _walk(
        self,
        betas: Float,
        here: Float,
        states: States,
        sweeps: int,
        progress: Callable[[int], None] | None,
    ) -> Float:
        log_weights = np.zeros(states.shape[:2])
        last = betas.shape[1] - 1
        for k in range(1, last + 1):
            there = self._path.at(betas[:, k])
            log_weights += self.weigh(there, states) - self.weigh(here, states)
            here = there
            if k < last:
                self.sweep(here, states, sweeps)
            if progress is not None:
                progress(1)
        return log_weights
