"""How studies and single runs spread over many ranks: measured on two, simulated up to thousands.

    python scripts/benchmarks/scaling.py study scripts/studies/figure3.toml
    python scripts/benchmarks/scaling.py run --visible 784 --hidden 500 --chains 16384
    mpiexec -n 2 python scripts/benchmarks/scaling.py costs scripts/studies/demo.toml
    python scripts/benchmarks/scaling.py check scripts/studies/demo.toml

"study" plays the schedule of a study: all ranks start, and then tasks go by their forecasts, most
expensive first, to ranks as they become free; rank 0 trains as well and answers between two chunks
of its own work. "run" adds up an update of one run that ranks share: what every rank does, its
shards of the chains, and the sum over ranks by reduce-scatter and allgather (Thakur, Rabenseifner &
Gropp 2005). "costs" measures what a message costs rank 0, and the processor time of a rank until it
can begin; "start" does no more than that. "check" runs a study alone, twice at once, and on two
ranks, and compares the last with what "study" says of two ranks as fast as those of the second; the
time that "start" takes, twice at once and on two ranks, is known to it. It needs two cores that
nothing else uses.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from timing import add_json, one_thread, print_rows, write_json

RANKS = (1, 2, 8, 32, 128, 512, 1024, 2048, 4096)


class Machine(NamedTuple):
    """What the simulation supposes, in seconds, and bytes a second.

    answer : of rank 0 for one message, with what it does on the display
    latency, bandwidth : of a message between two ranks
    spread : standard deviation of the logarithm of a task's time over its forecast
    write : of the rank that ends a task, for its file
    start : of every rank until it asks for its first task: interpreter, imports, reading the study,
        loading kernels that are compiled
    """

    answer: float = 5e-6
    latency: float = 2e-6
    bandwidth: float = 1e10
    spread: float = 0.2
    write: float = 0.01
    start: float = 2.0


class Played(NamedTuple):
    """``seconds`` until the last task is done, and the part of the ranks' time that was work."""

    seconds: float
    efficiency: float


def play(costs: Sequence[float], ranks: int, machine: Machine, seed: int = 1) -> Played:
    """The start of all ranks, and the schedule of tasks of ``costs`` seconds by their forecasts.

    Rank 0 looks up at the end of every chunk of its own work and answers whoever waits. Reports on
    progress, which come all the time, make its chunks longer; if they leave no time for work, rank
    0 has none.
    """
    import numpy as np

    from mc.running.runner import CHUNK_SECONDS, ROOT_CHUNK_SECONDS
    from mc.running.scheduler import PROGRESS_SECONDS

    noise = np.random.default_rng(seed).normal(0.0, machine.spread, len(costs))
    seconds = np.asarray(costs) * np.exp(noise - machine.spread**2 / 2)
    load = min(machine.answer * (ranks - 1) / PROGRESS_SECONDS, 1.0)
    chunk = CHUNK_SECONDS if ranks == 1 else ROOT_CHUNK_SECONDS
    cycle = chunk / (1.0 - load) if load < 1.0 else math.inf
    waiting = list(reversed(seconds.tolist()))
    root_works = load < 1.0
    free = [(machine.start, rank) for rank in range(ranks) if rank or root_works]
    heapq.heapify(free)
    busy_until = end = 0.0  # of rank 0's answers; of the study
    while free and waiting:
        asked, rank = heapq.heappop(free)
        if rank:
            heard = asked + machine.latency
            if root_works:
                heard = math.ceil(heard / cycle) * cycle
            busy_until = max(busy_until, heard) + 2 * machine.answer  # "ended" and "want"
            begins = busy_until + machine.latency
        else:
            begins = asked
        took = waiting.pop() / (1.0 - load if rank == 0 else 1.0) + machine.write
        end = max(end, begins + took)
        heapq.heappush(free, (begins + took, rank))
    return Played(end, float(seconds.sum()) / (ranks * end))


def update_seconds(
    ranks: int, *, shards: int, fixed: float, shard: float, size: int, machine: Machine
) -> float:
    """One update of a run whose chains are ``shards`` shards, on so many ranks.

    fixed : what every rank does, whatever its share; shard : one shard's sweeps and average;
    size : bytes of the sums that are added.
    """
    most = -(-shards // ranks)
    moved = 2.0 * (ranks - 1) / ranks * size / machine.bandwidth
    return fixed + most * shard + 2.0 * math.ceil(math.log2(ranks)) * machine.latency + moved


def study_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The efficiency of a study on numbers of ranks."""
    from mc.studies.file import load_study

    study = load_study(args.study)
    if args.seeds:
        study = study.model_copy(update={"seeds": list(range(1, args.seeds + 1))})
    tasks = study.tasks()
    costs = [1e-9 * task.cost for task in tasks]
    rows = []
    for ranks in args.ranks:
        found = play(costs, ranks, machine_of(args))
        rows.append(
            {
                "ranks": ranks,
                "tasks": len(tasks),
                "core hours": sum(costs) / 3600.0,
                "seconds": found.seconds,
                "efficiency": found.efficiency,
                "largest task, s": max(costs),
            }
        )
    return rows


def run_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The efficiency of one PCD run on numbers of ranks, from updates timed here."""
    from tnqbm.base.teams import SHARD

    small, large = (seconds_of_update(args, SHARD * count) for count in (2, 10))
    shard = (large - small) / 8
    fixed = max(small - 2 * shard, 0.0)
    shards = -(-args.chains // SHARD)
    parameters = args.visible * args.hidden * len(args.paulis) + args.visible
    size = 8 * (parameters + args.hidden * len(args.paulis))
    alone = fixed + shards * shard
    rows = []
    for ranks in args.ranks:
        took = update_seconds(
            ranks, shards=shards, fixed=fixed, shard=shard, size=size, machine=machine_of(args)
        )
        rows.append(
            {
                "ranks": ranks,
                "shards": shards,
                "every rank, ms": 1e3 * fixed,
                "a shard, ms": 1e3 * shard,
                "update, ms": 1e3 * took,
                "faster": alone / took,
                "efficiency": alone / took / ranks,
            }
        )
    return rows


def seconds_of_update(args: argparse.Namespace, chains: int, updates: int = 30) -> float:
    """Processor time of one PCD update of fair bits' data, the least of three trainings."""
    import numpy as np

    import tnqbm
    from mc.estimators.settings import provide

    provide()
    rows = np.random.default_rng(1).integers(0, 2, (100, args.visible), dtype=np.uint8)
    target = tnqbm.Target.from_samples(rows)
    model = tnqbm.SqRBM.uniform(args.visible, args.hidden, args.paulis, scale=0.01, seed=1)
    settings: dict[str, Any] = {
        "gradient": "pcd", "chains": chains, "precision": "single", "evaluate": "none",
        "records": 1, "seed": 1,
    }  # fmt: skip
    least = math.inf
    tnqbm.train(model, target, iterations=2, **settings)
    for _ in range(3):
        both = []
        for iterations in (updates // 3, updates):
            begun = time.process_time()
            tnqbm.train(model, target, iterations=iterations, **settings)
            both.append(time.process_time() - begun)
        least = min(least, (both[1] - both[0]) / (updates - updates // 3))
    return least


def ready(path: str) -> Any:
    """The ranks, after all that a rank does before its first task of a study."""
    from mc.running.ranks import connect, get_comm
    from mc.running.warm_up import warm_up_for
    from mc.studies.file import load_study

    study = load_study(path)
    ranks = connect(get_comm())
    warm_up_for(study, study.tasks())
    ranks.barrier()
    return ranks


def started(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Processor time until a rank is ready, of rank 0."""
    ranks = ready(args.study)
    took = time.process_time()
    ranks.close()
    return [] if ranks.rank else [{"start, s": took}]


def measured_costs(study: str, rounds: int = 100, burst: int = 50) -> dict[str, float]:
    """Processor time until rank 0 is ready, and what a report on progress costs it where many have
    come; run it on two ranks."""
    from mc.running.interruption import SignalWatch
    from mc.running.scheduler import task_source
    from mc.studies.schedule import Task

    ranks = ready(study)
    start = time.process_time()
    if ranks.size != 2:
        raise SystemExit("costs: run this with mpiexec -n 2")
    tasks = [Task(k, {"n": k}, (1,), 1.0) for k in range(2)]
    took = []
    with SignalWatch() as watch:
        busy: set[int] = set()
        source = task_source(ranks, tasks, watch, lambda table, last: busy.update(table.running))
        source.next_task()
        while ranks.rank == 0 and 1 not in busy:
            source.tick(0.0)
        for _ in range(rounds):
            for k in range(burst if ranks.rank else 0):
                ranks.send(("progress", k / burst), 0)
            ranks.barrier()
            begun = time.perf_counter()
            if ranks.rank == 0:
                source.tick(0.5)
            took.append(time.perf_counter() - begun)
            ranks.barrier()
        source.end_task(0)
        source.finish()
    ranks.close()
    answer = 1e6 * sorted(took)[rounds // 2] / burst
    return {"start, s": start, "answer, microseconds": answer} if busy else {}


def checked(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A study alone, beside another one, and on two ranks, against the simulation."""
    import numpy as np

    from mc.studies.file import load_study

    launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
    costs = np.array([task.cost for task in load_study(args.study).tasks()])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns):
            alone = timed([run_command(args.study, folder, "warm")])
            beside = timed([run_command(args.study, folder, name) for name in "ab"])
            both = timed([[launcher, "-n", "2", *run_command(args.study, folder, "two")]])
            begin = [sys.executable, __file__, "start", args.study]
            start_beside = timed([begin, begin])
            machine = machine_of(args)._replace(start=timed([[launcher, "-n", "2", *begin]]))
            said = play((costs / costs.sum() * (beside - start_beside)).tolist(), 2, machine)
            rows.append(
                {
                    "turn": turn,
                    "alone, s": alone,
                    "beside another, s": beside,
                    "two ranks, s": both,
                    "start of two ranks, s": machine.start,
                    "simulated, s": said.seconds,
                    "ratio": said.seconds / both,
                }
            )
    return rows


def run_command(study: str, folder: str, name: str) -> list[str]:
    out = str(Path(folder) / f"{name}.h5")
    return [sys.executable, "-m", "tnqbm", "run", study, "-o", out, "--overwrite", "--no-progress"]


def timed(commands: Sequence[Sequence[str]]) -> float:
    """Seconds until all of the commands, started at once, have ended."""
    begun = time.perf_counter()
    started = [
        subprocess.Popen(command, env={**os.environ, "NUMBA_NUM_THREADS": "1"})
        for command in commands
    ]
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit(f"exit codes {codes} of {commands}")
    return time.perf_counter() - begun


def machine_of(args: argparse.Namespace) -> Machine:
    return Machine(**{name: getattr(args, name) for name in Machine._fields})


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = options.add_subparsers(dest="command", required=True)
    study = commands.add_parser("study", help="simulate the schedule of a study")
    study.add_argument("study", help="its file")
    study.add_argument("--seeds", type=int, help="instead of the study's")
    run = commands.add_parser("run", help="simulate one run that ranks share")
    run.add_argument("--visible", type=int, default=784)
    run.add_argument("--hidden", type=int, default=500)
    run.add_argument("--paulis", default="Z")
    run.add_argument("--chains", type=int, default=16384)
    costs = commands.add_parser("costs", help="measure what a message costs rank 0, and a start")
    costs.add_argument("study", help="its file")
    start = commands.add_parser("start", help="get ready for a study, and say how long it took")
    start.add_argument("study", help="its file")
    check = commands.add_parser("check", help="compare with real runs on two ranks")
    check.add_argument("study", help="its file")
    check.add_argument("--turns", type=int, default=3)
    for each in (study, run, check):
        for name, value in Machine._field_defaults.items():
            each.add_argument(f"--{name}", type=float, default=value, help=f"default {value:g}")
    for each in (study, run):
        each.add_argument("--ranks", type=int, nargs="+", default=RANKS)
    for parser in (study, run, costs, start, check):
        add_json(parser)
    args = options.parse_args()
    if args.command == "run":
        one_thread()
    rows = {
        "study": study_rows,
        "run": run_rows,
        "check": checked,
        "start": started,
        "costs": lambda args: [found] if (found := measured_costs(args.study)) else [],
    }[args.command](args)
    print_rows(rows)
    if args.json:
        write_json(args.json, f"scaling {args.command}", rows)


if __name__ == "__main__":
    main()
