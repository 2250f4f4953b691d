"""Parallel tempering along the path to a solvable model (Swendsen & Wang 1986; Geyer 1991).

The rungs of a ladder (:mod:`mc.sampling.tempering.ladders`) are one model at several inverse
temperatures. Several ladders of several models run at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.group_path import Form, path_of
from mc.sampling.log_z.annealing import adaptive_betas
from mc.sampling.tempering.ladders import Ladders

Float = NDArray[np.float64]
Keys = NDArray[np.uint64]


class Tempering(Ladders):
    """Ladders of chains of B models of one shape, whose parameters may change between calls.

    Parameters
    ----------
    form : of the models: the shape of sqRBMs, or the layout of sqBMs.
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
        form: Form,
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
        self._reference = reference
        self.betas = _check_ladder(betas, np.size(keys))
        super().__init__(
            form,
            rungs=self.betas.shape[1],
            chains=chains,
            keys=keys,
            kernel=kernel,
            precision=precision,
            init=init,
            first_chain=first_chain,
        )

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
        which = slice(None) if rows is None else rows
        betas = self.betas[which]
        if theta.shape[0] != betas.shape[0]:
            raise ValueError(
                f"theta has {theta.shape[0]} rows, but {betas.shape[0]} models advance"
            )
        reference = self._reference
        if reference is not None and reference.ndim == 2:
            reference = reference[which]
        ladder = path_of(self._form, theta, reference).ladder(betas)
        self.advance_rungs(ladder.reshape(*betas.shape, -1), sweeps, swap=swap, rows=rows)

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
        self.replace_betas(np.stack([respaced(b, x, count) for b, x in pairs]))

    def lay_out(self, theta: Float, temperatures: int) -> None:
        """A first ladder for models theta (B, size), from a pilot run of annealing."""
        path = path_of(self._form, theta, self._reference)
        self.replace_betas(adaptive_betas(path, temperatures, keys=self._keys, kernel=self.kernel))

    def replace_betas(self, betas: ArrayLike) -> None:
        """Go on with other inverse temperatures, (R,) or (B, R).

        Chains go to the nearest one, and the counters are reset.
        """
        old, self.betas = self.betas, _check_ladder(betas, self._keys.size)
        self.rearrange(np.abs(self.betas[:, :, None] - old[:, None, :]).argmin(axis=2))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All arrays that a checkpoint must keep."""
        return {"betas": self.betas.copy(), **super().state()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Go on from :meth:`state`; ValueError if it belongs to other ladders."""
        super().restore(state)  # checks that everything is there
        self.betas = _check_ladder(state["betas"], self._keys.size)


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


def respaced(betas: Float, lengths: Float, count: int) -> Float:
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
