"""Parallel tempering along the path to a solvable model (Swendsen & Wang 1986; Geyer 1991).

A ladder holds one chain at every inverse temperature. Rounds of sweeps alternate with swaps of the
states of neighbours, of even and odd pairs in turn: the order that carries states through the
ladder fastest (Okabe et al. 2001; Syed, Bouchard-Côté, Deligiannidis & Doucet, "Non-reversible
parallel tempering", JRSS B 84, 2022). Several ladders of several models run at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import Sweeper
from mc.sampling.log_z.annealing import adaptive_betas, choose_kernel
from mc.sampling.path import Path
from tnqbm.core import streams
from tnqbm.core.shape import Shape

Float = NDArray[np.float64]
States = NDArray[np.uint8]
Keys = NDArray[np.uint64]


_HOT, _COLD = 1, 2

MIN_RATE = 1e-3
"""Swap rates are not told apart below this one."""


def swap_log_ratio(
    own_low: Float, own_high: Float, low_at_high: Float, high_at_low: Float
) -> Float:
    """log of the Metropolis ratio for exchanging the states of two neighbours.

    ``own_*`` log weights of each state where it is, ``low_at_high`` that of the lower neighbour's
    state at the upper inverse temperature, ``high_at_low`` the reverse.
    """
    return (low_at_high - own_high) + (high_at_low - own_low)


class Tempering:
    """Ladders of chains of B models of one shape, whose parameters may change between calls.

    Parameters
    ----------
    n, m, n_paulis : shape of the models.
    betas : (R,) or (B, R) inverse temperatures, increasing, the last one 1. R = 1: plain chains.
    chains : independent ladders per model (of which this object holds those from ``first_chain``
        on, if several processes share them).
    keys : (B,) names of the models' random streams.
    kernel : an exact kernel of :mod:`mc.kernels`, or "auto".
    precision : arithmetic of the sweeps; swaps are always decided in double precision.
    reference : (n,) or (B, n) visible fields of the solvable end, default the models' own.
    init : (B, chains, n) or (chains, n) states put at every temperature; default random.

    Model b's numbers are a function of theta[b], keys[b] and the number of sweeps so far.

    Attributes: ``betas`` (B, R); ``chains`` (B, R, ladders, n) uint8; ``round_trips``
    (B, ladders), journeys of a state from beta = 1 to the other end and back.
    """

    def __init__(
        self,
        n: int,
        m: int,
        n_paulis: int,
        *,
        betas: ArrayLike,
        chains: int,
        keys: Keys,
        kernel: str = "auto",
        precision: str = "double",
        reference: Float | None = None,
        init: ArrayLike | None = None,
        first_chain: int = 0,
    ) -> None:
        self.kernel = choose_kernel(kernel, n_paulis)
        if chains < 1:
            raise ValueError(f"chains must be at least 1, got {chains}")
        self._shape = Shape(n, m, n_paulis)
        self._keys = np.asarray(keys, dtype=np.uint64)
        self._reference = reference
        self._first = first_chain
        self._sweeper = Sweeper(self._shape, self.kernel, precision=precision)
        same = precision == "double"
        self._weigher = self._sweeper if same else Sweeper(self._shape, self.kernel)
        batch = self._keys.size
        self.betas = _check_ladder(betas, batch)
        temperatures = self.betas.shape[1]
        self._row_keys = self._keys_of_rows(temperatures)
        self._swap_keys = streams.keys(self._keys, streams.Tempering.SWAPS)
        self.chains = np.zeros((batch, temperatures, chains, n), dtype=np.uint8)
        self.clock = 0
        self._rounds = 0
        if init is None:
            # Independent fair bits: a sweep of models without any parameters.
            nothing = np.zeros((batch * temperatures, self._shape.size))
            self._sweep(nothing, self.chains, self._row_keys, 1)
        else:
            given = np.asarray(init, dtype=np.uint8)
            if given.shape not in ((chains, n), (batch, chains, n)):
                raise ValueError(
                    f"init must have shape ({chains}, {n}) or ({batch}, {chains}, {n}), "
                    f"got {given.shape}"
                )
            self.chains[:] = given[None, None] if given.ndim == 2 else given[:, None]
        self.reset_counters()

    @property
    def states(self) -> States:
        """States at beta = 1, (B, ladders, n); not a copy."""
        return self.chains[:, -1]

    @property
    def swap_rates(self) -> Float:
        """Mean acceptance probability of swaps of neighbours, (B, R - 1); nan where none was tried.

        Counted since the last :meth:`reset_counters` or :meth:`retune`, as all rates are.
        """
        rates = np.full(self._accepted.shape, np.nan)
        np.divide(self._accepted, self._tried, out=rates, where=self._tried > 0)
        return rates

    @property
    def lengths(self) -> Float:
        """Distances of neighbouring temperatures (B, R - 1): acceptance = erfc(length)."""
        from scipy.special import erfcinv

        rates = np.nan_to_num(self.swap_rates, nan=1.0)
        return np.asarray(erfcinv(np.clip(rates, MIN_RATE, 1.0)))

    @property
    def acceptance(self) -> Float:
        """Mean acceptance of the sweeps at every temperature, (B, R)."""
        return self._moved / max(1, self._swept)

    def advance(
        self,
        theta: Float,
        sweeps: int = 1,
        *,
        swap: bool = True,
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        """``sweeps`` times: one sweep at every temperature, then swaps of every other pair.

        theta : (B, size) parameters of the models, or of ``rows`` alone if only these advance.
        """
        everything = rows is None or np.array_equal(rows, np.arange(self._keys.size))
        which = slice(None) if everything else rows
        chains = self.chains if everything else np.ascontiguousarray(self.chains[which])
        reference = self._reference
        if reference is not None and reference.ndim == 2:
            reference = reference[which]
        path = Path(theta, *self._shape, reference)
        if path.theta.shape[0] != chains.shape[0]:
            raise ValueError(
                f"theta has {path.theta.shape[0]} rows, but {chains.shape[0]} models advance"
            )
        ladder = path.ladder(self.betas[which])
        keys = self._row_keys.reshape(self.betas.shape)[which].ravel()
        models = np.arange(self._keys.size)[which]
        for _ in range(sweeps):
            moved = self._sweep(ladder, chains, keys, 1)
            self._moved[which] += moved
            if swap and chains.shape[1] > 1:
                self._swap(ladder, chains, models)
        self._swept += sweeps
        if not everything:
            self.chains[which] = chains

    def retune(self, temperatures: int | None = None) -> None:
        """Place the inverse temperatures anew so that all neighbours swap equally often.

        Acceptance falls with the distance of two temperatures as erfc(length) where energies are
        normally distributed (Kofke, J. Chem. Phys. 117, 6911, 2002), so that lengths, other than
        rejection rates, add up along the ladder; ``temperatures`` (default: as many as there are)
        divide them evenly. For use before the samples that are kept, as the ladder then depends
        on the chains; and not by processes that share ladders, each of which knows its own only.
        """
        count = self.betas.shape[1] if temperatures is None else temperatures
        if count < 1:
            raise ValueError(f"temperatures must be at least 1, got {count}")
        pairs = zip(self.betas, self.lengths, strict=True)
        self.replace_betas(np.stack([_respaced(b, x, count) for b, x in pairs]))

    def lay_out(self, theta: Float, temperatures: int) -> None:
        """A first ladder for models theta (B, size), from a pilot run of annealing."""
        path = Path(theta, *self._shape, self._reference)
        self.replace_betas(adaptive_betas(path, temperatures, keys=self._keys, kernel=self.kernel))

    def replace_betas(self, betas: ArrayLike) -> None:
        """Go on with other inverse temperatures, (R,) or (B, R).

        Chains go to the nearest one, and the counters are reset.
        """
        old, self.betas = self.betas, _check_ladder(betas, self._keys.size)
        nearest = np.abs(self.betas[:, :, None] - old[:, None, :]).argmin(axis=2)
        self.chains = np.stack([c[k] for c, k in zip(self.chains, nearest, strict=True)])
        self._row_keys = self._keys_of_rows(self.betas.shape[1])
        self.reset_counters()

    def log_weights(self, theta: Float, states: States) -> Float:
        """log p~ at beta = 1 of states (B, K, n) under theta (B, size), (B, K)."""
        return self._weigher.log_weights(theta, states)

    def reset_counters(self) -> None:
        """Forget rates and round trips; every state begins its journey where it is."""
        batch, temperatures, ladders, _ = self.chains.shape
        self._identity = np.empty((batch, temperatures, ladders), dtype=np.int32)
        self._identity[:] = np.arange(temperatures)[None, :, None]
        self._mark = np.zeros((batch, temperatures, ladders), dtype=np.uint8)
        self.round_trips = np.zeros((batch, ladders), dtype=np.int64)
        self._accepted = np.zeros((batch, temperatures - 1))
        self._tried = np.zeros((batch, temperatures - 1), dtype=np.int64)
        self._moved = np.zeros((batch, temperatures))
        self._swept = 0

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All arrays that a checkpoint must keep."""
        return {
            "betas": self.betas.copy(),
            "chains": self.chains.copy(),
            "identity": self._identity.copy(),
            "mark": self._mark.copy(),
            "round_trips": self.round_trips.copy(),
            "accepted": self._accepted.copy(),
            "tried": self._tried.copy(),
            "moved": self._moved.copy(),
            "counters": np.array([self.clock, self._rounds, self._swept], dtype=np.int64),
        }

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Go on from :meth:`state`; ValueError if it belongs to other ladders."""
        expected = set(self.state())
        if set(state) != expected:
            raise ValueError(
                "not the state of parallel tempering: it needs " + ", ".join(sorted(expected))
            )
        betas = _check_ladder(state["betas"], self._keys.size)
        batch, _, ladders, n = self.chains.shape
        if state["chains"].shape != (batch, betas.shape[1], ladders, n):
            raise ValueError(
                f"the state holds chains of shape {state['chains'].shape}, expected "
                f"({batch}, {betas.shape[1]}, {ladders}, {n})"
            )
        self.betas = betas
        self._row_keys = self._keys_of_rows(betas.shape[1])
        self.chains = np.array(state["chains"], dtype=np.uint8, order="C")
        self._identity = np.array(state["identity"], dtype=np.int32)
        self._mark = np.array(state["mark"], dtype=np.uint8)
        self.round_trips = np.array(state["round_trips"], dtype=np.int64)
        self._accepted = np.array(state["accepted"], dtype=np.float64)
        self._tried = np.array(state["tried"], dtype=np.int64)
        self._moved = np.array(state["moved"], dtype=np.float64)
        self.clock, self._rounds, self._swept = (int(k) for k in state["counters"])  # type: ignore[call-overload]

    def _keys_of_rows(self, temperatures: int) -> Keys:
        return np.array(
            [streams.key(key, r) for key in self._keys for r in range(temperatures)],
            dtype=np.uint64,
        )

    def _sweep(self, ladder: Float, chains: States, keys: Keys, sweeps: int) -> Float:
        """Sweeps of all chains; the mean acceptance (B, R)."""
        batch, temperatures, ladders, n = chains.shape
        flat = chains.reshape(batch * temperatures, ladders, n)
        found = self._sweeper.sweep(ladder, flat, keys, self.clock, sweeps, self._first)
        self.clock += sweeps
        return np.asarray(found.mean(axis=1).reshape(batch, temperatures))

    def _swap(self, ladder: Float, chains: States, models: NDArray[np.intp]) -> None:
        """Exchange the states of every other pair of neighbours, by Metropolis' rule."""
        batch, temperatures, ladders, n = chains.shape
        parity = self._rounds % 2
        self._rounds += 1
        low = np.arange(parity, temperatures - 1, 2)
        if not low.size:
            return
        partner = np.arange(temperatures)
        partner[low], partner[low + 1] = low + 1, low
        flat = (batch * temperatures, ladders, n)
        own = self._weigher.log_weights(ladder, chains.reshape(flat))
        exchanged = np.ascontiguousarray(chains[:, partner])
        other = self._weigher.log_weights(ladder, exchanged.reshape(flat))
        own, other = (f.reshape(batch, temperatures, ladders) for f in (own, other))
        # Row r of ``other`` is the partner's state at r's temperature.
        log_ratio = swap_log_ratio(own[:, low], own[:, low + 1], other[:, low + 1], other[:, low])
        accept = np.exp(np.minimum(log_ratio, 0.0))
        chosen = self._uniforms(models, temperatures, ladders)[:, low] < accept
        self._accepted[np.ix_(models, low)] += accept.sum(axis=2)
        self._tried[np.ix_(models, low)] += ladders
        swapped = np.zeros((batch, temperatures, ladders), dtype=bool)
        swapped[:, low] = swapped[:, low + 1] = chosen
        chains[:] = np.where(swapped[..., None], exchanged, chains)
        identity = self._identity[models]
        self._identity[models] = np.where(swapped, identity[:, partner], identity)
        self._count_trips(models)

    def _uniforms(self, models: NDArray[np.intp], temperatures: int, ladders: int) -> Float:
        """Numbers uniform in [0, 1), (B, R, ladders): functions of (key, round, ladder, pair)."""
        drawn = []
        for model in models:
            rng = streams.philox(self._swap_keys[model], (0, self._rounds, 0, 0))
            everyone = rng.random((self._first + ladders, temperatures))
            drawn.append(everyone[self._first :].T)
        return np.stack(drawn)

    def _count_trips(self, models: NDArray[np.intp]) -> None:
        ladders = np.arange(self.chains.shape[2])[None]
        row = models[:, None]
        hot, cold = self._identity[models, 0], self._identity[models, -1]
        came_back = self._mark[row, cold, ladders] == _HOT
        self.round_trips[models] += came_back
        self._mark[row, cold, ladders] = _COLD
        left = self._mark[row, hot, ladders] == _COLD
        self._mark[row, hot, ladders] = np.where(left, _HOT, self._mark[row, hot, ladders])


def _check_ladder(betas: ArrayLike, batch: int) -> Float:
    """(B, R) inverse temperatures; ValueError unless they rise to 1 from 0 or above."""
    array = np.asarray(betas, dtype=np.float64)
    if array.ndim == 1:
        array = np.tile(array, (batch, 1))
    if array.ndim != 2 or array.shape[0] != batch or array.shape[1] == 0:
        raise ValueError(
            f"betas must have shape (temperatures,) or ({batch}, temperatures), got "
            f"{np.shape(betas)}"
        )
    rising = (np.diff(array, axis=1) > 0).all() and (array >= 0).all()
    if not np.isfinite(array).all() or not rising or (array[:, -1] != 1.0).any():
        raise ValueError("betas must increase from 0 or more to exactly 1 (the model itself)")
    return array


def _respaced(betas: Float, lengths: Float, count: int) -> Float:
    """``count`` inverse temperatures from the first to the last, equally far from each other."""
    if count == 1:
        return np.ones(1)
    if betas.size == 1:
        return np.linspace(0.0, 1.0, count)
    # A floor keeps temperatures apart where every swap was accepted.
    along = np.append(0.0, np.cumsum(np.maximum(lengths, 1e-3)))
    placed = np.interp(np.linspace(0.0, along[-1], count), along, betas)
    placed[-1] = 1.0
    return np.asarray(placed)
