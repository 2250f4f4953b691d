"""What ``tnqbm sample`` prints of its samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mc.cli.common import echo, number, print_table

if TYPE_CHECKING:
    from mc.sampling.amplitude.sample import PerfectInfo
    from mc.sampling.sample import Info


def print_chains(result: dict[str, Any], info: Info) -> None:
    """Pilots, sweeps and diagnostics of chains."""
    if info.pilots:
        print_table(
            ("pilot", "sweeps", "tau energy", "tau visible", "acceptance", "ESS/s", "note"),
            [
                (
                    pilot.kernel,
                    str(pilot.sweeps),
                    number(pilot.time_energy, 2),
                    number(pilot.time_visible, 2),
                    number(pilot.acceptance, 3),
                    "–" if math.isnan(pilot.ess_per_second) else f"{pilot.ess_per_second:.3g}",
                    ("chosen" if pilot.kernel == info.kernel else "")
                    + ("" if pilot.settled else " too short"),
                )
                for pilot in info.pilots
            ],
            left=1,
        )
    lines = {
        "kernel": info.kernel,
        "samples": f"{result['chains']} chains x {result['samples_per_chain']}",
        "sweeps per chain": f"{info.sweeps}, burn-in {info.burn_in}, thin {info.thin}",
        "acceptance": f"{info.acceptance:.3f}, least {info.acceptance_min:.3f}",
        "effective samples": f"energy {_count(info.ess_energy)}, "
        f"slowest visible mean {_count(info.ess_visible)}, modes {_count(info.ess_modes)}",
        "R-hat": f"energy {number(info.rhat_energy, 3)}, "
        f"largest visible {number(info.rhat_visible, 3)}, modes {number(info.rhat_modes, 3)}",
        "mixed": "yes" if info.mixed else "no",
        "seconds": f"{info.seconds:.1f}",
        "samples written": result["samples"],
        "picture written": result["picture"],
    }
    _print_lines(lines, info.warnings)


def print_perfect(result: dict[str, Any], info: PerfectInfo) -> None:
    """Weights of perfect samples, and the verdict on them."""
    count = result["samples_per_chain"]
    lines = {
        "samples": f"{count} of {info.drawn} drawn" if info.resampled else str(count),
        "bond dimension": None if info.max_bond is None else str(info.max_bond),
        "effective samples": f"{_count(info.ess)} ({info.ess / info.drawn:.2f} of those drawn)",
        "tail of the weights": number(info.pareto_k, 2),
        "log Z": f"{info.log_partition:.10g} +- {info.standard_error:.2g}"
        + (" (given the clamped units)" if result["clamp"] else ""),
        "reliable": "yes" if info.trusted else "no",
        "seconds": f"{info.seconds:.1f}",
        "samples written": result["samples"],
        "picture written": result["picture"],
    }
    _print_lines(lines, info.warnings)


def _print_lines(lines: Mapping[str, str | None], notes: Sequence[str]) -> None:
    for key, value in lines.items():
        if value is not None:
            echo(f"{key:<20}{value}")
    for note in notes:
        echo(f"{'note':<20}{note}")


def _count(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0f}"
