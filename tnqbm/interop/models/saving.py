"""SqRBMs of one Pauli matrix as arrays, and as files that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.text import short_repr
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.files.atomic import atomic_write
from tnqbm.files.outputs import Kind, check_output
from tnqbm.interop.models.named import MEANING, NAMES, ROWS
from tnqbm.interop.models.torch_files import torch_package
from tnqbm.interop.models.units import UNITS, from_sqrbm, to_sqrbm

Float = NDArray[np.float64]

CALLED = {"w": "W", "a": "v_bias", "b": "h_bias"}
"""Names of the arrays in the files that :func:`save_model` writes, unless others are asked for."""

FILES = Kind("a model for other programs", (".npz", ".pt", ".pth"), lambda path: False)


@short_repr
class ModelArrays(NamedTuple):
    """An RBM with the log weights a.x + b.y + x.W.y of bits or spins x, y.

    ``w`` is (n, m), or (m, n) if its rows are the hidden units, ``a`` (n,), ``b`` (m,). Its log
    weights, hidden units summed over, are ``log_weight`` of the sqRBM + ``constant`` for every v.
    """

    w: Float
    a: Float
    b: Float
    constant: float


@checked(model=MODEL, units=arguments.among(*UNITS), rows=arguments.among(*ROWS))
def to_arrays(model: SqRBM, *, units: str = "bits", rows: str = "visible") -> ModelArrays:
    """An sqRBM with the Pauli set "Z" as the arrays of an RBM of "bits" or of "spins".

    Spin +1 stands for bit 1. ``rows`` says whether the rows of W are "visible" or "hidden" units.
    Raises ValueError for another Pauli set.
    """
    if model.paulis != "Z":
        raise ValueError(
            f"only models with the Pauli set 'Z' are RBMs of bits or spins, and this one has "
            f"{model.paulis!r}; if one direction is all that its qubits need, "
            "tnqbm.model_tools.hidden_units.lower(model, 'Z') or `tnqbm model convert Z` rewrites "
            "it"
        )
    rbm = from_sqrbm(model, units)
    w = rbm.w if rows == "visible" else np.ascontiguousarray(rbm.w.T)
    return ModelArrays(w, rbm.a, rbm.b, to_sqrbm(rbm)[1])


@checked(
    model=MODEL,
    path=arguments.path,
    names=NAMES,
    units=arguments.among(*UNITS),
    rows=arguments.among(*ROWS),
)
def save_model(
    model: SqRBM,
    path: str | Path,
    *,
    units: str = "bits",
    rows: str = "visible",
    names: Mapping[str, str] | None = None,
) -> ModelArrays:
    """Write an sqRBM with the Pauli set "Z" to a new file for other programs; what is in it.

    ``.npz``: arrays W, v_bias and h_bias in double precision, the number ``constant`` of
    :class:`ModelArrays`, and the texts ``units`` and ``rows``. ``.pt`` and ``.pth``: a state dict
    of PyTorch with the three tensors. ``names`` has other names for w, a and b, such as
    ``{"w": "weight"}``; ``units`` and ``rows`` as for :func:`to_arrays`. A mask is not kept, only
    its zeros.

    Raises ValueError as :func:`to_arrays` and for another ending or equal names, FileExistsError if
    the file exists, MissingExtraError if there is no PyTorch to write a state dict.
    """
    if unknown := set(names or ()) - set(MEANING):
        raise ValueError(f"names has the keys w, a and b, got {sorted(unknown)[0]!r}")
    arrays = to_arrays(model, units=units, rows=rows)
    target = check_output(path, FILES)
    called = {**CALLED, **(names or {})}
    if len(set(called.values())) < len(called):
        raise ValueError(f"names of w, a and b must differ, got {', '.join(called.values())}")
    write = _write_npz if target.suffix.lower() == ".npz" else _write_torch
    values = {called[key]: getattr(arrays, key) for key in called}
    write(target, values, {"units": units, "rows": rows, "constant": arrays.constant})
    return arrays


def _write_npz(path: Path, arrays: dict[str, Float], facts: dict[str, str | float]) -> None:
    if clash := set(arrays) & set(facts):
        raise ValueError(f"an array in .npz cannot be called {clash.pop()}, which is a fact there")
    values: dict[str, Any] = {**arrays, **facts}
    with atomic_write(path, overwrite=False) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **values)


def _write_torch(path: Path, arrays: dict[str, Float], facts: dict[str, str | float]) -> None:
    torch = torch_package("writing PyTorch files")
    state = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    with atomic_write(path, overwrite=False) as temporary, temporary.open("wb") as handle:
        torch.save(state, handle)
