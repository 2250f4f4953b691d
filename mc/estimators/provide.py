"""The estimators of this package, by the names that training knows them under.

An installed package offers them to :mod:`tnqbm.training.phases` as entry points. From a checkout
that is not installed there are none, so studies ask for them here first.
"""

from __future__ import annotations

PHASES = {
    "cd": "mc.estimators.divergence:cd",
    "pcd": "mc.estimators.divergence:pcd",
    "tempered": "mc.estimators.divergence:tempered",
    "tensor": "mc.estimators.tensor:tensor",
}
"""Negative phases: contrastive divergence, persistent, and persistent with tempering; perfect
samples of tensor networks."""

LOG_PARTITION = {"ais": "mc.sampling.likelihood:ais_log_partition"}
"""Evaluators of log Z: annealed importance sampling."""


def provide() -> None:
    """Make this package's estimators known to training, if they are not yet; imports none."""
    from tnqbm.training import phases

    for name in PHASES.keys() - set(phases.names()):
        phases.register(name, phases.later(PHASES[name]))
    for name in LOG_PARTITION.keys() - set(phases.log_partition_names()):
        phases.register_log_partition(name, phases.later(LOG_PARTITION[name]))
