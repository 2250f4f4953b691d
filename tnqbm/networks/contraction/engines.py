"""The engines by name, and which one a plan gets."""

from __future__ import annotations

from collections.abc import Callable

from tnqbm.base.arguments import check_choice
from tnqbm.networks.compiled.engine import CompiledEngine
from tnqbm.networks.contraction.plan import Plan, TooLarge
from tnqbm.networks.contraction.quimb_engine import QuimbEngine
from tnqbm.networks.contraction.sweep import Engine

ENGINES = ("auto", "quimb", "compiled")


def engine_maker(name: str) -> Callable[[Plan], Engine]:
    """What makes the engine ``name`` for a plan; ValueError if there is none of this name."""
    check_choice("engine", name, ENGINES)
    return {"auto": _faster, "quimb": QuimbEngine, "compiled": CompiledEngine}[name]


def _faster(plan: Plan) -> Engine:
    """The engine with the lower forecast: a function of the plan alone, never of a clock."""
    compiled = CompiledEngine(plan)
    try:
        quimb = QuimbEngine(plan, otherwise=compiled)
    except TooLarge:
        return compiled
    return quimb if quimb.forecast().seconds < compiled.forecast().seconds else compiled
