"""Supplementary Note 9: the spread of gradient components over random initial parameters.

    python scripts/paper/gradient_spread.py -o spread.h5 --figures figures/

For every size, Pauli set and data set, 10,000 parameter vectors are drawn uniformly from [-10, 10]
and the exact gradient is computed at each. Killed at any time, the same command goes on where it
was, to the same bits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tables
from spread import CHUNK, SpreadSampler, decay
from spread_figure import SpreadPoint, spread_figure

PAULIS = ("Z", "XZ", "XYZ")
DATA = ("bas", "on2", "cardinality", "parity")
SAVE_SECONDS = 5.0


class Case(NamedTuple):
    """One model size on one data set."""

    paulis: str
    visible: int
    hidden: int
    data: str

    @property
    def name(self) -> str:
        """The group of a file that holds its numbers."""
        return f"{self.paulis}-n{self.visible}-m{self.hidden}-{self.data}"


class Plan(NamedTuple):
    """Everything that decides the numbers of a file."""

    visible: tuple[int, ...]
    hidden: tuple[int, ...]
    visible_at: int
    """n of the figure against m."""
    hidden_at: int
    """m of the figure against n."""
    samples: int
    scale: float = 10.0
    seed: int = 0

    def cases(self) -> Iterator[Case]:
        """Everything to be computed, the small models first."""
        for n in self.visible:
            for m in self.hidden:
                if n == self.visible_at or m in (1, self.hidden_at):
                    for data in DATA:
                        for paulis in PAULIS:
                            # All 16 strings of 4 bits are no random choice.
                            if not (data == "on2" and n == 4):
                                yield Case(paulis, n, m, data)


FULL = Plan((4, 6, 8, 10, 12, 14), (1, 2, 3, 4, 6, 8, 12, 16), 8, 4, 10_000)
QUICK = Plan((4, 6, 8), (1, 2, 4), 6, 2, 1000)


def seconds(cases: list[Case], plan: Plan) -> float:
    """Forecast of the work, in seconds of one core, good to a factor of two or so."""
    each = []
    for case in cases:
        n, m, p = case.visible, case.hidden, len(case.paulis)
        large = case.data in ("cardinality", "parity")
        states = 2.0 ** (n - 1) if large else 4.0 * n
        model = 2.0**n * (2.0 + m * (0.6 * p + 2.0))
        each.append(1e-9 * (model + states * m * (0.5 * n * p + 4.0)) + 5e-6)
    return plan.samples * sum(each) + 0.05 * len(cases)


def sampler(case: Case, plan: Plan) -> Any:
    """The calculation of one case: a function of the case and the plan alone."""
    from mc.studies.seeds import initial_stream, target_stream
    from tnqbm import datasets

    target = datasets.load(
        case.data, case.visible, seed=target_stream(plan.seed, case.data, case.visible, 1)
    )
    where: dict[str, Any] = case._asdict()
    stream = initial_stream(plan.seed, where, 0)
    return SpreadSampler(
        target, case.hidden, case.paulis, samples=plan.samples, scale=plan.scale, seed=stream
    )


def load(path: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """States of the cases in a file, none if there is none; ValueError if of another plan."""
    from tnqbm.files.storage import read_tree

    if not path.exists():
        return {}
    arrays, attributes = read_tree(path)
    for key, value in _attributes(plan).items():
        if attributes.get(key) != value:
            raise ValueError(
                f"{path} was made with {key} = {attributes.get(key)}, not {value}: choose another "
                "output, or delete it"
            )
    states: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        case, _, part = name.rpartition("/")
        states.setdefault(case, {})[part] = array
    return states


def save(path: Path, plan: Plan, states: dict[str, dict[str, Any]]) -> None:
    """Write all states; the file is whole or as it was before."""
    from tnqbm.files.storage import write_tree

    arrays = {f"{case}/{part}": a for case, state in states.items() for part, a in state.items()}
    write_tree(path, arrays, _attributes(plan))


def _attributes(plan: Plan) -> dict[str, Any]:
    return {"samples": plan.samples, "scale": plan.scale, "seed": plan.seed}


def todo(states: dict[str, dict[str, Any]], plan: Plan) -> list[Case]:
    """Cases that are not finished."""

    def done(case: Case) -> bool:
        return case.name in states and len(states[case.name]["kinds"]) * CHUNK == plan.samples

    return [case for case in plan.cases() if not done(case)]


def compute(path: Path, plan: Plan) -> None:
    """Finish everything, saving as it goes."""
    states = load(path, plan)
    cases = todo(states, plan)
    print(f"{len(cases)} cases to do, about {seconds(cases, plan) / 60:.1f} minutes", flush=True)
    saved = time.monotonic()
    try:
        for k, case in enumerate(cases):
            work = sampler(case, plan)
            if case.name in states:
                work.restore(states[case.name])
            while not work.finished:
                work.advance()
                states[case.name] = work.state()
                if time.monotonic() - saved > SAVE_SECONDS:
                    save(path, plan, states)
                    saved = time.monotonic()
                    print(f"{k + 1} of {len(cases)}: {case.name}", flush=True)
    finally:
        # Also when it is interrupted: whole chunks are kept.
        if states and cases:
            save(path, plan, states)


def points(path: Path, plan: Plan) -> list[Any]:
    """All results as points of a figure."""
    states, found = load(path, plan), []
    for case in plan.cases():
        work = sampler(case, plan)
        work.restore(states[case.name])
        for spread in work.result().kinds:
            found.append(SpreadPoint(case.data, case.visible, case.hidden, case.paulis, spread))
    return found


def figures(path: Path, plan: Plan, folder: Path) -> list[Path]:
    """Draw the spread against n and against m; the paths of the figures."""
    from tnqbm.figures import save_figure

    everything = points(path, plan)
    note = f"{plan.samples} draws from [-{plan.scale:g}, {plan.scale:g}]"
    made = []
    for against, name in (("visible", "spread-n.png"), ("hidden", "spread-m.png")):
        chosen = [
            p
            for p in everything
            if (
                p.hidden == plan.hidden_at if against == "visible" else p.visible == plan.visible_at
            )
        ]
        figure, _ = spread_figure(chosen, against=against, note=note)
        made.append(save_figure(figure, folder / name, overwrite=True))
    return made


def table(path: Path, plan: Plan) -> str:
    """Markdown: standard deviations at the ends, and fitted decays, by kind of parameter."""
    everything = points(path, plan)
    lines = []
    for against, fixed, at in (("n", "m", plan.hidden_at), ("m", "n", plan.visible_at)):
        size = "visible" if against == "n" else "hidden"
        other = "hidden" if against == "n" else "visible"
        lines += [
            f"| {fixed} = {at}: std of | data | model | at the smallest {against} "
            f"| at the largest | rate of exp(-rate {against}) | power of {against}^-power |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for kind in "abw":
            for data in DATA:
                for paulis in PAULIS:
                    rows = [
                        p
                        for p in everything
                        if (p.data, p.paulis, p.spread.kind) == (data, paulis, kind)
                        and getattr(p, other) == at
                    ]
                    # X, Y and Z play the same part; their average is the best estimate.
                    mean = {
                        x: float(
                            np.mean([p.spread.variance for p in rows if getattr(p, size) == x])
                        )
                        for x in sorted({int(getattr(p, size)) for p in rows})
                    }
                    if not mean:
                        continue
                    fit = decay(list(mean), list(mean.values())) if len(mean) > 2 else None
                    ends = [f"{list(mean.values())[k] ** 0.5:.3f}" for k in (0, -1)]
                    words = ["", ""]
                    if fit is not None:
                        words = [
                            f"{fit.rate:.3f} ± {fit.rate_error:.3f}",
                            f"{fit.power:.2f} ± {fit.power_error:.2f}",
                        ]
                    lines.append("| " + " | ".join([kind, data, paulis, *ends, *words]) + " |")
        lines.append("")
    return "\n".join(lines)


def summary(path: Path, plan: Plan) -> str:
    """Markdown: extremes over all data sets and sizes, by kind of parameter and model."""
    everything = points(path, plan)
    n, m = plan.visible, plan.hidden
    lines = [
        f"| gradient of | model | std, n = {n[0]} to {n[-1]} (m = {plan.hidden_at}) | rate with n "
        f"| std, m = {m[0]} to {m[-1]} (n = {plan.visible_at}) | rate with m |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in "abw":
        for paulis in PAULIS:
            cells = [kind, paulis]
            for size, fixed, at in (
                ("visible", "hidden", plan.hidden_at),
                ("hidden", "visible", plan.visible_at),
            ):
                rows = [
                    p
                    for p in everything
                    if (p.paulis, p.spread.kind) == (paulis, kind) and getattr(p, fixed) == at
                ]
                std = [p.spread.std for p in rows]
                rates = []
                for data in DATA:
                    by_size: dict[int, list[float]] = {}
                    for p in rows:
                        if p.data == data:
                            by_size.setdefault(getattr(p, size), []).append(p.spread.variance)
                    if len(by_size) > 2:
                        means = [float(np.mean(by_size[x])) for x in sorted(by_size)]
                        rates.append(decay(sorted(by_size), means).rate)
                cells.append(f"{min(std):.2f} to {max(std):.2f}")
                cells.append(f"{min(rates):+.3f} to {max(rates):+.3f}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command; 0, or 130 when it was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("spread.h5"))
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="draw the figures there")
    parser.add_argument("--table", action="store_true", help="print the fitted decays")
    parser.add_argument("--summary", action="store_true", help="print the extremes")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the extremes into a page")
    parser.add_argument("--quick", action="store_true", help="few and small, to try it out")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    try:
        compute(options.output, plan)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    if options.figures is not None:
        for path in figures(options.output, plan, options.figures):
            print(path)
    if options.table:
        print(table(options.output, plan))
    if options.summary:
        print(summary(options.output, plan))
    if options.into is not None:
        tables.put(options.into, {"note 9": summary(options.output, plan)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
