"""The estimator "weighted": persistent chains that carry weights through the updates.

A chain that was distributed as the model before an update stands for the model after it with the
weight p~_new(v) / p~_old(v). Weights multiply up from update to update, chains of small weight make
room for copies of others now and then, and averages are weighted. So averages are consistent
however few sweeps an update has, and the mean weight follows Z: a sequential Monte Carlo sampler
(Del Moral, Doucet & Jasra 2006) along the training (Carbone, Hua, Coste & Vanden-Eijnden 2023).

The order of an update: weights for the new parameters, averages, resampling where the weights have
become uneven, sweeps. Sweeps come last so that the states that decide a step are not those that
weigh it: a step follows the noise of the averages and so lowers the weights of the very states
that made the noise. What sweeps leave of this would still add up, update by update, to a log Z
that is too low, by an amount that falls as one over the number of chains. Therefore some of the
chains, the witnesses, have no part in the averages: training does not depend on them, and what
their weights say of Z has no bias.

A step that would make the weights too uneven at once is shortened, :meth:`WeightedChains.allowed`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.estimators.jumps import Jumps
from mc.estimators.known import Known, KnownStates
from mc.estimators.particles import Groups, shortened
from mc.estimators.shared import checked_array, shape_of, sweeper_of, taken
from mc.estimators.survey import Survey
from mc.estimators.way import Way
from mc.kernels.weights import effective_shares, relative_variances, reweigh_groups
from mc.sampling.resampling import ancestors
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.core.bounds import SIGMAS
from tnqbm.exact.averages import SampleMoments
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.training.estimators import Averages, Context, between

if TYPE_CHECKING:
    from mc.estimators.settings import Weighted


Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
Flags = NDArray[np.bool_]
State = dict[str, NDArray[np.generic]]

EXTRA_SWEEPS = 4
"""More sweeps, in units of ``steps``, of an update that resamples: copies must part again."""

TRIALS = 10
"""Lengths of a step that are tried before one is taken whatever it does to the weights."""

GROWTH = 2.0
"""Fractions grow by no more than this factor from one update to the next."""

ROUNDING = float(np.finfo(np.float64).eps)
"""Error of log Z, relative to 1 + |log Z|, that an update may add."""

ANCHORS = 100.0
"""Effective witnesses in known states from which log Z is set right by what these weigh."""

GUESS = 2.0
"""Error of a predicted log mean weight (nats) beyond which sums are computed again."""


class _Weighed(NamedTuple):
    """Chains of runs (B) under other parameters ``theta`` (B, size).

    ``weights`` (B, C) of all their chains, ``log_factors`` (B,) by which Z has grown as the
    witnesses see it, and conditional effective ``shares`` (B,) of the others. ``known`` (B, 2) are
    the parts of both groups' weights that chains in known states have. Of this process's chains
    ``inside`` (B, c), whether they are in such states, ``old`` (B, c), which is log p~ under the
    parameters that they come from, and ``sums`` (B, size) over those in other states, if the
    weights of all added up to ``totals`` (B,).
    """

    theta: Float
    inside: Flags
    old: Float
    weights: Float
    log_factors: Float
    shares: Float
    known: Float
    sums: NDArray[np.int64]
    totals: Float

    def put(self, places: Rows, other: _Weighed) -> None:
        """Replace what belongs to the runs at ``places``."""
        for mine, new in zip(self, other, strict=True):
            mine[places] = new


class WeightedChains:
    """Chains with weights, for a batch of runs whose parameters change in small steps."""

    def __init__(self, settings: Weighted, context: Context) -> None:
        runs, total, shape = len(context.keys), settings.chains, shape_of(context)
        settings.check_chains(shape.n_paulis)
        self._steps, self._team = settings.steps, context.team
        self._resample_below, self._step_share = settings.resample_below, settings.step_share
        self._batch_size, self._wants_states = context.batch_size, context.wants_states
        self._sweeper = sweeper_of(settings, context)
        self._moments = WeightedMoments(shape, context.precision)
        self._of_data = SampleMoments(shape, context.precision)
        self._sweep_keys = streams.keys(context.keys, streams.Run.SWEEPS)
        self._pick_keys = streams.keys(context.keys, streams.Run.RESAMPLING)
        self._groups = groups = Groups(total, total - settings.witnesses)
        self._way = Way(context, groups)
        self._known = KnownStates(context, total, self._moments)
        self._jumps = Jumps(context, total, self._moments)
        self._survey = Survey(context, exact=self._known.used)
        self._share = first, last = share(total, context.team)
        self._local = tuple(
            slice(max(first, g.start) - first, max(first, min(last, g.stop)) - first)
            for g in groups.spans
        )
        """Where the groups are among this process's chains."""
        self._updates = 0
        self._started = np.zeros(runs, dtype=bool)
        self._chains = np.zeros((runs, last - first, shape.n_visible), dtype=np.uint8)
        self._theta = np.zeros((runs, shape.size))
        self._model = np.zeros((runs, shape.size))
        self._weights = np.tile(groups.equal_weights(), (runs, 1))
        self._families = np.tile(np.arange(groups.witnesses), (runs, 1))
        self._log_z = np.zeros(runs)
        self._fractions = np.ones(runs)
        self._resamplings = np.zeros(runs, dtype=np.int64)
        self._anchorings = np.zeros(runs, dtype=np.int64)
        self._ahead: tuple[Rows, _Weighed] | None = None

    def estimate(self, theta: Float, rows: Rows, data: States | None = None) -> Averages:
        self._start(theta, rows)
        found, known = self._reweigh(theta, rows), self._known.weigh(theta, rows)
        model, of_data = self._averages(found, known, data)
        self._model[rows] = model
        shares = np.empty((rows.size, 2))
        effective_shares(found.weights, self._groups.first_witness, shares)
        witnesses = shares[:, 1] * self._groups.witnesses
        log_z, error = self._log_partition(found, known.log_sums, witnesses, rows)
        states, weights = self._with_states(found.weights, rows)
        usage = {
            "effective_chains": shares[:, 0] * self._groups.first_witness,
            "effective_witnesses": witnesses,
            "known_share": found.known[:, 0],
            "step_fraction": self._fractions[rows],
            "resamplings": self._resamplings[rows].astype(np.float64),
            "anchorings": self._anchorings[rows].astype(np.float64),
        }
        uneven = shares < self._resample_below
        self._resample(rows, uneven)
        self._jump(theta, rows)
        self._sweep(theta, rows, uneven)
        self._updates += 1
        return Averages(
            model,
            of_data,
            log_partition=log_z,
            log_partition_error=error,
            usage=usage,
            states=states,
            weights=weights,
        )

    def allowed(self, before: Float, after: Float, rows: Rows) -> Float:
        """Fractions (B,) of the steps that leave a conditional effective share large enough."""
        fractions = np.ones(rows.size)
        if not self._step_share:
            return fractions
        fractions = np.minimum(1.0, GROWTH * self._fractions[rows])
        found = self._weigh(between(before, after, fractions), rows)
        for _ in range(TRIALS):
            short = np.flatnonzero(found.shares < self._step_share)
            if not short.size:
                break
            fractions[short] *= [shortened(s, self._step_share) for s in found.shares[short]]
            theta = between(before[short], after[short], fractions[short])
            again = self._weigh(theta, rows[short], (found.inside[short], found.old[short]))
            found.put(short, again)
        self._fractions[rows] = fractions
        self._ahead = rows.copy(), found
        return np.asarray(fractions)

    def doubted(self, theta: Float, rows: Rows, log_z: Float, errors: Float) -> Float:
        """The errors (B,) of log Z, nan where it lacks modes that hardly any witness is in."""
        witnesses = self._groups.spans[1]
        chains = self._team.gather(taken(self._chains, rows))[:, witnesses]
        return self._survey.errors(
            theta, rows, chains, self._weights[rows, witnesses], log_z, errors
        )

    def _start(self, theta: Float, rows: Rows) -> None:
        """Chains and weights of runs that have none yet."""
        for k, run in enumerate(rows.tolist()):
            if not self._started[run]:
                arrived = self._way.to(theta[k], run)
                self._chains[run], self._weights[run] = arrived.chains, arrived.weights
                self._families[run], self._log_z[run] = arrived.families, arrived.log_z
                self._theta[run], self._started[run] = theta[k], True

    def _log_partition(
        self, found: _Weighed, known: Float, witnesses: Float, rows: Rows
    ) -> tuple[Float, Float]:
        """log Z (B,) and its standard error, with the log of the ``known`` weights (B,).

        Witnesses, of which ``witnesses`` (B,) are effective, estimate the known weights as well:
        by Z times the part f of them that is in known states. Where this differs from the truth,
        so does Z, and it is corrected by as much of the difference, beta (f Z - known), as leaves
        the least variance: none if the weights are better known than f, all if f is. Where the
        two contradict each other, witnesses have lost mass; their log Z is then set right by f if
        enough of them are in known states by now, else the error is nan if log Z of all states is
        below that of the known ones.
        """
        errors = self._errors(found.weights, rows)
        if not self._known.used:
            return self._log_z[rows], errors
        least = 1.0 / np.maximum(witnesses, 1.0)
        inside = np.maximum(found.known[:, 1], least)
        scatter = inside * np.maximum(1.0 - found.known[:, 1], least) * least
        off = self._log_z[rows] + np.log(inside) - known
        wrong = np.abs(off) > SIGMAS * np.sqrt(errors**2 + scatter / inside**2)
        mended = wrong & (inside >= ANCHORS * least)
        self._log_z[rows[mended]] -= off[mended]
        self._anchorings[rows[mended]] += 1
        log_z = self._log_z[rows]
        lost = known - log_z > SIGMAS * errors
        both = (errors * inside) ** 2 + scatter
        beta = errors**2 * inside / both
        log_z = np.logaddexp(log_z + np.log(scatter / both), known + np.log(beta))
        return log_z, np.where(lost & ~mended, np.nan, errors * np.sqrt(scatter / both))

    def _errors(self, weights: Float, rows: Rows) -> Float:
        """Standard errors (B,) of the witnesses' log Z, at least what rounding may add up to."""
        groups, variances = self._groups, np.empty(rows.size)
        work = np.empty(groups.witnesses)
        relative_variances(weights, groups.first_witness, self._families, rows, work, variances)
        rounding = ROUNDING * math.sqrt(self._updates + 1.0)
        least = rounding * (1.0 + np.abs(self._log_z[rows]))
        return np.asarray(np.maximum(np.sqrt(variances), least))

    def _with_states(self, weights: Float, rows: Rows) -> tuple[States | None, Float | None]:
        """The states behind the averages, and their weights, if they are wanted."""
        if not self._wants_states:
            return None, None
        those = self._groups.spans[0]
        states = self._team.gather(taken(self._chains, rows))[:, those]
        return states.copy(), weights[:, those].copy()

    def _weigh(
        self, theta: Float, rows: Rows, of_chains: tuple[Flags, Float] | None = None
    ) -> _Weighed:
        """Weights and sums of chains under other parameters.

        ``of_chains`` is what :class:`_Weighed` has of the chains where they are, ``inside`` and
        ``old``, if that is known.
        """
        groups, (first, last), counted = self._groups, self._share, self._local[0].stop
        chains, before = taken(self._chains, rows), self._theta[rows]
        inside, old = of_chains or (self._known.holds(chains, rows), None)
        weights = np.where(inside, 0.0, self._weights[rows, first:last])
        # What the averages at the last parameters foretell.
        guesses = -((theta - before) * self._model[rows]).sum(axis=1)
        size = math.log(groups.first_witness)
        if old is None:
            found = self._moments.sums_from(before, theta, chains, weights, guesses - size, counted)
        else:
            found = self._moments.sums(theta, chains, weights, old, guesses - size, counted)
        increments = self._team.gather(found.log_p - found.old)
        new = np.empty((rows.size, groups.total))
        factors, shares = np.empty((rows.size, 2)), np.empty((rows.size, 2))
        reweigh_groups(self._weights, increments, rows, groups.first_witness, new, factors, shares)
        known = self._parts(new, inside)
        sums, far = found.sums, np.flatnonzero(np.abs(factors[:, 0] - guesses) > GUESS)
        if far.size:
            guesses[far] = factors[far, 0]
            sums[far] = self._moments.sums(
                theta[far], chains[far], weights[far], found.old[far], guesses[far] - size, counted
            ).sums
        totals = np.exp(factors[:, 0] - (guesses - size))
        log_factors, own_shares = factors[:, 1], shares[:, 0]
        return _Weighed(
            theta.copy(), inside, found.old, new, log_factors, own_shares, known, sums, totals
        )

    def _parts(self, weights: Float, inside: Flags) -> Float:
        """Sums (B, 2) of the groups' weights (B, C) over chains ``inside``, of this process's."""
        if not self._known.used:
            return np.zeros((len(weights), 2))
        own = np.where(self._team.gather(inside), weights, 0.0)
        return np.stack([own[:, g].sum(axis=1) for g in self._groups.spans], axis=1)

    def _reweigh(self, theta: Float, rows: Rows) -> _Weighed:
        """Give the chains the weights for new parameters."""
        ahead, self._ahead = self._ahead, None
        if (
            ahead is not None
            and np.array_equal(ahead[0], rows)
            and np.array_equal(ahead[1].theta, theta)
        ):
            found = ahead[1]
        else:
            found = self._weigh(theta, rows)
        self._weights[rows], self._theta[rows] = found.weights, theta
        self._log_z[rows] += found.log_factors
        return found

    def _averages(
        self, found: _Weighed, known: Known, data: States | None
    ) -> tuple[Float, Float | None]:
        """Averages of the model, and of the minibatch if there is one.

        The model's are those of the chains in other states, and of the known states in place of
        the chains there.
        """
        inside = found.known[:, :1] * known.means
        if data is None:
            sums = found.sums.copy()
            self._team.add(sums)
            return self._moments.mean(sums, found.totals) + inside, None
        both = np.stack([self._of_data.sums(found.theta, data), found.sums])
        self._team.add(both)
        of_data = self._of_data.mean(both[0], self._batch_size)
        return self._moments.mean(both[1], found.totals) + inside, of_data

    def _resample(self, rows: Rows, uneven: NDArray[np.bool_]) -> None:
        """Copy chains as often as they weigh, in groups with ``uneven`` (B, 2) weights."""
        wanted = np.flatnonzero(uneven.any(axis=1))
        if not wanted.size:
            return
        chains = self._team.gather(taken(self._chains, rows[wanted]))
        first, last = self._share
        for k, place in enumerate(wanted.tolist()):
            run = int(rows[place])
            offsets = streams.philox(self._pick_keys[run], (0, self._updates, 0, 0)).random(2)
            picks = np.arange(self._groups.total)
            for g, u, wants in zip(self._groups.spans, offsets, uneven[place], strict=True):
                if wants:
                    picks[g] = g.start + ancestors(self._weights[run, g], u)
                    self._weights[run, g] = 1.0 / (g.stop - g.start)
                    self._resamplings[run] += 1
            self._chains[run] = chains[k, picks[first:last]]
            witnesses = picks[self._groups.spans[1]] - self._groups.first_witness
            self._families[run] = self._families[run, witnesses]

    def _jump(self, theta: Float, rows: Rows) -> None:
        """Offer some of the chains states near rows of the data."""
        chains = taken(self._chains, rows)
        self._jumps.advance(theta, rows, chains, self._updates)
        if chains is not self._chains:
            self._chains[rows] = chains

    def _sweep(self, theta: Float, rows: Rows, uneven: NDArray[np.bool_]) -> None:
        """Move the chains, groups that were resampled more often."""
        clock = self._updates * self._steps * (1 + EXTRA_SWEEPS)
        everything = slice(0, self._chains.shape[1])
        self._move(theta, rows, everything, clock, self._steps)
        more = EXTRA_SWEEPS * self._steps
        for span, wants in zip(self._local, uneven.T, strict=True):
            if wants.any():
                self._move(theta[wants], rows[wants], span, clock + self._steps, more)

    def _move(self, theta: Float, rows: Rows, span: slice, clock: int, sweeps: int) -> None:
        chains = np.ascontiguousarray(taken(self._chains, rows)[:, span])
        keys, first = self._sweep_keys[rows], self._share[0] + span.start
        self._sweeper.sweep(theta, chains, keys, clock, sweeps, first)
        if not np.may_share_memory(chains, self._chains):
            self._chains[rows, span] = chains

    def state(self) -> State:
        own = {name: getattr(self, "_" + name).copy() for name in _OF_RUNS}
        chains = self._team.gather(self._chains).copy()
        return own | {"updates": np.array(self._updates), "chains": chains}

    def restore(self, state: State) -> None:
        runs, _, n = self._chains.shape
        chains = checked_array(state, "chains", (runs, self._groups.total, n))
        own = {
            name: checked_array(state, name, getattr(self, "_" + name).shape) for name in _OF_RUNS
        }
        self._updates = int(checked_array(state, "updates", ()))
        for name, values in own.items():
            setattr(self, "_" + name, np.array(values, getattr(self, "_" + name).dtype))
        first, last = self._share
        self._chains = np.array(chains[:, first:last], dtype=np.uint8, order="C")
        self._ahead = None


_OF_RUNS = (
    "started", "theta", "model", "weights", "families", "log_z", "fractions", "resamplings",
    "anchorings",
)  # fmt: skip
