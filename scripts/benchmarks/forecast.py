"""How good the forecasts of studies are: processor time of trainings against what was expected.

    python scripts/benchmarks/forecast.py
    python scripts/benchmarks/forecast.py --only digits --json forecast.jsonl

A ratio of 2 means that the forecast was twice what a training of four runs took in one thread.
What `tnqbm run --dry-run` and `make paper` say rests on these forecasts.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

from timing import add_json, one_thread, print_rows, write_json

one_thread()

from mc.running.warm_up import warm_up  # noqa: E402
from mc.studies.file import load_study  # noqa: E402
from tnqbm.training.families import family_of  # noqa: E402
from tnqbm.training.trainer import Trainer  # noqa: E402

PCD = {"gradient": "pcd-1", "chains": 200}
DIGITS = {**PCD, "batch_size": 100, "precision": "single", "evaluate": "none"}
LARGE = {**PCD, "precision": "single", "evaluate": "none"}
ENHANCED = {"gradient": "quantum", "strategy": "enhanced", "chains": 10, "steps": 1}
AIS = {"evaluate": "ais", "evaluations": 2, "ais_chains": 300, "ais_betas": 1000}
NATURAL = {"optimizer": "natural", "learning_rate": 0.01, "damping": 0.3}

CASES: dict[str, tuple[str, str, int, int, dict[str, Any]]] = {
    # name: data, paulis, n, m, [training] without iterations
    "exact small": ("bas", "XYZ", 8, 8, {}),
    "exact large": ("bas", "Z", 12, 50, {}),
    "exact natural": ("bas", "XYZ", 8, 8, NATURAL),
    "exact em": ("bas", "XYZ", 8, 8, {"optimizer": "em"}),
    "pcd small Z": ("bas", "Z", 8, 8, PCD),
    "pcd small XYZ": ("bas", "XYZ", 8, 8, PCD),
    "pcd-10 n = 12": ("on2", "XZ", 12, 20, {**PCD, "gradient": "pcd-10", "precision": "single"}),
    "tempered n = 12": ("on2", "XYZ", 12, 20, {**PCD, "gradient": "tempered-1"}),
    "digits Z": ("digits", "Z", 64, 64, DIGITS),
    "digits XYZ": ("digits", "XYZ", 64, 64, DIGITS),
    "digits XYZ double": ("digits", "XYZ", 64, 64, {**DIGITS, "precision": "double"}),
    "digits cd-10": ("digits", "XZ", 64, 128, {**DIGITS, "gradient": "cd-10"}),
    "digits Z ais": ("digits", "Z", 64, 64, {**DIGITS, **AIS}),
    "digits XYZ ais": ("digits", "XYZ", 64, 64, {**DIGITS, **AIS}),
    "digits tempered": ("digits", "Z", 64, 64, {**DIGITS, "gradient": "tempered-1"}),
    "bas n = 144 pcd-10": ("bas", "XYZ", 144, 100, {**LARGE, "gradient": "pcd-10"}),
    "circuits": ("bas", "XYZ", 4, 2, {"gradient": "quantum", "shots": 100_000}),
    "circuits, more shots": ("bas", "XYZ", 4, 2, {"gradient": "quantum", "shots": 1_000_000}),
    "circuits, larger": ("bas", "XZ", 6, 3, {"gradient": "quantum", "shots": 1_000_000}),
    "enhanced chains": ("bas", "XYZ", 4, 2, ENHANCED),
    "enhanced chains, larger": ("bas", "XYZ", 8, 4, ENHANCED),
    "digits fisher": ("digits", "XYZ", 64, 64, {**DIGITS, **NATURAL}),
    "digits kubo-mori": ("digits", "XYZ", 64, 64, {**DIGITS, **NATURAL, "metric": "kubo-mori"}),
}

SECONDS = 2.0
"""About how long a case takes; an evaluation by annealing may take longer."""


def study_of(case: str, iterations: int) -> Any:
    """The study of a case with so many updates."""
    data, paulis, n, m, training = CASES[case]
    return load_study(
        {
            "name": "forecast",
            "seeds": 4,
            "model": {"paulis": paulis, "visible": n, "hidden": m, "scale": 0.02},
            "data": {"name": data},
            "training": {"iterations": iterations, **training},
            "output": {"records": 2},
            "run": {"batch": 4},
        }
    )


def measure(case: str, iterations: int) -> tuple[float, float]:
    """Forecast and measured seconds of one task of four runs."""
    study = study_of(case, iterations)
    (task,) = study.tasks()
    settings = study.settings(str(task.coordinates["gradient"]))
    problem = study.problem(task.coordinates, task.seeds)
    start = time.process_time()
    trainer = Trainer(problem, settings)
    while not trainer.finished:
        trainer.advance(iterations)
    return 1e-9 * task.cost, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="cases with this in their name")
    add_json(parser)
    given = parser.parse_args()
    cases = [case for case in CASES if given.only in case]
    if not cases:
        parser.error(f"no case has {given.only!r} in its name: {'; '.join(CASES)}")
    rows = []
    for case in cases:
        study = study_of(case, 10)
        (task,) = study.tasks()
        paulis, gradient = (str(task.coordinates[key]) for key in ("paulis", "gradient"))
        warm_up([(family_of(task.coordinates).name, paulis)], study.settings(gradient))
        _, few = measure(case, 10)
        _, more = measure(case, 30)
        each = max((more - few) / 20, 1e-6)
        iterations = max(30, min(5000, math.ceil(SECONDS / each)))
        forecast, measured = measure(case, iterations)
        rows.append(
            {
                "case": case,
                "updates": iterations,
                "forecast (s)": forecast,
                "measured (s)": measured,
                "ratio": forecast / measured,
                "update (ms)": 1e3 * measured / iterations,
            }
        )
    if given.json:
        # How many updates take two seconds differs between machines; what one takes is compared.
        kept = [{key: row[key] for key in ("case", "ratio", "update (ms)")} for row in rows]
        write_json(given.json, "forecast", kept, {"update (ms)": "lower"})
    print_rows(rows)


if __name__ == "__main__":
    main()
