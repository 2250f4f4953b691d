"""``tnqbm warm``: compiles kernels before they are needed."""

from __future__ import annotations

import time

import click

from mc.cli import options
from mc.cli.common import PATH, echo, print_json
from mc.running.warm_up import warm_up, warm_up_for
from mc.studies.file import load_study
from tnqbm.kernels.cache import compiled
from tnqbm.training.settings import TrainingSettings

COMMON_GRADIENTS = ("exact", "pcd")
"""What is compiled without a study, for models of one Pauli matrix and of three."""


@click.command()
@click.argument("study", type=PATH, metavar="[STUDY.toml]", required=False)
@options.as_json
def warm(study: str | None, as_json: bool) -> None:
    """Compile the kernels that a study needs, so that its first start need not.

    Machine code is kept for each kind of processor, so run this on a machine like those that
    compute. Without a study it compiles what exact gradients and pcd need. Under MPI there is no
    need for it: tnqbm run compiles on one rank of each node while the others wait.

    \b
    Examples:
      tnqbm warm study.toml
      tnqbm warm
    """
    plan = None if study is None else load_study(study)
    start = time.process_time()
    if plan is None:
        for gradient in COMMON_GRADIENTS:
            warm_up([("sqrbm", "Z"), ("sqrbm", "XYZ")], TrainingSettings(gradient=gradient))
    else:
        warm_up_for(plan, plan.tasks())
    seconds = time.process_time() - start
    if as_json:
        print_json({"kernels": compiled(), "processor_seconds": seconds})
    elif compiled():
        echo(f"{compiled()} kernels compiled in {seconds:.1f} s of processor time")
    else:
        echo("nothing to compile: all kernels are there")
