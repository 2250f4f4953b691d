"""Tables and lines about estimates of log Z, and what follows from them, for several commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mc.cli.common import number, print_table
from mc.sampling.likelihood import log_likelihood, total_variation_on_support

if TYPE_CHECKING:
    from mc.sampling.log_z.estimate import Estimate, Gap
    from tnqbm.datasets import Target
    from tnqbm.hamiltonian.kinds import Model


def one_by_one(estimate: Estimate) -> list[Estimate]:
    """All estimates one by one: both directions before what they amount to, checks after."""
    rows: list[Estimate] = []
    for part in estimate.parts or (estimate,):
        both = [way for way in (part.forward, part.reverse) if way is not None]
        rows += [part, *both] if part.method == "tensor" else [*both, part]
    return rows


def compare(model: Model, target: Target, log_z: Estimate) -> dict[str, float]:
    """NLL, KL divergence and TVD on data, with their errors and intervals, by name."""
    likelihood = log_likelihood(model, target, log_z)
    tvd = total_variation_on_support(model, target, log_z)
    entropy = target.entropy()
    return {
        "nll": -likelihood.value,
        "nll_error": likelihood.standard_error,
        "nll_data_error": likelihood.data_error,
        "nll_log_z_error": likelihood.partition_error,
        "nll_lower": -likelihood.upper,
        "nll_upper": -likelihood.lower,
        "kl": -likelihood.value - entropy,
        "kl_lower": -likelihood.upper - entropy,
        "kl_upper": -likelihood.lower - entropy,
        "tvd": tvd.value,
        "tvd_error": tvd.standard_error,
        "tvd_lower": tvd.lower,
        "tvd_upper": tvd.upper,
    }


def print_estimates(rows: Sequence[Estimate]) -> None:
    """A table, one line per estimate."""
    print_table(
        ("method", "log Z", "error", "ESS", "chains", "betas", "seconds", "note"),
        [
            (
                row.method,
                f"{row.value:.10g}",
                error(row.standard_error),
                number(row.ess, 1),
                str(row.chains) if row.chains else "–",
                "–" if row.betas is None else str(row.betas.size),
                f"{row.seconds:.1f}",
                _note(row),
            )
            for row in rows
        ],
        left=1,
    )


def print_snapshots(steps: Sequence[int], found: Sequence[Estimate]) -> None:
    """A table of log Z after so many updates, one line per snapshot of a run."""
    print_table(
        ("updates", "log Z", "error", "at least", "note"),
        [
            (
                str(step),
                f"{one.value:.10g}",
                error(one.standard_error),
                "–" if one.lower_bound is None else f"{one.lower_bound:.10g}",
                "" if one.trusted else "not reliable",
            )
            for step, one in zip(steps, found, strict=True)
        ],
        left=0,
    )


def print_gaps(gaps: Sequence[Gap]) -> None:
    """A table of differences; nothing if there are none."""
    if gaps:
        print_table(
            ("difference", "nats", "error", "in errors", "note"),
            [
                (
                    f"{gap.second} - {gap.first}",
                    f"{gap.difference:.3g}",
                    error(gap.standard_error),
                    number(gap.sigmas, 2),
                    "" if gap.agree else "too much",
                )
                for gap in gaps
            ],
            left=1,
        )


def comparison_lines(result: Mapping[str, Any]) -> dict[str, str]:
    """What :func:`compare` found, in words."""
    return {
        "data": str(result["data"]),
        "negative log-likelihood (nats)": (
            f"{result['nll']:.6f} +- {error(result['nll_error'])}"
            f"  (data {error(result['nll_data_error'])},"
            f" log Z {error(result['nll_log_z_error'])})"
        ),
        "total variation distance": (
            f"{result['tvd']:.6f} +- {error(result['tvd_error'])}  (from log Z)"
        ),
    }


def error(value: float) -> str:
    """A standard error, in two digits."""
    return f"{value:.2g}"


def _note(row: Estimate) -> str:
    facts = [] if row.trusted else ["not reliable"]
    if row.method == "tensor-reverse":
        facts.append("check by chains")
    if row.samples:
        facts.append(f"{row.samples} samples")
    if row.max_bond is not None:
        facts.append(f"bond {row.max_bond}")
    if row.pareto_k is not None and math.isfinite(row.pareto_k):
        facts.append(f"tail {row.pareto_k:.2f}")
    return ", ".join(facts)
