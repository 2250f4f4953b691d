"""Replica exchange: ladders of chains of neighbouring models that swap their states.

A ladder holds one chain of every model of a list, its rungs, from one whose distribution is easily
forgotten to the model of interest. Rounds of sweeps alternate with swaps of the states of
neighbours, of even and odd pairs in turn: the order that carries states through the ladder fastest
(Okabe et al. 2001; Syed, Bouchard-Côté, Deligiannidis & Doucet, "Non-reversible parallel
tempering", JRSS B 84, 2022). What the models are, temperatures of one model
(:mod:`mc.sampling.tempering.ladder`) or snapshots of a training
(:mod:`mc.sampling.snapshots`), is for others to say: here they are rows of parameters.

A rung without couplings is sampled exactly by every exact kernel: one sweep draws its bits anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.group_path import Form, check_sweeps, sweeper_of
from mc.sampling.log_z.annealing import choose_kernel
from tnqbm.core import streams
from tnqbm.hamiltonian.layout import GroupLayout

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


def swap_length(rates: ArrayLike) -> Float:
    """How far temperatures are from each other that swap at such rates: rate = erfc(length).

    So it is where energies are normally distributed (Kofke, J. Chem. Phys. 117, 6911, 2002).
    Lengths, other than rates, add up along a ladder.
    """
    from scipy.special import erfcinv

    return np.asarray(erfcinv(np.clip(rates, MIN_RATE, 1.0)))


class Ladders:
    """Ladders of chains of B models of one shape, each with R rungs that may change between calls.

    Parameters
    ----------
    form : of the models: the shape of sqRBMs, or the layout of sqBMs.
    rungs : R, chains of a ladder. 1: plain chains.
    chains : independent ladders per model (of which this object holds those from ``first_chain``
        on, if several processes share them).
    keys : (B,) names of the models' random streams.
    kernel : an exact kernel of :mod:`mc.kernels`, or "auto".
    precision : arithmetic of the sweeps; swaps are always decided in double precision.
    init : (B, chains, n) or (chains, n) states put at every rung; default random.

    Model b's numbers are a function of its rungs, keys[b] and the number of sweeps so far.

    Attributes: ``chains`` (B, R, ladders, n) uint8; ``round_trips`` (B, ladders), journeys of a
    state from the last rung to the first and back.
    """

    def __init__(
        self,
        form: Form,
        *,
        rungs: int,
        chains: int,
        keys: Keys,
        kernel: str = "auto",
        precision: str = "double",
        init: ArrayLike | None = None,
        first_chain: int = 0,
    ) -> None:
        if isinstance(form, GroupLayout):
            self.kernel = check_sweeps(kernel, precision)
        else:
            self.kernel = choose_kernel(kernel, form.n_paulis)
        if chains < 1:
            raise ValueError(f"chains must be at least 1, got {chains}")
        self._form = form
        self._keys = np.asarray(keys, dtype=np.uint64)
        self._first = first_chain
        self._sweeper = sweeper_of(form, self.kernel, precision)
        same = precision == "double"
        self._weigher = self._sweeper if same else sweeper_of(form, self.kernel, "double")
        batch, n = self._keys.size, form.n_visible
        self._row_keys = self._keys_of_rows(rungs)
        self._swap_keys = streams.keys(self._keys, streams.Tempering.SWAPS)
        self.chains = np.zeros((batch, rungs, chains, n), dtype=np.uint8)
        self.clock = 0
        self._rounds = 0
        if init is None:
            # Independent fair bits: a sweep of models without any parameters.
            nothing = np.zeros((batch * rungs, self._form.size))
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
        """Distances of neighbouring temperatures (B, R - 1), :func:`swap_length` of their rates."""
        return swap_length(np.nan_to_num(self.swap_rates, nan=1.0))

    @property
    def acceptance(self) -> Float:
        """Mean acceptance of the sweeps at every temperature, (B, R)."""
        return self._moved / max(1, self._swept)

    def advance_rungs(
        self,
        rungs: Float,
        sweeps: int = 1,
        *,
        swap: bool = True,
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        """``sweeps`` times: one sweep at every rung, then swaps of every other pair of neighbours.

        rungs : (B, R, size) parameters of all rungs, of the models ``rows`` alone if only these
            advance.
        """
        everything = rows is None or np.array_equal(rows, np.arange(self._keys.size))
        which = slice(None) if everything else rows
        chains = self.chains if everything else np.ascontiguousarray(self.chains[which])
        if rungs.shape[:2] != chains.shape[:2]:
            raise ValueError(
                f"rungs must have shape ({chains.shape[0]}, {chains.shape[1]}, "
                f"{self._form.size}), got {rungs.shape}"
            )
        flat = rungs.reshape(-1, rungs.shape[-1])
        keys = self._row_keys.reshape(self.chains.shape[:2])[which].ravel()
        models = np.arange(self._keys.size)[which]
        for _ in range(sweeps):
            moved = self._sweep(flat, chains, keys, 1)
            self._moved[which] += moved
            if swap and chains.shape[1] > 1:
                self._swap(flat, chains, models)
        self._swept += sweeps
        if not everything:
            self.chains[which] = chains

    def rearrange(self, origins: NDArray[np.intp]) -> None:
        """Go on with other rungs: rung r of model b takes the chains of its rung origins[b, r].

        origins : (B, R), whatever R. The counters are reset.
        """
        self.chains = np.stack([c[k] for c, k in zip(self.chains, origins, strict=True)])
        self._row_keys = self._keys_of_rows(origins.shape[1])
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
        batch, _, ladders, n = self.chains.shape
        rungs = state["mark"].shape[1]
        if state["chains"].shape != (batch, rungs, ladders, n):
            raise ValueError(
                f"the state holds chains of shape {state['chains'].shape}, expected "
                f"({batch}, {rungs}, {ladders}, {n})"
            )
        self._row_keys = self._keys_of_rows(rungs)
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
