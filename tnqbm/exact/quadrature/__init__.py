"""log Z and moments of models with few hidden qubits, by quadrature over the sphere."""

from tnqbm.exact.quadrature.evaluation import (
    LADDER,
    MAX_COUPLED,
    MAX_OPERATIONS,
    TOLERANCE,
    QuadratureForecast,
    QuadratureResult,
    evaluate,
    forecast,
    log_partition,
    moments,
)

__all__ = [
    "LADDER",
    "MAX_COUPLED",
    "MAX_OPERATIONS",
    "TOLERANCE",
    "QuadratureForecast",
    "QuadratureResult",
    "evaluate",
    "forecast",
    "log_partition",
    "moments",
]
