"""The ``tnqbm`` command: which commands there are, how errors end, and what comes before them.

A command's module is imported when the command is called, so that ``tnqbm --help`` comes at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from traceback import walk_tb
from typing import Any

import click
from click.shell_completion import CompletionItem

import tnqbm
from mc.cli.common import echo, is_first_rank, tell
from tnqbm.base.commit import commit
from tnqbm.base.errors import ArchiveError, HiddenPackageError, MissingExtraError
from tnqbm.base.process import mark_as_command
from tnqbm.base.text import printable

COMMANDS = {
    "bias": ("bias", "Compare a gradient with the exact one."),
    "certify": ("certify", "Bound log Z and the likelihood from both sides."),
    "compare": ("compare", "Compare the runs of two archives."),
    "data": ("data", "Say what is in a file of data."),
    "doctor": ("doctor", "Check the installation."),
    "evaluate": ("evaluate", "Evaluate a model exactly."),
    "logz": ("logz", "Estimate log Z with an error bar."),
    "merge": ("show", "Join archives."),
    "model": ("model", "Compare, prune, merge and rewrite models."),
    "plot": ("plot", "Draw a figure of archives."),
    "quality": ("quality", "Compare a model's samples with data."),
    "report": ("report", "Write an HTML report of archives."),
    "resources": ("resources", "Estimate what training on a quantum computer takes."),
    "run": ("run", "Train every run of a study and keep the results."),
    "sample": ("sample", "Draw samples of a model."),
    "show": ("show", "Show how far a study is and what its runs reached."),
    "structure": ("structure", "Show bond dimensions of a model."),
    "verify": ("show", "Check an archive and its checksums."),
    "warm": ("warm", "Compile the kernels that a study needs."),
}
"""The module of each command in this folder, and what it does in a few words."""

BROKEN_PIPE = 141
"""What shells see of a command whose reader has left: 128 plus the number of SIGPIPE."""

LEAST = 350 << 20
"""Bytes below which LLVM or NumPy cannot be loaded: 340,000 KB were not enough when measured."""

ENOUGH, PER_THREAD = 768 << 20, 160 << 20
"""Bytes that a command needs, and further bytes for every thread of BLAS and Numba (stacks and
arenas). A small study with two threads used 715 MB, compiling kernels included."""


def check_address_space() -> str:
    """A warning if the address space is limited to less than may be needed, else an empty text.

    BLAS is then given one thread, if NumPy is not loaded yet and the user has not said otherwise.
    Raises MemoryError if nothing can work.
    """
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    needed = ENOUGH + PER_THREAD * (cores or 1)
    if limit >= needed:
        return ""
    words = (
        f"the address space of this process is limited to {limit >> 20} MB (ulimit -v); about "
        f"{needed >> 20} MB may be needed on {cores} cores. Lift the limit with: ulimit -v "
        "unlimited, or ask the batch system for more memory"
    )
    if limit < LEAST:
        raise MemoryError(words)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return words


class Group(click.Group):
    """The group of all commands; each is imported when it is called.

    An expected error is shown as one message instead of a traceback, by rank 0 alone under an MPI
    launcher. TNQBM_DEBUG=1 shows tracebacks.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without importing anything."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, whose module is imported; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"mc.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and options that begin so, from the table alone."""
        names = [
            CompletionItem(name, help=words)
            for name, (_, words) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            # Before a command's module loads NumPy.
            if (warning := check_address_space()) and is_first_rank():
                tell(f"warning: {warning}")
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where what is wrong with it can still be said
            return result
        except (click.exceptions.Exit, click.Abort):
            raise  # click's own ways to end (--help); the first is a RuntimeError
        except click.ClickException as error:
            error.message = printable(error.message, keep="\n")  # type: ignore[misc]
            if is_first_rank():
                raise
            raise SystemExit(error.exit_code) from None
        except BrokenPipeError:
            # The reader (head, less) has seen enough.
            _drop_output()
            raise SystemExit(BROKEN_PIPE) from None
        except Exception as error:
            message = _output_fault(error) or explain(error)
            if message is None or os.environ.get("TNQBM_DEBUG", "") not in ("", "0"):
                raise
            if is_first_rank():
                tell(f"Error: {message}")
            raise SystemExit(getattr(error, "exit_code", 1)) from None


def _output_fault(error: Exception) -> str:
    """What is wrong with standard output, if that is where an error comes from."""
    if not isinstance(error, OSError) or error.filename is not None:
        return ""
    last = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)][-1]
    if last != __name__ and last.partition(".")[0] not in ("click", "rich"):
        return ""
    _drop_output()
    return f"standard output cannot be written: {error.strerror or error}"


def _drop_output() -> None:
    """Send standard output nowhere: Python flushes what is left of it at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def explain(error: Exception) -> str | None:
    """The message of an error that the user can correct; None for an error of the program."""
    if isinstance(error, KeyError):
        return str(error.args[0]) if error.args else "a key is missing"
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    known = (ArchiveError, HiddenPackageError, MissingExtraError, OSError, ValueError, RuntimeError)
    if isinstance(error, known):
        return str(error) or type(error).__name__
    return None


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        if is_first_rank():
            words = [f"tnqbm {tnqbm.__version__}", f"commit {commit()}" if commit() else ""]
            echo(", ".join(filter(None, words)))
        context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and the commit, and exit.",
)
def cli() -> None:
    """Train and study semi-quantum restricted Boltzmann machines.

    A study file says which models are trained on which data; its results go into one HDF5
    archive. TNQBM_DEBUG=1 shows tracebacks of errors.

    \b
    Example:
      tnqbm run study.toml -o results.h5
      tnqbm show results.h5
      tnqbm plot results.h5 --kind tvd -o figure.png
    """


def main() -> None:
    """Entry point of the ``tnqbm`` script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or batch log without UTF-8 must not turn a table into a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    mark_as_command()
    cli(prog_name="tnqbm")
