"""The verdict on chains of visible states: have they mixed, as far as they can show?

Chains that stay in different modes of equal energy differ in no energy, and where modes differ in
many units a little, in no unit much. Along the right direction they come apart. So projections are
judged, too: onto the principal directions of the pooled states, onto those of the data, and onto
the weights of hidden units, whose two signs are where a model has its modes. Each is cut in two
where it comes apart best, and the resulting bit is judged as units are. The cut does not look at
which chain a state is of, so that the probability of a false alarm stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mc.sampling.chains.diagnostics import (
    MIN_DRAWS,
    bit_diagnostics,
    disagree,
    effective_sample_size,
    split_rhat,
)
from tnqbm.core.model import SqRBM
from tnqbm.core.states import spins
from tnqbm.datasets import Target
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]
States = NDArray[np.uint8]

MIN_ESS = 100
"""Effective samples, over all chains, below which a run counts as too short."""

TRACE = 50
"""Draws per chain that are diagnosed at least; the end of the burn-in fills up shorter runs."""

_PRINCIPAL, _HIDDEN = 6, 8
"""Directions taken of the states and of the data, and hidden units whose weights are."""

_ELSEWHERE = 0.4
"""Difference of the share of a mode (or unit) by which a scout is in another one."""

_POOLED = 20_000
"""States of which the principal directions are taken."""


@dataclass(frozen=True)
class Mixing:
    """What chains show of their mixing.

    ``ess_...`` are effective samples, of all that were kept: for the mean energy, for the slowest
    visible mean, and for the share of the slowest mode; ``rhat_...`` the split R-hat of the energy,
    and the largest of a unit and of a mode. nan for what never changed or is undefined.
    ``troubles`` are phrases; none if nothing speaks against mixing.
    """

    ess_energy: float
    rhat_energy: float
    ess_visible: float
    rhat_visible: float
    ess_modes: float
    rhat_modes: float
    troubles: tuple[str, ...]

    @property
    def least_ess(self) -> float:
        """The fewest effective samples of what is known; 0 if nothing is."""
        known = (self.ess_energy, self.ess_visible, self.ess_modes)
        return min((number for number in known if math.isfinite(number)), default=0.0)

    def numbers(self) -> dict[str, float]:
        """All fields but the troubles by name."""
        return {name: value for name, value in asdict(self).items() if name != "troubles"}


def diagnose(
    states: States,
    energies: Float,
    *,
    kept: int,
    along: Float,
    units: NDArray[np.intp] | None = None,
    apart: bool = True,
    known: Sequence[str] = (),
) -> Mixing:
    """The verdict on states (chains, draws, n) with energies (chains, draws).

    kept : draws of each chain that the caller keeps, the last ones.
    along : directions (K, n) to be judged, of :func:`directions`.
    units : which units are judged; None for all.
    apart : whether the chains started in different states.
    known : troubles that are known already, put first.
    """
    chains, draws, n = states.shape
    units = np.arange(n) if units is None else units
    bits = bit_diagnostics(states if units.size == n else states[:, :, units])
    modes = bit_diagnostics(cut(states, along)) if len(along) else None
    rhat_energy = split_rhat(energies)
    share = kept / draws
    ess_energy, ess_visible = effective_sample_size(energies) * share, bits.ess_min * share
    ess_modes = modes.ess_min * share if modes else np.nan
    troubles = list(known)
    if draws < MIN_DRAWS or (chains == 1 and draws < 2 * MIN_DRAWS):
        troubles.append(
            f"{draws} draws per chain are too few to tell whether the chains have mixed"
        )
    elif not apart and bool((states == states[0, 0]).all()):
        troubles.append("no chain ever left the state in which all of them started")
    if disagree(rhat_energy, chains, draws):
        troubles.append(f"R-hat of the energy is {rhat_energy:.2f}")
    if bits.unmixed.any():
        where = np.flatnonzero(bits.unmixed)
        worst = where[np.argmax(bits.rhat[where])]
        troubles.append(
            f"R-hat of the visible means is up to {bits.rhat[worst]:.2f} (unit {units[worst]}; "
            f"{where.size} of {units.size} units disagree between chains)"
        )
    if modes is not None and modes.unmixed.any():
        troubles.append(
            f"the chains have different shares of the modes into which the states come apart "
            f"(R-hat up to {modes.rhat[modes.unmixed].max():.2f})"
        )
    least = min(MIN_ESS, chains * kept / 4)
    for what, ess in (
        ("energy", ess_energy),
        ("slowest visible mean", ess_visible),
        ("shares of the modes", ess_modes),
    ):
        if ess < least:
            troubles.append(
                f"{chains * kept} samples are worth only {ess:.0f} independent ones for the {what}"
            )
    return Mixing(
        ess_energy,
        rhat_energy,
        ess_visible,
        bits.rhat_max,
        ess_modes,
        modes.rhat_max if modes else np.nan,
        tuple(troubles),
    )


def directions(
    model: SqRBM | SqBM, states: States, data: Target | None, units: NDArray[np.intp] | None = None
) -> Float:
    """Directions (K, n) along which modes may come apart; ``units`` are the ones that move.

    The principal directions of states (chains, draws, n) and of ``data``, and for the hidden units
    with the largest weights the direction in which the length of their field changes most.
    """
    n = model.n_visible
    moving = np.arange(n) if units is None else units
    pooled = states.reshape(-1, n)
    pooled = pooled[:: 1 + len(pooled) // _POOLED]
    found = [_principal(pooled[:, moving], None)]
    if data is not None:
        found.append(_principal(data.states[:, moving], data.probabilities))
    weights = model.w[:, moving].transpose(2, 1, 0)  # (m, units, P)
    strongest = np.argsort(-np.square(weights).sum(axis=(1, 2)), kind="stable")[:_HIDDEN]
    if strongest.size and moving.size:
        found.append(np.linalg.svd(weights[strongest], full_matrices=False)[0][:, :, 0])
    placed = np.zeros((sum(map(len, found)), n))
    placed[:, moving] = np.concatenate(found)
    return placed


def unseen_mode(
    states: States, energies: Float, scouts: States, scout_energies: Float, along: Float
) -> float:
    """Share, about, of a mode in which scouts stay and which chains (C, draws, n) do not see.

    Scouts (S, draws, n) are chains of the same model that started elsewhere. 0 if they see the same
    as the others. How much a mode weighs is judged by its energy against that of the others, as
    if both had the same entropy.
    """
    both = np.concatenate([states, scouts])
    bits = np.concatenate([both, cut(both, along)], axis=2)
    found = bit_diagnostics(bits)
    if not found.unmixed.any():
        return 0.0
    shares = bits[:, :, found.unmixed].mean(axis=1)
    here, there = shares[: len(states)].mean(axis=0), shares[len(states) :]
    elsewhere = (np.abs(there - here) > _ELSEWHERE).any(axis=1)
    if not elsewhere.any():
        return 0.0
    gaps = energies.mean() - scout_energies[elsewhere].mean(axis=1)
    ratio = float(np.exp(min(0.0, gaps.max())))
    return ratio / (1.0 + ratio)


def _principal(states: States, probabilities: Float | None) -> Float:
    """The first principal directions of states (K, n), weighted by their probabilities."""
    s = spins(states)
    weights = np.full(len(s), 1.0 / len(s)) if probabilities is None else probabilities
    centred = s - weights @ s
    variances, axes = np.linalg.eigh((centred * weights[:, None]).T @ centred)
    chosen = axes[:, variances > 1e-12 * max(1.0, float(variances[-1]))]
    return np.asarray(chosen.T[::-1][:_PRINCIPAL])


def cut(states: States, along: Float) -> States:
    """On which side of a cut states (chains, draws, n) are along each direction: (.., .., K).

    A projection is cut where the two parts are most apart for their size: the variance between
    them is largest (Otsu, IEEE Trans. Syst. Man Cybern. 9, 62, 1979).
    """
    values = np.stack([(spins(chain) @ along.T).astype(np.float32) for chain in states])
    cuts = [_threshold(values[:, :, k].ravel()) for k in range(len(along))]
    return np.asarray(values > np.array(cuts, dtype=np.float32), dtype=np.uint8)


def _threshold(values: NDArray[np.float32]) -> float:
    """Where values (N,) are cut in two; their largest if they are all alike."""
    ordered = np.sort(values).astype(np.float64)
    gaps = np.diff(ordered)
    below = np.arange(1, ordered.size)
    sums = np.cumsum(ordered)
    mean_below, mean_above = sums[:-1] / below, (sums[-1] - sums[:-1]) / below[::-1]
    between = below * below[::-1] * (mean_above - mean_below) ** 2
    between[gaps <= 1e-5 * (1.0 + np.abs(ordered[-1]))] = -1.0  # not between equal ones
    at = int(np.argmax(between)) if between.size else -1
    if at < 0 or between[at] < 0:
        return float(ordered[-1])
    return float(0.5 * (ordered[at] + ordered[at + 1]))
