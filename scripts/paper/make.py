"""Everything of the paper: Figures 2 and 3, Table 1, Supplementary Note 9, transverse fields.

    python scripts/paper/make.py -o paper-output
    python scripts/paper/make.py -o paper-output --dry-run          how long it will take
    python scripts/paper/make.py -o paper-output --from data/results
    python scripts/paper/make.py --quick                            all of it in small, in a minute

Studies are run by `tnqbm run ... --resume` (under mpiexec, where there is one), so that a call that
was stopped, killed or ran out of disk goes on where it was, and a second call computes nothing.
--from takes finished archives as starting points: what they hold is not computed again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradient_spread
import tables
import transverse
import transverse_qrbm

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "scripts" / "studies"
TNQBM = [sys.executable, "-c", "from mc.cli import main; main()"]


PATIENCE_SECONDS = 20.0
"""How long a command has to save its work after Ctrl-C before it is told again."""


class Terminated(KeyboardInterrupt):
    """The process was sent SIGTERM."""


class Work(NamedTuple):
    """What is left to compute of a part: how many pieces, and seconds of one core."""

    left: int
    total: int
    seconds: float
    cores: int = 1
    """How many cores can share it."""


class Part(NamedTuple):
    """A part of the paper that is computed into one file."""

    name: str
    group: str
    """What --only calls it."""
    file: str
    """Where its numbers are kept, and what --from looks for; empty if it keeps none."""


PARTS = (
    Part("Table 1", "table1", ""),
    Part("Supplementary Note 9", "note9", "spread.h5"),
    Part("transverse field", "transverse", "transverse.h5"),
    Part("QRBM", "transverse", "transverse-qrbm.h5"),
    Part("Figure 3", "figure3", "figure3.h5"),
    Part("Figure 2", "figure2", "figure2.h5"),
)
GROUPS = tuple(dict.fromkeys(part.group for part in PARTS))


class Paper:
    """One call: where files go, how many ranks work, and whether it is in small."""

    def __init__(self, out: Path, ranks: int, quick: bool) -> None:
        self.out, self.ranks, self.quick = out, ranks, quick
        self.made: list[Path] = []
        self.spread = gradient_spread.QUICK if quick else gradient_spread.FULL
        self.qrbm = transverse_qrbm.QUICK if quick else transverse_qrbm.FULL

    def study(self, part: Part) -> Path:
        """The study file of a part; in small, one with fewer and shorter runs."""
        path = STUDIES / f"{Path(part.file).stem}.toml"
        if not self.quick:
            return path
        small = self.out / "studies" / path.name
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_text(in_small(path), encoding="utf-8")
        return small

    def work(self, part: Part) -> Work:
        """What a part still takes. Errors of a damaged or foreign archive say what to do."""
        path = self.out / part.file
        if part.group == "table1":
            return Work(0, 0, 0.0)
        if part.group == "note9":
            states = gradient_spread.load(path, self.spread)
            cases = gradient_spread.todo(states, self.spread)
            total = len(list(self.spread.cases()))
            seconds = gradient_spread.seconds(cases, self.spread)
            return Work(len(cases), total, seconds, self.ranks)
        if part.name == "QRBM":
            done = transverse_qrbm.load(path, self.qrbm)
            everything = list(self.qrbm.runs())
            runs = [run for run in everything if run not in done]
            return Work(
                len(runs), len(everything), transverse_qrbm.seconds(runs, self.qrbm.iterations)
            )
        return study_work(self.study(part), path, self.ranks)

    def compute(self, part: Part) -> None:
        """Do what is left of a part; subprocess.CalledProcessError if it did not end well."""
        path = self.out / part.file
        if part.group == "note9":
            gradient_spread.compute(path, self.spread)
        elif part.name == "QRBM":
            script = Path(__file__).with_name("transverse_qrbm.py")
            small = ["--quick"] if self.quick else []
            call([sys.executable, str(script), "-o", str(path), *small], alone=True)
        elif part.group != "table1":
            command = [*TNQBM, "run", str(self.study(part)), "-o", str(path), "--resume"]
            call([*launcher(self.ranks), *command])

    def show(self, group: str) -> Iterator[Path]:
        """Make the figures and tables of a group; yields their paths."""
        if group == "table1":
            sizes = tables.SIZES[:2] if self.quick else tables.SIZES
            yield self._text("table1.md", tables.table1(sizes))
        elif group == "note9":
            path = self.out / "spread.h5"
            yield from gradient_spread.figures(path, self.spread, self.out)
            text = [
                gradient_spread.summary(path, self.spread),
                gradient_spread.table(path, self.spread),
            ]
            yield self._text("spread.md", "\n".join(text))
        elif group == "transverse":
            archive = self.out / "transverse.h5"
            values = transverse.from_archive(archive)
            small = transverse.from_runs(self.out / "transverse-qrbm.h5")
            yield transverse.figure(values, transverse.NAMES, self.out / "transverse.png")
            yield transverse.figure(small, transverse_qrbm.NAMES, self.out / "transverse-qrbm.png")
            parts = [
                transverse.least_table(archive),
                transverse.gain_table(values, ("hidden", "XZ")),
                transverse.gain_table(small, ("hidden", "all", "XZ")),
            ]
            yield self._text("transverse.md", "\n".join(parts))
        elif group == "figure3":
            yield from self._figure3()
        else:
            yield from self._figure2()

    def _figure3(self) -> Iterator[Path]:
        from tnqbm import Archive, figures

        path = self.out / "figure3.h5"
        with Archive(path) as archive:
            figure, _ = figures.minimum_hidden(archive)
        yield figures.save_figure(figure, self.out / "figure3.png", overwrite=True)
        yield self._text("ratios.md", tables.ratios(path))

    def _figure2(self) -> Iterator[Path]:
        from tnqbm import Archive, figures

        with Archive(self.out / "figure2.h5") as archive:
            sizes = sorted({int(group["visible"]) for group in archive.groups()})
            for n in sizes:
                figure, _ = figures.tvd_vs_hidden(archive, where={"visible": n})
                path = self.out / f"figure2-n{n}.png"
                yield figures.save_figure(figure, path, overwrite=True)

    def _text(self, name: str, text: str) -> Path:
        from tnqbm.files.atomic import atomic_write

        path = self.out / name
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return path


def study_work(study: Path, archive: Path, cores: int) -> Work:
    """Runs of a study that its archive does not hold, and the engine's forecast of them."""
    from mc.studies.file import load_study
    from mc.studies.schedule import run_key

    plan = load_study(study)
    finished = set()
    if archive.exists() or archive.with_name(archive.name + ".parts").is_dir():
        from tnqbm import Archive

        # A start that was stopped before its first block leaves a folder without a plan.
        with contextlib.suppress(FileNotFoundError), Archive(archive) as found:
            finished = {
                run_key(run.coordinates, int(run.coordinates["seed"]))
                for run in found.runs(skip_damaged=True)
            }
    tasks = plan.tasks(finished=finished)
    total = sum(len(group.seeds) for group in plan.plan())
    left = sum(len(task.seeds) for task in tasks)
    return Work(left, total, 1e-9 * sum(task.cost for task in tasks), cores)


def in_small(path: Path) -> str:
    """A study with two seeds, n = 6, up to three values of m and 30 updates, as TOML."""
    from mc.studies.file import read_source
    from mc.studies.text import dump_toml

    raw, _, _, _ = read_source(path)
    raw = {**raw, "seeds": 2, "training": {**raw.get("training", {}), "iterations": 30}}
    model = dict(raw["model"])
    if "visible" in model:
        model["visible"] = 6
    if "hidden" in model:
        model["hidden"] = model["hidden"][:3]
    raw["model"] = model
    grids = []
    for grid in raw.get("grid", []):
        if grid.get("visible", 6) != 6:
            continue
        small = dict(grid)
        if "hidden" in small:
            small["hidden"] = small["hidden"][:3]
        by_paulis = small.get("hidden_by_paulis")
        if by_paulis:
            small["hidden_by_paulis"] = {key: m[:3] for key, m in by_paulis.items()}
        grids.append(small)
    if grids:
        raw["grid"] = grids
    return str(dump_toml(raw))


def launcher(ranks: int) -> list[str]:
    """mpiexec with so many ranks, or nothing where there is one rank or no mpiexec."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    return [] if found is None or ranks == 1 else [found, "-n", str(ranks)]


def call(command: Sequence[str], *, alone: bool = False) -> None:
    """Run a command that saves its work when it is stopped, and wait until it has.

    CalledProcessError if it fails; KeyboardInterrupt, after it has ended, if it was stopped.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *python_path()])}
    if alone:
        env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=env) as child:
        try:
            code = child.wait()
        except KeyboardInterrupt as stop:
            # Ctrl-C reaches the child, too; SIGTERM, or Ctrl-C where it is ignored, has to be sent.
            with contextlib.suppress(KeyboardInterrupt):
                if not isinstance(stop, Terminated):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(PATIENCE_SECONDS)
                child.terminate()
                child.wait()
            raise
    if code in (130, 143, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if code:
        raise subprocess.CalledProcessError(code, list(command))


def python_path() -> list[str]:
    """What PYTHONPATH names already."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def copy_archives(source: Path, out: Path, parts: Sequence[Part]) -> None:
    """Take finished files as starting points where there is none yet."""
    from tnqbm.files.atomic import atomic_write

    if not source.is_dir():
        raise NotADirectoryError(f"--from {source}: there is no such folder")
    for part in parts:
        target = out / part.file
        begun = target.exists() or target.with_name(target.name + ".parts").exists()
        found = source / part.file
        if part.file == "" or begun or not found.exists():
            continue
        with atomic_write(target) as temporary:
            shutil.copyfile(found, temporary)
        print(f"copied {found} to {target}")


def duration(seconds: float) -> str:
    """A time span for people."""
    from mc.cli.run import duration as words

    return words(seconds)


def forecast(paper: Paper, parts: Sequence[Part]) -> None:
    """Say what is left to do of each part, and how long it will take."""
    rows, total, cores = [], 0.0, 0.0
    for part in parts:
        work = paper.work(part)
        share = min(work.cores, max(1, work.left))
        rows.append((part.name, work, work.seconds / share))
        total += work.seconds / share
        cores += work.seconds
    for name, work, seconds in rows:
        if work.total:
            left = "nothing left" if not work.left else f"about {duration(seconds)}"
            print(f"  {name:22} {work.total - work.left:6} of {work.total:6} done, {left}")
    print(
        f"About {duration(total)} with {paper.ranks} rank{'s' * (paper.ranks > 1)} "
        f"({duration(cores)} of one core), good to a factor of two or so, if the machine has "
        "nothing else to do."
    )


def run(paper: Paper, parts: Sequence[Part]) -> None:
    """Compute what is left, then make figures and tables; prints the files."""
    for k, part in enumerate(parts, 1):
        work = paper.work(part)
        head = f"[{k} of {len(parts)}] {part.name}"
        if work.left:
            print(f"{head}: {work.left} of {work.total} to do", flush=True)
            begin = time.perf_counter()
            paper.compute(part)
            print(f"{head}: done in {duration(time.perf_counter() - begin)}", flush=True)
        elif work.total:
            print(f"{head}: complete", flush=True)
    for group in dict.fromkeys(part.group for part in parts):
        paper.made += paper.show(group)
    paper.made += [paper.out / part.file for part in parts if part.file]
    print("Files:")
    for path in paper.made:
        print(f"  {path}  ({path.stat().st_size / 1e3:.0f} kB)")


def main(arguments: list[str] | None = None) -> int:
    """The command; 0, 1 after an error, 130 when it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="paper-output")
    parser.add_argument("--ranks", type=int, default=0, help="MPI ranks; default: all cores")
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="PART", help=", ".join(GROUPS))
    parser.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="archives")
    parser.add_argument("--quick", action="store_true", help="in small, to see that it works")
    parser.add_argument("--dry-run", action="store_true", help="say how long it takes, and stop")
    options: Any = parser.parse_args(arguments)
    if options.ranks < 0:
        parser.error("--ranks must be at least 1")
    out = options.output or Path("paper-quick" if options.quick else "paper-output")
    ranks = options.ranks or len(os.sched_getaffinity(0))
    parts = [part for part in PARTS if not options.only or part.group in options.only]
    restart = shlex.join(["python", *sys.argv])
    with explained(restart):
        out.mkdir(parents=True, exist_ok=True)
        if options.source is not None:
            copy_archives(options.source, out, parts)
        paper = Paper(out, ranks, options.quick)
        forecast(paper, parts)
        if not options.dry_run:
            run(paper, parts)
    return 0


@contextlib.contextmanager
def explained(restart: str) -> Iterator[None]:
    """One message and an exit status for what can go wrong; SIGTERM is like Ctrl-C."""
    from mc.cli.command import explain

    def stop(*_: object) -> None:
        raise Terminated

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print(f"Stopped; all that was done is saved. Go on with: {restart}", file=sys.stderr)
        raise SystemExit(130) from None
    except subprocess.CalledProcessError as error:
        print(
            f"Error: a part failed (exit status {error.returncode}); its message is above. When it "
            f"is mended, go on with: {restart}",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except Exception as error:
        message = explain(error)
        if message is None or os.environ.get("TNQBM_DEBUG", "") not in ("", "0"):
            raise
        print(f"Error: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
