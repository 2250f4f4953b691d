"""What the exact methods cost for a model: time and memory before any work.

Three methods sum exactly over the visible states. Enumeration visits all 2**n of them; contraction
of the factor graph is for models whose hidden qubits couple to few visible units each; quadrature
over the sphere is for few hidden qubits.

Times are those of one core, so that a choice between methods, and with it the last digits of a
result, does not depend on the number of threads.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tnqbm.base.coefficients import nanoseconds
from tnqbm.base.forecast import Forecast, Forecasts
from tnqbm.base.limits import MAX_VISIBLE
from tnqbm.core.model import SqRBM, coupling_mask
from tnqbm.exact import quadrature as method

METHODS = ("enumeration", "contraction", "quadrature")

NS = nanoseconds("enumeration")

_TOO_DENSE = 20
"""Visible units beyond which dense models are not even planned for contraction."""

_TOO_WIDE = 36.0
"""Estimated width beyond which no tree is searched for."""


def all_methods(
    model: SqRBM, *, moments: bool = False, pairs: str = "all", engine: str = "auto"
) -> Forecasts:
    """Forecasts of all methods for log Z or, with ``moments``, for log Z and the moments.

    ``pairs`` says which <Z_i sigma_j^P> are wanted, as in :func:`tnqbm.exact.moments`. The
    contraction is planned, which takes seconds for large models; the plan is cached.
    """
    return Forecasts(
        [
            enumeration(model, moments=moments),
            contraction(model, moments=moments, pairs=pairs, engine=engine),
            quadrature(model, moments=moments),
        ]
    )


def enumeration(model: SqRBM, *, moments: bool = False) -> Forecast:
    """The sum over all 2**n visible states."""
    n, m = model.n_visible, model.n_hidden
    rate = NS["unit"] + NS["pauli"] * len(model.paulis) + (NS["moments"] if moments else 0.0)
    seconds = 1e-9 * (2.0 ** min(n, 1000) * (m + 0.5) * rate + NS["call"])
    if n > MAX_VISIBLE:
        return Forecast(
            "enumeration",
            seconds,
            1e6,
            False,
            f"2**{n} visible states; the limit is 2**{MAX_VISIBLE}",
        )
    size = 8.0 * 300 * (m + 10) * (4 + len(model.paulis))
    return Forecast("enumeration", seconds, size, True, f"2**{n} visible states")


def quadrature(model: SqRBM, *, moments: bool = False) -> Forecast:
    """Tuples of nodes on the sphere, one node per hidden qubit."""
    return method.forecast(model, moments=moments)


def contraction(
    model: SqRBM, *, moments: bool = False, pairs: str = "all", engine: str = "auto"
) -> Forecast:
    """Contraction of the factor graph."""
    from tnqbm.networks.contraction import cache

    if not cache.planned(model, engine=engine):
        mask = coupling_mask(model)
        if mask.shape[0] > _TOO_DENSE and mask.size and mask.all():
            return _refused("every hidden qubit couples to every visible unit")
        from tnqbm.exact.treewidth import estimated_width  # SciPy's graphs take a while to load

        width = estimated_width(mask, len(model.paulis), _TOO_WIDE)
        if width > _TOO_WIDE:
            return _refused(f"tensors of 2**{width:.0f} entries: too many couplings")
    try:
        plan = cache.contraction(model, engine=engine)
    except (ValueError, MemoryError) as error:
        return _refused(str(error).split(". ")[0])
    except ImportError as error:
        return _refused(f"{error.name} is not installed")
    forecast = plan.forecast
    seconds = forecast.seconds if moments else forecast.seconds / 3.0
    if moments and pairs == "all":
        # Pairs that are not coupled are found unit by unit.
        seconds *= 1.0 + float((~plan.mask.all(axis=1)).sum())
    return replace(forecast, seconds=seconds)


def _refused(why: str) -> Forecast:
    return Forecast("contraction", math.inf, math.inf, False, why)
