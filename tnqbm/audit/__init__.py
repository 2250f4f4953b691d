"""Is one hidden qubit with P Paulis the same as P classical hidden units? Tools and a study.

Ranks of Jacobians (:mod:`.jacobian`), best fits of one model to another (:mod:`.best_fit`), the
expansion in small weights (:mod:`.expansion`), what Schmidt values prove (:mod:`.bounds`), and
measured ratios of hidden units against what counting parameters predicts (:mod:`.ratios`). What
came out is in docs/equivalence.md. Public names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "BestFit": "best_fit",
    "Rank": "jacobian",
    "RankBound": "bounds",
    "RatioRow": "ratios",
    "confirmed_rank": "jacobian",
    "effective_ratio": "jacobian",
    "expected_rank": "jacobian",
    "fit": "best_fit",
    "gauge_directions": "jacobian",
    "jacobian_rank": "jacobian",
    "kl_to": "best_fit",
    "leading_kl": "expansion",
    "log_probability_jacobian": "jacobian",
    "numerical_rank": "jacobian",
    "product_kl": "best_fit",
    "quartic_difference": "expansion",
    "rank_bound": "bounds",
    "ratio_table": "ratios",
    "rotated": "expansion",
    "scaled": "expansion",
    "stacked": "expansion",
    "unit_parameters": "jacobian",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from tnqbm.audit.best_fit import BestFit as BestFit
    from tnqbm.audit.best_fit import fit as fit
    from tnqbm.audit.best_fit import kl_to as kl_to
    from tnqbm.audit.best_fit import product_kl as product_kl
    from tnqbm.audit.bounds import RankBound as RankBound
    from tnqbm.audit.bounds import rank_bound as rank_bound
    from tnqbm.audit.expansion import leading_kl as leading_kl
    from tnqbm.audit.expansion import quartic_difference as quartic_difference
    from tnqbm.audit.expansion import rotated as rotated
    from tnqbm.audit.expansion import scaled as scaled
    from tnqbm.audit.expansion import stacked as stacked
    from tnqbm.audit.jacobian import Rank as Rank
    from tnqbm.audit.jacobian import confirmed_rank as confirmed_rank
    from tnqbm.audit.jacobian import effective_ratio as effective_ratio
    from tnqbm.audit.jacobian import expected_rank as expected_rank
    from tnqbm.audit.jacobian import gauge_directions as gauge_directions
    from tnqbm.audit.jacobian import jacobian_rank as jacobian_rank
    from tnqbm.audit.jacobian import log_probability_jacobian as log_probability_jacobian
    from tnqbm.audit.jacobian import numerical_rank as numerical_rank
    from tnqbm.audit.jacobian import unit_parameters as unit_parameters
    from tnqbm.audit.ratios import RatioRow as RatioRow
    from tnqbm.audit.ratios import ratio_table as ratio_table


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"tnqbm.audit.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'tnqbm.audit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
