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
    "BestFit": "tnqbm.model_tools.best_fit",
    "Rank": "tnqbm.model_tools.jacobian",
    "RankBound": "tnqbm.model_tools.rank_bounds",
    "RatioRow": "tnqbm.audit.ratios",
    "confirmed_rank": "tnqbm.model_tools.jacobian",
    "effective_ratio": "tnqbm.model_tools.jacobian",
    "expected_rank": "tnqbm.model_tools.jacobian",
    "fit": "tnqbm.model_tools.best_fit",
    "gauge_directions": "tnqbm.model_tools.jacobian",
    "jacobian_rank": "tnqbm.model_tools.jacobian",
    "kl_to": "tnqbm.model_tools.best_fit",
    "leading_kl": "tnqbm.model_tools.expansion",
    "log_probability_jacobian": "tnqbm.model_tools.jacobian",
    "numerical_rank": "tnqbm.model_tools.jacobian",
    "product_kl": "tnqbm.model_tools.best_fit",
    "quartic_difference": "tnqbm.model_tools.expansion",
    "rank_bound": "tnqbm.model_tools.rank_bounds",
    "ratio_table": "tnqbm.audit.ratios",
    "rotated": "tnqbm.model_tools.expansion",
    "scaled": "tnqbm.model_tools.expansion",
    "stacked": "tnqbm.model_tools.expansion",
    "unit_parameters": "tnqbm.model_tools.jacobian",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from tnqbm.audit.ratios import RatioRow as RatioRow
    from tnqbm.audit.ratios import ratio_table as ratio_table
    from tnqbm.model_tools.best_fit import BestFit as BestFit
    from tnqbm.model_tools.best_fit import fit as fit
    from tnqbm.model_tools.best_fit import kl_to as kl_to
    from tnqbm.model_tools.best_fit import product_kl as product_kl
    from tnqbm.model_tools.expansion import leading_kl as leading_kl
    from tnqbm.model_tools.expansion import quartic_difference as quartic_difference
    from tnqbm.model_tools.expansion import rotated as rotated
    from tnqbm.model_tools.expansion import scaled as scaled
    from tnqbm.model_tools.expansion import stacked as stacked
    from tnqbm.model_tools.jacobian import Rank as Rank
    from tnqbm.model_tools.jacobian import confirmed_rank as confirmed_rank
    from tnqbm.model_tools.jacobian import effective_ratio as effective_ratio
    from tnqbm.model_tools.jacobian import expected_rank as expected_rank
    from tnqbm.model_tools.jacobian import gauge_directions as gauge_directions
    from tnqbm.model_tools.jacobian import jacobian_rank as jacobian_rank
    from tnqbm.model_tools.jacobian import log_probability_jacobian as log_probability_jacobian
    from tnqbm.model_tools.jacobian import numerical_rank as numerical_rank
    from tnqbm.model_tools.jacobian import unit_parameters as unit_parameters
    from tnqbm.model_tools.rank_bounds import RankBound as RankBound
    from tnqbm.model_tools.rank_bounds import rank_bound as rank_bound


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'tnqbm.audit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
