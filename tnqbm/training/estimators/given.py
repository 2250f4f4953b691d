"""An estimator that is given as an object, in place of the name of a declared one."""

from __future__ import annotations

from typing import Any, ClassVar

from tnqbm.training.estimators.protocol import Context, GradientEstimator, GradientSettings


class GivenGradient(GradientSettings):
    """Takes an object with the protocol :class:`GradientEstimator`, made for these very runs."""

    name: ClassVar[str] = "given"
    gives_states: ClassVar[bool] = True  # perhaps: who needs them says so where they are missing
    estimator: Any

    def make(self, context: Context) -> GradientEstimator:
        estimator: GradientEstimator = self.estimator
        return estimator

    @property
    def unknown(self) -> bool:
        """Nothing is known of it before it has been asked."""
        return True
