"""What the exact methods cost for a model: time and memory before any work.

Three methods sum exactly over the visible states. Enumeration visits all 2**n of them; contraction
of the factor graph is for models whose hidden qubits couple to few visible units each; quadrature
over the sphere is for few hidden qubits.

Times are those of one core, so that a choice between methods, and with it the last digits of a
result, does not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from tnqbm.base.forecast import Forecasts, MethodForecast
from tnqbm.base.limits import MAX_VISIBLE
from tnqbm.core.fields import largest_lengths
from tnqbm.core.model import SqRBM, coupling_mask

if TYPE_CHECKING:
    from tnqbm.networks import Contraction

METHODS = ("enumeration", "contraction", "quadrature")

_ENUMERATION_NS = (0.9, 0.2, 0.3)
"""Nanoseconds per visible state and hidden unit: one Pauli less, each Pauli, and for moments."""

_TOO_DENSE = 20
"""Visible units beyond which dense models are not even planned for contraction."""

_TOO_WIDE = 36.0
"""Estimated width beyond which no tree is searched for."""

_KEPT_REFUSALS = 8


def all_methods(model: SqRBM, *, moments: bool = False, pairs: str = "all") -> Forecasts:
    """Forecasts of all methods for log Z or, with ``moments``, for log Z and the moments.

    ``pairs`` says which <Z_i sigma_j^P> are wanted, as in :func:`tnqbm.exact.moments`. The
    contraction is planned, which takes seconds for large models, and kept for later use.
    """
    return Forecasts(
        [
            enumeration(model, moments=moments),
            contraction(model, moments=moments, pairs=pairs),
            quadrature(model, moments=moments),
        ]
    )


def enumeration(model: SqRBM, *, moments: bool = False) -> MethodForecast:
    """The sum over all 2**n visible states."""
    n, m = model.n_visible, model.n_hidden
    base, each, more = _ENUMERATION_NS
    rate = base + each * len(model.paulis) + (more if moments else 0.0)
    seconds = 2.0 ** min(n, 1000) * (m + 0.5) * rate * 1e-9 + 1e-5
    if n > MAX_VISIBLE:
        return MethodForecast(
            "enumeration",
            seconds,
            1e6,
            False,
            f"2**{n} visible states; the limit is 2**{MAX_VISIBLE}",
        )
    size = 8.0 * 300 * (m + 10) * (4 + len(model.paulis))
    return MethodForecast("enumeration", seconds, size, True, f"2**{n} visible states")


def quadrature(model: SqRBM, *, moments: bool = False) -> MethodForecast:
    """Tuples of nodes on the sphere, one node per hidden qubit."""
    from tnqbm.exact import quadrature as method

    forecast = method.forecast(model)
    part = f"{forecast.hidden} coupled hidden unit{'s' * (forecast.hidden != 1)}"
    if forecast.hidden == 0:
        note = "no couplings"
    elif len(model.paulis) == 1:
        note = f"{part}, one Pauli: 2**{forecast.hidden} hidden states"
    elif not forecast.fits:
        note = f"{part}: too many, or fields too large"
    else:
        note = f"{part}, degree {forecast.degree}: {forecast.nodes} nodes each"
    seconds = forecast.moments_seconds if moments else forecast.seconds
    return MethodForecast("quadrature", seconds, forecast.bytes, forecast.fits, note)


def contraction(model: SqRBM, *, moments: bool = False, pairs: str = "all") -> MethodForecast:
    """Contraction of the factor graph."""
    from tnqbm.networks.contraction import kept

    if not kept.planned(model):
        mask = coupling_mask(model)
        if mask.shape[0] > _TOO_DENSE and mask.size and mask.all():
            return _refused("every hidden qubit couples to every visible unit")
        from tnqbm.exact.treewidth import estimated_width  # SciPy's graphs take a while to load

        width = estimated_width(mask, len(model.paulis), _TOO_WIDE)
        if width > _TOO_WIDE:
            return _refused(f"tensors of 2**{width:.0f} entries: too many couplings")
    try:
        planned = plan(model)
    except (ValueError, MemoryError) as error:
        return _refused(str(error).split(". ")[0])
    except ImportError as error:
        return _refused(f"{error.name} is not installed")
    forecast = planned.forecast
    seconds = forecast.seconds if moments else forecast.seconds / 3.0
    if moments and pairs == "all":
        # Pairs that are not coupled are found unit by unit.
        seconds *= 1.0 + float((~planned.mask.all(axis=1)).sum())
    note = f"width {forecast.width:.0f}"
    if forecast.slices > 1:
        note += f", {forecast.slices} slices"
    return MethodForecast("contraction", seconds, float(forecast.peak_bytes), True, note)


def _refused(why: str) -> MethodForecast:
    return MethodForecast("contraction", math.inf, math.inf, False, why)


_REFUSED: OrderedDict[tuple[object, ...], ValueError | MemoryError] = OrderedDict()


def plan(model: SqRBM) -> Contraction:
    """The contraction for the model's couplings, planned at the first call for these couplings.

    Raises ValueError or MemoryError, with advice, if it does not fit; that is remembered too, for
    hidden fields of about this size.
    """
    from tnqbm.networks.contraction import kept

    if kept.planned(model):
        return kept.contraction(model)
    mask = coupling_mask(model)
    longest = largest_lengths(model.b, model.w)
    level = math.ceil(math.log2(max(1.0, float(longest.max(initial=0.0)))))
    key = mask.tobytes(), mask.shape, len(model.paulis), level
    known = _REFUSED.get(key)
    if known is not None:
        raise type(known)(*known.args)
    try:
        return kept.contraction(model)
    except (ValueError, MemoryError) as error:
        _REFUSED[key] = type(error)(*error.args)  # without its traceback, which holds the frames
        while len(_REFUSED) > _KEPT_REFUSALS:
            _REFUSED.popitem(last=False)
        raise
