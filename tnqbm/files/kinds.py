"""What a path or an HDF5 file is: looked at before it is opened, and in messages about a wrong one.

Opening a pipe waits for ever, and a device may do anything.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ARCHIVE = (
    "an archive of runs (`tnqbm show` lists them; `tnqbm evaluate`, `sample`, `logz` and `quality` "
    "take one of them by --run KEY=VALUE)"
)
_USES = {
    ("tnqbm-archive", "archive"): _ARCHIVE,
    ("tnqbm-archive", "part"): "finished runs of a study under way (give its archive, OUT.h5)",
    ("tnqbm-archive", "plan"): "the plan of a study under way (give its archive, OUT.h5)",
    ("tnqbm-samples", "samples"): (
        "samples of a model (`tnqbm quality MODEL.h5 --samples FILE` judges them; as data they are "
        "given by --data FILE, or in a study file by their path)"
    ),
    ("tnqbm-tree", "model"): (
        "a saved model (`tnqbm evaluate`, `sample`, `logz`, `quality`, `structure` and `model` "
        "take it; in Python, tnqbm.SqRBM.load)"
    ),
    ("tnqbm-tree", "network"): (
        "an amplitude network (in Python, tnqbm.networks.AmplitudeMPS.load)"
    ),
    ("tnqbm-tree", "training"): "a training that can go on (in Python, tnqbm.Trainer.resume)",
    ("tnqbm-tree", "checkpoint"): "a checkpoint of a study under way (give its archive, OUT.h5)",
}

_ENDINGS = {
    ".toml": " (a study file? `tnqbm run` takes those)",
    ".csv": " (rows of data? they are given by --data FILE, or in a study file by their path)",
    ".npy": " (rows of data? they are given by --data FILE, or in a study file by their path)",
    **dict.fromkeys(
        (".pt", ".pth", ".npz", ".mat", ".jld2"),
        " (a model of another program? `tnqbm model import` makes a model of it)",
    ),
}


def hint(path: Path) -> str:
    """What a file that is not HDF5 may be, in brackets; "" if its ending does not say."""
    return _ENDINGS.get(path.suffix.lower(), "")


def described(attributes: Mapping[str, Any], names: list[str]) -> str:
    """What a file is, from its root's attributes and the names in it, and what takes it."""
    name = attributes.get("format")
    if name is None:
        inside = ", ".join(sorted(map(repr, names))[:4]) + (", ..." if len(names) > 4 else "")
        return (
            f"an HDF5 file of another program, with {inside or 'nothing in it'} (rows of 0 and 1 "
            "are data: --data FILE, or in a study file their path; a model of another program "
            "becomes one of this by `tnqbm model import`)"
        )
    kind = str(attributes.get("kind", ""))
    if (str(name), kind) in _USES:
        return _USES[str(name), kind]
    return f"{kind!r} of the format {name!r}"


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(path: str | Path) -> str:
    """What a path is, such as "a pipe", if it is no ordinary file; "" if it is one.

    Raises FileNotFoundError if there is nothing, and OSError as :func:`os.stat` does. Symbolic
    links are followed.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    if stat.S_ISREG(mode):
        return ""
    return next((kind for test, kind in _KINDS if test(mode)), "not an ordinary file")


def check_regular(path: str | Path) -> None:
    """Raise ValueError unless the path is an ordinary file; FileNotFoundError if it is nothing."""
    if kind := irregular(path):
        raise ValueError(
            f"{path} is {kind}; only ordinary files are read: save its content to one first"
        )
