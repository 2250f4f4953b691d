"""Limits of sizes and parameters, kept apart so that they can be asked for cheaply."""

from __future__ import annotations

MAX_VISIBLE = 30
"""Most visible units summed over by enumeration (about a minute per hidden unit at 30)."""

MAX_DENSE = 26
"""Most visible units for which an array over all 2**n states is made (512 MB at 26)."""

MAX_PARAMETER = 1e100
"""Largest parameter magnitude accepted: squares of hidden fields must stay finite."""

MAX_COUNTS = {
    "iterations": 10**9,
    "patience": 10**9,
    "decay_steps": 10**9,
    "refit": 10**9,
    "global_moves": 10**9,
    "records": 10**6,
    "evaluations": 10**6,
    "snapshots": 10**4,
    "batch_size": 10**7,
    "chains": 10**7,
    "steps": 10**6,
    "temperatures": 10**4,
    "ais_chains": 10**6,
    "ais_betas": 10**6,
    "max_bond": 10**5,
    "shots": 10**9,
    "trotter_steps": 10**5,
    "cg_iterations": 10**6,
    "inner_iterations": 10**6,
}
"""Largest values of settings that count something: far above what is sensible, far below what would
fill memory or never end before anybody notices."""


def check_enumerable(n: int, *, dense: bool = False) -> None:
    """Raise ValueError if 2**n visible states are too many to sum over (or, dense, to hold)."""
    limit = MAX_DENSE if dense else MAX_VISIBLE
    if n <= limit:
        return
    if dense and n <= MAX_VISIBLE:
        raise ValueError(
            f"an array over all 2**{n} visible states would take {8 * 2.0**n / 1e9:.0f} GB "
            f"(the limit is n = {limit}); use SqRBM.log_weight on the states of interest "
            "together with exact.log_partition, or samples from mc.sample"
        )
    raise ValueError(
        f"exact enumeration over 2**{n} visible states is out of reach (the limit is "
        f"n = {limit}); use fewer visible units; or exact.log_partition with method='contraction' "
        "if every hidden qubit couples to few visible units, method='quadrature' if there are few "
        "hidden qubits; or mc.sample for samples, mc.log_partition for log Z with an error bar, "
        "and a sampled gradient such as 'pcd' for training"
    )
