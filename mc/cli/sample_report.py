"""What ``tnqbm sample`` prints of its samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mc.cli.common import echo, number, print_table

if TYPE_CHECKING:
    from mc.sampling.chains.mixing import Mixing
    from mc.sampling.chains.pilot import Pilot
    from mc.sampling.info import ChainsInfo, Info, PerfectInfo, TemperedInfo


def print_samples(result: dict[str, Any], info: Info) -> None:
    """What is known of samples, whatever the method."""
    from mc.sampling.info import ChainsInfo, TemperedInfo

    if isinstance(info, ChainsInfo):
        if info.pilots:
            _print_pilots(info.pilots, info.kernel)
        lines = _of_chains(result, info)
    elif isinstance(info, TemperedInfo):
        lines = _of_tempering(result, info)
    else:
        lines = _of_network(result, info)  # type: ignore[arg-type]
    lines |= {
        "seconds": f"{info.seconds:.1f}",
        "samples written": result["samples"],
        "picture written": result["picture"],
    }
    for key, value in lines.items():
        if value is not None:
            echo(f"{key:<20}{value}")
    for note in info.warnings:
        echo(f"{'note':<20}{note}")


def _print_pilots(pilots: Sequence[Pilot], chosen: str) -> None:
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
                ("chosen" if pilot.kernel == chosen else "")
                + ("" if pilot.settled else " too short"),
            )
            for pilot in pilots
        ],
        left=1,
    )


def _of_chains(result: dict[str, Any], info: ChainsInfo) -> dict[str, str | None]:
    return {
        "kernel": info.kernel,
        "samples": f"{result['chains']} chains x {result['samples_per_chain']}",
        "sweeps per chain": f"{info.sweeps}, burn-in {info.burn_in}, thin {info.thin}",
        "acceptance": f"{info.acceptance:.3f}, least {info.acceptance_min:.3f}",
        **_of_mixing(info.mixing),
        "mixed": "yes" if info.mixed else "no",
    }


def _of_tempering(result: dict[str, Any], info: TemperedInfo) -> dict[str, str | None]:
    swaps = f", least swap rate {info.swap_rates.min():.2f}" if info.swap_rates.size else ""
    return {
        "kernel": info.kernel,
        "samples": f"{result['chains']} chains x {result['samples_per_chain']}",
        "sweeps per chain": f"{info.sweeps}, ladder {info.ladder_sweeps}, burn-in {info.burn_in}, "
        f"thin {info.thin}",
        "temperatures": f"{info.betas.size}{swaps}",
        "round trips": str(int(info.round_trips.sum())),
        **_of_mixing(info.mixing),
        "mixed": "yes" if info.mixed else "no",
    }


def _of_mixing(mixing: Mixing) -> dict[str, str | None]:
    return {
        "effective samples": f"energy {_count(mixing.ess_energy)}, "
        f"slowest visible mean {_count(mixing.ess_visible)}, modes {_count(mixing.ess_modes)}",
        "R-hat": f"energy {number(mixing.rhat_energy, 3)}, "
        f"largest visible {number(mixing.rhat_visible, 3)}, modes {number(mixing.rhat_modes, 3)}",
    }


def _of_network(result: dict[str, Any], info: PerfectInfo) -> dict[str, str | None]:
    """Weights of perfect samples, and the verdict on them."""
    count = result["samples_per_chain"]
    return {
        "samples": f"{count} of {info.drawn} drawn" if info.resampled else str(count),
        "bond dimension": None if info.max_bond is None else str(info.max_bond),
        "effective samples": f"{_count(info.ess)} ({info.ess / info.drawn:.2f} of those drawn)",
        "tail of the weights": number(info.pareto_k, 2),
        "log Z": f"{info.log_partition:.10g} +- {info.standard_error:.2g}"
        + (" (given the clamped units)" if result["clamp"] else ""),
        "reliable": "yes" if info.trusted else "no",
    }


def _count(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0f}"
