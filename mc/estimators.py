"""The estimators of this package, by the names that training knows them under.

An installed package offers them to :mod:`tnqbm.phases` as entry points. From a checkout that is
not installed there are none, so studies ask for them here first.
"""

from __future__ import annotations

PHASES = {
    "cd": "mc.divergence:cd",
    "pcd": "mc.divergence:pcd",
    "tempered": "mc.divergence:tempered",
    "tensor": "mc.tensor.phase:tensor",
}
"""Negative phases: contrastive divergence, persistent, and persistent with tempering; perfect
samples of tensor networks."""

LOG_PARTITION = {"ais": "mc.likelihood:ais_log_partition"}
"""Evaluators of log Z: annealed importance sampling."""


def provide() -> None:
    """Make this package's estimators known to training, if they are not yet; imports none."""
    from tnqbm import phases

    for name in PHASES.keys() - set(phases.names()):
        phases.register(name, phases.later(PHASES[name]))
    for name in LOG_PARTITION.keys() - set(phases.log_partition_names()):
        phases.register_log_partition(name, phases.later(LOG_PARTITION[name]))
