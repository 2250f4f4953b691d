"""What an MPI launcher says of the processes it started, read from the environment alone."""

from __future__ import annotations

import os
from collections.abc import Mapping


def launcher_size(environ: Mapping[str, str] = os.environ) -> int:
    """How many ranks the MPI launcher says it started; 1 without a launcher.

    In a Slurm batch script itself SLURM_NTASKS is set too, but no step was started: only srun's
    own SLURM_STEP_NUM_TASKS counts.
    """
    names = ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"]
    if "SLURM_PROCID" in environ:
        names.append("SLURM_STEP_NUM_TASKS")
        if "SLURM_STEP_ID" in environ:
            names.append("SLURM_NTASKS")
    for name in names:
        if environ.get(name, "").isdigit():
            return int(environ[name])
    return 1


def launcher_rank(environ: Mapping[str, str] = os.environ) -> int:
    """This process's rank as the launcher numbers it, without importing MPI; 0 without one."""
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK"):
        if environ.get(name, "").isdigit():
            return int(environ[name])
    if launcher_size(environ) > 1 and environ.get("SLURM_PROCID", "").isdigit():
        return int(environ["SLURM_PROCID"])
    return 0


def launched(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an MPI launcher (mpiexec, srun) started this process."""
    return launcher_size(environ) > 1 or any(
        name in environ for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
    )
