"""The ``tnqbm`` command: a thin shell over the packages, one small module per command.

Nothing heavy is imported before a command needs it, so that --help and errors come at once.
"""

from __future__ import annotations

import sys

import click

from mc.cli import options
from mc.cli.address_space import check_address_space
from mc.cli.common import Group, echo, is_first_rank, print_json, tell
from mc.cli.evaluate import evaluate
from mc.cli.logz import logz
from mc.cli.model import model
from mc.cli.plot import plot
from mc.cli.quality import quality
from mc.cli.report import report
from mc.cli.resources import resources
from mc.cli.run import run
from mc.cli.sample import sample
from mc.cli.show import merge, show, verify
from mc.cli.structure import structure
from tnqbm.base.process import mark_as_command


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        import tnqbm

        if is_first_rank():
            echo(f"tnqbm {tnqbm.__version__}")
        context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
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
    if (warning := check_address_space()) and is_first_rank():
        tell(f"warning: {warning}")


@cli.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Check the installation: Python, packages, MPI, threads, HDF5, Numba, cache, extras.

    Ends in one line: ready, or what is missing and the command that mends it. The exit code is 0
    if studies can run. Under mpiexec it checks the ranks as they were started.

    \b
    Examples:
      tnqbm doctor
      mpiexec -n 4 tnqbm doctor
    """
    from mc.cli.doctor import examine, print_report

    report = examine()
    if is_first_rank():
        if as_json:
            print_json(report.as_dict())
        else:
            print_report(report)
    if not report.ready:
        raise SystemExit(1)


for command in (
    run,
    show,
    plot,
    report,
    verify,
    merge,
    evaluate,
    sample,
    logz,
    quality,
    structure,
    model,
    resources,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of the ``tnqbm`` script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or batch log without UTF-8 must not turn a table into a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    mark_as_command()
    cli(prog_name="tnqbm")
