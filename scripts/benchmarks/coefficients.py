"""How good the forecasts of exact methods are: processor time against what was expected.

    python scripts/benchmarks/coefficients.py
    python scripts/benchmarks/coefficients.py --only contraction
    python scripts/benchmarks/coefficients.py --only enumeration --write

A ratio of 2 means that the forecast was twice what a call took in one thread. With --write the
coefficients of every section shown (tnqbm/base/forecast.toml) are divided by the geometric mean
of its ratios. Forecasts are sums of coefficients times counts, so the ratios' mean is then 1; to
change the coefficients of a section relative to each other, edit the file.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Callable
from typing import Any

from timing import add_json, one_thread, print_rows, write_json

one_thread()

import numpy as np  # noqa: E402

from tnqbm import SqRBM, Target, exact  # noqa: E402
from tnqbm.base.forecast import PATH  # noqa: E402
from tnqbm.core import connectivity  # noqa: E402
from tnqbm.exact import cost, quadrature  # noqa: E402
from tnqbm.hamiltonian import PauliHamiltonian, sqbm, tfim  # noqa: E402
from tnqbm.networks import Contraction  # noqa: E402

Case = tuple[float, Callable[[], Any]]
"""Seconds expected, and the call."""

SECONDS = 0.5
"""Time given to the calls of a case."""

MASKS = {
    "line 100": connectivity.line(100, 4),
    "lattice 8 x 8": connectivity.lattice(8, 8),
    "lattice 12 x 12": connectivity.lattice(12, 12),
    "dense 12 x 12": np.ones((12, 12), dtype=bool),
}


def enumeration() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for paulis in ("Z", "XZ", "XYZ"):
        model = SqRBM.uniform(16, 16, paulis, seed=1)
        for moments, call in ((False, exact.log_partition), (True, exact.moments)):
            seconds = cost.enumeration(model, moments=moments).seconds
            cases[f"{paulis} {call.__name__}"] = (
                seconds,
                lambda call=call, model=model: call(model, method="enumeration"),
            )
    return cases


def quadratures() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for paulis, n, m in (("Z", 60, 14), ("XZ", 60, 1), ("XYZ", 60, 2), ("XZ", 30, 3)):
        model = SqRBM.uniform(n, m, paulis, scale=0.1, seed=1)
        for moments in (False, True):
            cases[f"{paulis} m = {m}{', moments' * moments}"] = (
                quadrature.forecast(model, moments=moments).seconds,
                lambda model=model, moments=moments: quadrature.evaluate(model, moments=moments),
            )
    return cases


def contraction(engine: str) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for name, mask in MASKS.items():
        model = SqRBM.uniform(*mask.shape, "XYZ", scale=0.3, seed=1, mask=mask)
        plan = Contraction.of(model, engine=engine)
        cases[name] = plan.forecast.seconds, lambda plan=plan, model=model: plan.moments(model)
    return cases


def hamiltonian() -> dict[str, Case]:
    makers: dict[str, Callable[[], PauliHamiltonian]] = {
        "sqbm XYZ": lambda: sqbm(8, 4, paulis="XYZ", seed=1),
        "sqbm XZ": lambda: sqbm(8, 4, paulis="XZ", seed=1),
        "tfim": lambda: tfim(4, 4, seed=1),
    }
    cases: dict[str, Case] = {}
    for name, make in makers.items():
        n = make().n_visible
        target = Target.from_dense(np.random.default_rng(0).dirichlet(np.ones(2**n)))
        # a new one for every call: it remembers its eigenstates
        cases[name] = (
            make().forecast().seconds,
            lambda make=make, target=target: make().gradient(target),
        )
    return cases


SECTIONS: dict[str, Callable[[], dict[str, Case]]] = {
    "enumeration": enumeration,
    "quadrature": quadratures,
    "contraction.compiled": lambda: contraction("compiled"),
    "contraction.quimb": lambda: contraction("quimb"),
    "hamiltonian": hamiltonian,
}


def measured(call: Callable[[], Any]) -> float:
    """The shortest processor time of one call; the first one, which compiles, does not count."""
    call()
    best, end = math.inf, time.perf_counter() + SECONDS
    while best == math.inf or time.perf_counter() < end:
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def scaled(text: str, section: str, factor: float) -> str:
    """The file's text with all numbers of a section multiplied, to three digits."""
    head, body, rest = re.split(
        rf"(?<=\[{re.escape(section)}\]\n)(.*?)(?=\n\n|\Z)", text, maxsplit=1, flags=re.S
    )

    def number(match: re.Match[str]) -> str:
        return repr(float(f"{float(match[0]) * factor:.3g}"))

    lines = [line.partition("=") for line in body.splitlines()]
    body = "\n".join(a + b + re.sub(r"\d[\d.e]*", number, c) for a, b, c in lines)
    return head + body + rest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", default="", metavar="WORD", help="sections with this in their name"
    )
    parser.add_argument("--write", action="store_true", help="put the measured values in the file")
    add_json(parser)
    given = parser.parse_args()
    sections = [section for section in SECTIONS if given.only in section]
    if not sections:
        parser.error(f"no section has {given.only!r} in its name: {', '.join(SECTIONS)}")
    rows, text = [], PATH.read_text(encoding="utf-8")
    for section in sections:
        logs = []
        for case, (forecast, call) in SECTIONS[section]().items():
            seconds = measured(call)
            logs.append(math.log(forecast / seconds))
            rows.append(
                {
                    "section": section,
                    "case": case,
                    "forecast (ms)": 1e3 * forecast,
                    "measured (ms)": 1e3 * seconds,
                    "ratio": forecast / seconds,
                }
            )
        text = scaled(text, section, math.exp(-sum(logs) / len(logs)))
    if given.json:
        write_json(given.json, "coefficients", rows)
    print_rows(rows)
    if given.write:
        PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
