"""Sample quality beyond the likelihood: :func:`assess` measures all of a :class:`Quality`."""

from tnqbm.quality.assessment import Quality, assess
from tnqbm.quality.energies import EnergyComparison, EnergyDistance, compare_energies
from tnqbm.quality.moments import MomentComparison, compare_moments
from tnqbm.quality.neighbours import (
    AdversarialAccuracy,
    PrivacyLoss,
    adversarial_accuracy,
    privacy_loss,
)
from tnqbm.quality.support_coverage import Coverage, coverage
from tnqbm.quality.units import Measure

__all__ = [
    "AdversarialAccuracy",
    "Coverage",
    "EnergyComparison",
    "EnergyDistance",
    "Measure",
    "MomentComparison",
    "PrivacyLoss",
    "Quality",
    "adversarial_accuracy",
    "assess",
    "compare_energies",
    "compare_moments",
    "coverage",
    "privacy_loss",
]
