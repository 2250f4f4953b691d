"""Sample quality beyond the likelihood: what a set of samples gets right and wrong of the data.

:func:`assess` puts every measure into one :class:`Quality`: first and second moments, squared
maximum mean discrepancy, adversarial accuracy and privacy loss, energies under a model, coverage
of a known support.
Wherever a measure is not zero for perfect samples of finite number, its sampling floor stands
beside it. Samples are (N, n) independent rows or (chains, samples, n), for which whole chains
are resampled; floors always suppose independent samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tnqbm.datasets import Target
from tnqbm.quality.discrepancy import MeanDiscrepancy, mean_discrepancy
from tnqbm.quality.energies import EnergyComparison, Weighted, compare_energies
from tnqbm.quality.moments import MomentComparison, compare_moments
from tnqbm.quality.neighbours import (
    AdversarialAccuracy,
    PrivacyLoss,
    adversarial_accuracy,
    privacy_loss,
)
from tnqbm.quality.support_coverage import Coverage, coverage
from tnqbm.quality.units import MAX_POINTS, RESAMPLES, Measure, as_rows


@dataclass(frozen=True)
class Quality:
    """All measures of one set of samples; parts that were not asked for are None."""

    n_visible: int
    n_samples: int
    n_chains: int | None
    """None for independent samples."""
    n_data: int
    n_test: int | None
    first: MomentComparison
    """Means <s_i>, (n,)."""
    second: MomentComparison
    """Connected correlations <s_i s_j> - <s_i><s_j>, i < j in row order, (n (n - 1) / 2,)."""
    discrepancy: MeanDiscrepancy
    adversarial: AdversarialAccuracy
    privacy: PrivacyLoss | None
    energies: EnergyComparison | None
    coverage: Coverage | None

    def as_dict(self, *, arrays: bool = False) -> dict[str, Any]:
        """Plain numbers for JSON, a measure as {"value", "standard_error"}; nan becomes None.

        ``arrays`` adds the moments, energies and frequencies as lists.
        """
        plain = _plain(self, arrays)
        assert isinstance(plain, dict)
        return plain


def assess(
    samples: ArrayLike,
    data: ArrayLike,
    *,
    test: ArrayLike | None = None,
    model: Weighted | None = None,
    target: Target | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    max_points: int = MAX_POINTS,
    bandwidths: Sequence[float] | None = None,
) -> Quality:
    """Compare ``samples`` with ``data``, both rows of 0 and 1.

    Parameters
    ----------
    samples : (N, n) independent samples or (chains, samples, n).
    data : (M, n) the data that the model was trained on.
    test : (K, n) held-out data: adds the privacy loss, and energies of unseen rows.
    model : adds the energies (an :class:`tnqbm.SqRBM`, or anything with its ``log_weight``).
    target : adds the coverage of a known support.
    seed : of resampling and thinning; the same seed gives the same numbers.
    resamples : bootstrap resamples for standard errors, at least 2.
    max_points : rows of each set whose pairs are compared, for nearest neighbours and the MMD.
    bandwidths : sigma of the MMD's kernels; by default from the distances of the rows.

    Raises ValueError, before any work, on shapes or values that do not fit; every set needs at
    least four rows.
    """
    rows = as_rows(samples, "samples")
    real = as_rows(data, "data", rows.n_visible)
    held_out = None if test is None else as_rows(test, "test", rows.n_visible)
    for name, other in (("model", model), ("target", target)):
        if other is not None and other.n_visible != rows.n_visible:
            raise ValueError(
                f"{name} has {other.n_visible} visible units, the samples have {rows.n_visible}"
            )
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, got {resamples}")
    first, second = compare_moments(rows, real, seed=seed, resamples=resamples)
    pairs: dict[str, Any] = {"max_points": max_points, "seed": seed}
    discrepancy = mean_discrepancy(rows, real, bandwidths=bandwidths, **pairs)
    adversarial = adversarial_accuracy(rows, real, **pairs)
    privacy = None if held_out is None else privacy_loss(rows, real, held_out, **pairs)
    energies = (
        None
        if model is None
        else compare_energies(model, rows, real, test=held_out, seed=seed, resamples=resamples)
    )
    covered = None if target is None else coverage(rows, target, seed=seed, resamples=resamples)
    return Quality(
        n_visible=rows.n_visible,
        n_samples=rows.n_rows,
        n_chains=rows.n_chains,
        n_data=real.n_rows,
        n_test=None if held_out is None else held_out.n_rows,
        first=first,
        second=second,
        discrepancy=discrepancy,
        adversarial=adversarial,
        privacy=privacy,
        energies=energies,
        coverage=covered,
    )


def _plain(value: Any, arrays: bool) -> Any:
    """Dataclasses and measures as dictionaries, numbers as Python's own, nan as None."""
    if isinstance(value, Measure):
        return {key: _plain(number, arrays) for key, number in value._asdict().items()}
    if is_dataclass(value):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {
            key: _plain(item, arrays)
            for key, item in named.items()
            if arrays or not isinstance(item, np.ndarray)
        }
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item, arrays) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
