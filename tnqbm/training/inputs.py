"""What a trainer is given, checked and brought into the arrays it works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import plain_array
from tnqbm.core import streams
from tnqbm.core.model import SqRBM, same_mask
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


def check_targets(kind: str, n_visible: Sequence[int], targets: Sequence[Target]) -> None:
    """ValueError unless there is a target for each model, of its size and with supports of one.

    ``n_visible`` are the models' numbers of visible units, ``kind`` what messages call one.
    """
    if not n_visible or len(n_visible) != len(targets):
        raise ValueError(
            f"need as many targets as {kind}s and at least one, got {len(n_visible)} {kind}s and "
            f"{len(targets)} targets"
        )
    for n, target in zip(n_visible, targets, strict=True):
        if target.n_visible != n:
            raise ValueError(f"the target has {target.n_visible} visible units, the {kind} {n}")
    if len({target.n_states for target in targets}) > 1:
        raise ValueError("targets trained together must have supports of one size")


def common_shape(models: Sequence[SqRBM], targets: Sequence[Target]) -> tuple[int, int, str]:
    """n, m and Paulis of all models; ValueError unless models and targets fit each other."""
    shapes = {(model.n_visible, model.n_hidden, model.paulis) for model in models}
    if len(shapes) > 1:
        raise ValueError(f"models trained together must have one shape, got {sorted(shapes)}")
    check_targets("model", [model.n_visible for model in models], targets)
    return shapes.pop()


def common_mask(models: Sequence[SqRBM]) -> Mask | None:
    """The mask (n, m) of all models, None if they are dense; ValueError unless they share it."""
    mask = models[0].mask
    for k, model in enumerate(models):
        if not same_mask(model.mask, mask):
            raise ValueError(
                "models trained together must have one mask of couplings, but that of model "
                f"{k} differs from that of model 0; train them apart"
            )
    return mask


def stacked(targets: Sequence[Target]) -> tuple[NDArray[np.uint8], Float]:
    """States (1 or B, K, n) and probabilities (1 or B, K); one if all targets are one object."""
    shared = all(target is targets[0] for target in targets)
    unique = targets[:1] if shared else targets
    states = np.stack([target.states for target in unique])
    return states, np.stack([target.probabilities for target in unique])


def stacked_apart(
    parts: Mapping[str, Sequence[Target] | None], runs: int, n: int
) -> dict[str, tuple[NDArray[np.uint8], Float]]:
    """:func:`stacked` data that are not trained on, by what they are for; ValueError if they do
    not fit the models."""
    found = {}
    for name, targets in parts.items():
        if targets is None:
            continue
        if len(targets) != runs:
            raise ValueError(f"need {name} data for each of the {runs} models, got {len(targets)}")
        for target in targets:
            if target.n_visible != n:
                raise ValueError(
                    f"the {name} data have {target.n_visible} visible units, the model {n}"
                )
        if len({target.n_states for target in targets}) > 1:
            raise ValueError(f"{name} data of runs trained together must have supports of one size")
        found[name] = stacked(targets)
    return found


def not_in(states: NDArray[np.uint8], *earlier: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of states (1 or B, K, n) are in none of the earlier ones of their run, (1 or B, K)."""
    runs = max(len(states), *(len(other) for other in earlier))

    def rows(stack: NDArray[np.uint8], run: int) -> list[bytes]:
        return [row.tobytes() for row in stack[run if len(stack) > 1 else 0]]

    found = []
    for run in range(runs):
        seen = {row for other in earlier for row in rows(other, run)}
        found.append([row not in seen for row in rows(states, run)])
    return np.array(found)


def run_keys(seed: int | np.random.SeedSequence, runs: int) -> NDArray[np.uint64]:
    """Keys (runs,) from a seed, for runs that no study names; the first do not depend on more."""
    return streams.words(streams.sequence(seed), runs)


def checked_keys(keys: NDArray[np.uint64] | None, runs: int) -> NDArray[np.uint64]:
    """One 64-bit key per run, (runs,) uint64; ValueError if they are none."""
    if keys is None:
        return run_keys(0, runs)
    found = plain_array(keys, "keys")
    if found.shape != (runs,) or found.dtype != np.uint64:
        raise ValueError(
            f"keys must be an array ({runs},) of uint64, one for each model, got {found.dtype} "
            f"of shape {found.shape}"
        )
    return found


def uncoupled(n: int, m: int, paulis: str, couple: str) -> NDArray[np.bool_]:
    """Which parameters (n_parameters,) are couplings of Pauli sets that are fields only.

    True for w[P] of every P of ``paulis`` that is not in ``couple``. With ``paulis = "XZ"`` and
    ``couple = "Z"`` the model whose w[X] is zero and ``frozen`` is the RBM with a transverse field
    on its hidden units.
    """
    shape = Shape(n, m, len(paulis))
    flags = np.zeros(shape.size, dtype=np.bool_)
    w = flags[shape.w].reshape(len(paulis), n * m)
    w[[pauli not in couple for pauli in paulis]] = True
    return flags


def checked_frozen(frozen: ArrayLike | None, size: int) -> NDArray[np.bool_]:
    """A copy (size,) of the flags of parameters that do not move, none by default.

    TypeError if they are not booleans, ValueError for another shape.
    """
    if frozen is None:
        return np.zeros(size, dtype=np.bool_)
    flags = plain_array(frozen, "frozen").copy()
    if flags.dtype != np.bool_:
        raise TypeError(f"frozen must hold booleans, got dtype {flags.dtype}")
    if flags.shape != (size,):
        raise ValueError(
            f"frozen must have shape ({size},), one flag for each parameter, got {flags.shape}"
        )
    return flags
