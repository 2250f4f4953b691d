"""Test likelihoods of RBMs and sqRBMs with equally many parameters, on the field's data sets.

    python scripts/league/league.py DATA -o league --sets nltcs 8_blobs
    python scripts/league/league.py DATA -o league                      # all of them, hours
    python scripts/league/league.py DATA -o league --tables-only --into docs/league.md

DATA is the folder of the files; sets.py says where to get them. For every set, in OUT/SET-search.h5
one run of each trial and Pauli set; in OUT/SET.h5 five seeds of the trial whose validation rows are
likeliest; in OUT/SET.json their log Z from both sides and the likelihoods of the test rows. An
interrupted league goes on where it stopped, and what is finished is not done again. The test rows
play no part before the last step.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from evaluation import METHODS, Measures, evaluate
from sets import SETS, DataSet, Settings
from tables import figure, markdown

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tnqbm  # noqa: E402
from scripts.docs.pages import put  # noqa: E402

SEARCH_SEED = 1
FIRST_SEED = 11
"""Of the final runs: none of them has been seen by the search."""


def label(trial: Settings) -> str:
    """The name of a trial, a coordinate of its runs."""
    return "rate-{learning_rate:g}-decay-{weight_decay:g}".format(**trial).replace(".", "_")


def study(
    data: DataSet, folder: Path, name: str, seeds: list[int], chosen: dict[str, list[Settings]]
) -> dict[str, Any]:
    """A study of the trials ``chosen`` for each Pauli set."""
    named = {label(trial): trial for trials in chosen.values() for trial in trials}
    training = {key: value for key, value in data.training.items() if key != "gradient"}
    return {
        "name": name,
        "seeds": seeds,
        "model": {"visible": data.visible, "scale": data.scale, "fields": "data"},
        "data": data.study_data(folder),
        "training": training,
        "output": {"records": 10},
        "gradients": {
            key: {"gradient": data.training["gradient"], **trial} for key, trial in named.items()
        },
        "grid": [
            {
                "paulis": [paulis],
                "hidden": [data.hidden[paulis]],
                "gradient": [label(trial) for trial in found],
            }
            for paulis, found in chosen.items()
        ],
    }


def run(description: dict[str, Any], archive: Path, ranks: int) -> None:
    """Run a study over MPI, or go on with it; CalledProcessError if it fails."""
    path = archive.with_suffix(".toml")
    path.write_text(tomli_w.dumps(description))
    command = [sys.executable, "-m", "tnqbm", "run", str(path), "-o", str(archive), "--resume"]
    beside = str(Path(sys.executable).parent)
    launcher = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    if ranks > 1 and launcher is not None:
        command = [launcher, "-n", str(ranks), *command]
    subprocess.run(command, check=True)


def choose(data: DataSet, archive: Path) -> dict[str, list[Settings]]:
    """For each Pauli set the trial whose validation rows are likeliest at the end."""
    named = {label(trial): trial for trial in data.trials}
    best: dict[str, tuple[float, str]] = {}
    with tnqbm.Archive(archive) as found:
        for one in found.runs():
            nll = float(one.trajectory.valid_nll[-1])
            paulis, gradient = str(one.coordinates["paulis"]), str(one.coordinates["gradient"])
            if nll == nll and nll < best.get(paulis, (float("inf"), ""))[0]:
                best[paulis] = (nll, gradient)
    missing = data.hidden.keys() - best.keys()
    if missing:
        raise SystemExit(f"{archive}: no run of {', '.join(sorted(missing))} has a likelihood")
    return {paulis: [named[best[paulis][1]]] for paulis in data.hidden}


def league(data: DataSet, folder: Path, out: Path, seeds: int, ranks: int) -> None:
    """Search, train and evaluate one set."""
    search, final = out / f"{data.name}-search.h5", out / f"{data.name}.h5"
    every = {paulis: list(data.trials) for paulis in data.hidden}
    run(study(data, folder, f"{data.name}-search", [SEARCH_SEED], every), search, ranks)
    wanted = list(range(FIRST_SEED, FIRST_SEED + seeds))
    run(study(data, folder, data.name, wanted, choose(data, search)), final, ranks)
    evaluate(
        final,
        out / f"{data.name}.json",
        Measures(METHODS[:1] if data.quick else METHODS[1:], data.bandwidth),
        workers=ranks,
    )


def _chosen(names: list[str] | None) -> Iterator[DataSet]:
    for data in SETS:
        if names is None or data.name in names:
            yield data


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DATA", help="where the files lie")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--sets", nargs="+", choices=[data.name for data in SETS])
    parser.add_argument("--seeds", type=int, default=5, help="of the final runs, default 5")
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks, default 2")
    parser.add_argument("--tables-only", action="store_true", help="of what is in OUT already")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the tables there")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw the differences")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("--seeds must be at least 2: errors come from the spread over seeds")
    chosen = list(_chosen(args.sets))
    if not args.tables_only:
        for data in chosen:
            data.study_data(args.folder)  # all files are there, before any work
        args.out.mkdir(parents=True, exist_ok=True)
        for data in chosen:
            print(f"\n{data.title}", file=sys.stderr)
            league(data, args.folder, args.out, args.seeds, args.ranks)
    done = [data for data in chosen if (args.out / f"{data.name}.json").is_file()]
    text = markdown(done, args.out)
    if args.into is None:
        print(text)
    else:
        put(args.into, {"league": text})
    if args.figure is not None:
        figure(done, args.out, args.figure)


if __name__ == "__main__":
    main()
