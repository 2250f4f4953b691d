"""Limits of sizes and parameters, kept apart so that they can be asked for cheaply."""

from __future__ import annotations

MAX_VISIBLE = 30
"""Most visible units summed over by enumeration (about a minute per hidden unit at 30)."""

MAX_DENSE = 26
"""Most visible units for which an array over all 2**n states is made (512 MB at 26)."""

MAX_PARAMETER = 1e100
"""Largest parameter magnitude accepted: squares of hidden fields must stay finite."""


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
