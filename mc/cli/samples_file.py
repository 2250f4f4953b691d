"""What ``tnqbm sample`` writes beside samples, and the clamped units that it reads."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from mc.cli.common import plain
from mc.running.provenance import now, version
from mc.sampling.samples_file import write_samples
from tnqbm import __version__
from tnqbm.base.commit import commit
from tnqbm.files.kinds import check_regular


def attribute(value: Any) -> str | int | float:
    """A value as an attribute can hold it: other types as JSON."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return json.dumps(plain(value), sort_keys=True)
    return value


def write_with_facts(
    out: str,
    states: NDArray[np.uint8],
    log_weights: NDArray[np.float64] | None,
    result: dict[str, Any],
    overwrite: bool,
) -> None:
    """Write samples as :func:`write_samples` does, with a result and what it was made with."""
    facts = {
        **{key: value for key, value in result.items() if value is not None and value != ""},
        "tnqbm": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "numba", "h5py")},
        "commit": commit(),
        "written": now(),
    }
    facts = {key: attribute(value) for key, value in facts.items() if value != ""}
    write_samples(out, states, facts, log_weights=log_weights, overwrite=overwrite)


def parse_clamp(text: str) -> dict[int, int]:
    """Units held fixed, as ``0=1,5=0`` names them; click.UsageError if the text is another."""
    clamp: dict[int, int] = {}
    for piece in text.split(","):
        unit, equals, value = (part.strip() for part in piece.partition("="))
        if not (equals and unit.isdecimal() and value in ("0", "1")):
            raise click.UsageError(
                f"--clamp: {piece.strip()!r} is not of the form unit=bit, for example 0=1,5=0"
            )
        if int(unit) in clamp:
            raise click.UsageError(f"--clamp names unit {int(unit)} twice")
        clamp[int(unit)] = int(value)
    return clamp


def read_clamp(path: str) -> NDArray[np.float64]:
    """A row (n,) of 0, 1 and -1 for free units, from a .csv or .npy file; ValueError if not."""
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"no clamp file {path}")
    check_regular(source)
    try:
        if source.suffix.lower() == ".npy":
            return np.ravel(np.load(source, allow_pickle=False))
        return np.ravel(np.loadtxt(source, delimiter=",", ndmin=1, dtype=np.float64))
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: expected one row of 0, 1 and -1: {error}") from None
