"""Time of exact evaluation by quadrature: forecast against measured, and the rates behind it.

    python scripts/benchmarks/quadrature.py            # one thread, about a minute
    python scripts/benchmarks/quadrature.py --help

Each row is a model with weights U[-c, c]. "error" is the difference of log Z, and of the moments,
between the last two degrees; ns are per visible unit of a tuple of nodes, for log Z and for
the derivatives. The constants in tnqbm/exact/quadrature/evaluation.py are fitted to the last two
columns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from timing import add_json, one_thread, write_json

one_thread()
from tnqbm import SqRBM  # noqa: E402
from tnqbm.exact import quadrature  # noqa: E402
from tnqbm.exact.quadrature.sums import CoupledPart, NodeSums  # noqa: E402

MODELS = (
    ("XZ", 150, 1, 0.3), ("XYZ", 150, 1, 0.3), ("XYZ", 150, 1, 1.0), ("XYZ", 1000, 1, 0.3),
    ("XZ", 150, 2, 0.3), ("XYZ", 150, 2, 0.3), ("XYZ", 16, 2, 1.0), ("XYZ", 1000, 2, 0.1),
    ("XZ", 16, 3, 0.3), ("XZ", 150, 3, 0.1), ("XYZ", 150, 3, 0.05), ("XZ", 8, 4, 0.1),
    ("XZ", 64, 4, 0.03), ("Z", 150, 16, 0.3),
)  # fmt: skip


def seconds(call: Callable[[], Any], rounds: int) -> float:
    """Smallest processor time of one call; a first one that does not count compiles."""
    call()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def measure(paulis: str, n: int, m: int, scale: float, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=1)
    forecast = quadrature.forecast(model)
    result = quadrature.evaluate(model, moments=True)
    row = {
        "paulis": paulis,
        "n": n,
        "m": m,
        "scale": f"{scale:g}",
        "degree_forecast": forecast.degree,
        "degree": result.degree,
        "nodes": result.nodes,
        "error": result.error,
        "error_moments": result.moments_error,
        "seconds_forecast": forecast.seconds,
        "seconds": seconds(lambda: quadrature.log_partition(model), rounds),
        "moments_seconds_forecast": quadrature.forecast(model, moments=True).seconds,
        "moments_seconds": seconds(lambda: quadrature.moments(model), rounds),
    }
    part, degree = CoupledPart(model), result.degree
    if not part.exact:
        units = n * row["nodes"] ** m

        def both() -> None:
            one = NodeSums(part, degree)
            _ = one.moments

        terms = seconds(lambda: NodeSums(part, degree).log_partition, rounds)
        row["ns"] = 1e9 * terms / units
        row["ns_derivatives"] = 1e9 * (seconds(both, rounds) - terms) / units
    return row


BETTER = dict.fromkeys(("seconds", "moments_seconds", "ns", "ns_derivatives"), "lower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="calls timed, default 3")
    add_json(parser)
    arguments = parser.parse_args()
    rows = [measure(*model, arguments.rounds) for model in MODELS]
    if arguments.json:
        write_json(arguments.json, "quadrature", rows, BETTER)
    print(
        "model                degree      nodes  error    log Z [s]         moments [s]       "
        "ns     ns\n"
        "                     fc.  used                   fc.     measured  fc.     measured  "
        "terms  derivatives"
    )
    for row in rows:
        name = f"{row['paulis']:3} n={row['n']} m={row['m']} c={row['scale']}"
        print(
            f"{name:20} {row['degree_forecast']:4} {row['degree']:5} {row['nodes']:6}  "
            f"{max(row['error'], row['error_moments']):7.0e}  "
            f"{row['seconds_forecast']:7.2g} {row['seconds']:8.2g}  "
            f"{row['moments_seconds_forecast']:7.2g} {row['moments_seconds']:8.2g}"
            + (f"  {row['ns']:5.2f}  {row['ns_derivatives']:5.2f}" if "ns" in row else "")
        )


if __name__ == "__main__":
    main()
