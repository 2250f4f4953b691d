"""Models of other programs, in files and in memory, as sqRBMs with the Pauli set "Z"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.text import short_repr
from tnqbm.core.model import SqRBM
from tnqbm.files.kinds import check_regular
from tnqbm.interop.models import hdf5_files, matlab_files, torch_files
from tnqbm.interop.models.named import NAMES, ROWS
from tnqbm.interop.models.source import Choices, Source, by_name
from tnqbm.interop.models.units import UNITS, to_sqrbm


@short_repr
@dataclass(frozen=True)
class ImportedModel:
    """A model of another program, as an sqRBM.

    ``model`` has the Pauli set "Z". For every v the logarithm of the source's unnormalised
    probability is ``model.log_weight(v) + constant``, and so is its log Z the model's + constant.
    ``format`` says what was read: "sklearn", "torch", "arrays", "npz", "matlab", "rbms", "julia",
    "jld2" or "hdf5"; ``units`` what its visible units were, "bits" or "spins"; ``names`` under
    which name w, a and b stood there; ``update`` which update of a checkpoint of rbms it is.
    """

    model: SqRBM
    constant: float
    format: str
    units: str
    names: dict[str, str]
    update: int | None = None


@checked(
    units=arguments.among(*UNITS),
    rows=arguments.among(*ROWS),
    names=NAMES,
    update=arguments.at_least(0),
)
def load_model(
    source: Any,
    *,
    units: str | None = None,
    rows: str | None = None,
    names: Mapping[str, str] | None = None,
    update: int | None = None,
) -> ImportedModel:
    """An RBM of another program as an sqRBM with the Pauli set "Z".

    ``source`` is one of

    - a fitted ``sklearn.neural_network.BernoulliRBM``;
    - arrays (W, a, b): weights (n, m), visible biases (n,), hidden biases (m,);
    - a PyTorch module or state dict, or any mapping from names to tensors or arrays;
    - the path of a file: ``.pt`` or ``.pth`` of PyTorch with a state dict, ``.npz`` with three
      arrays, ``.mat`` of MATLAB (vishid, visbiases, hidbiases), ``.jld2`` of Julia with three
      arrays, or ``.h5`` and ``.hdf5``: a checkpoint of the package rbms, a file of
      RestrictedBoltzmannMachinesHDF5.jl, or three arrays.

    The log weight of a source is a.x + b.y + x.W.y, where ``units`` are "bits" x, y in {0, 1} (the
    default), or "spins" in {-1, +1}, +1 where the bit is 1. Which array is which follows from
    names and shapes where they leave one reading. Where they do not, ``names`` has the names of
    ``w``, ``a`` and ``b``, and ``rows`` says whether the rows of W are "visible" or "hidden" units
    (PyTorch modules have both). ``update`` picks a checkpoint of rbms; by default the last one.

    Raises TypeError for a source of another kind, ValueError for one that is not an RBM of
    two-valued units or that leaves a doubt, with what there is in it, ArchiveError for a damaged
    HDF5 file, FileNotFoundError, and MissingExtraError without PyTorch for its files. No file is
    unpickled.
    """
    choices = Choices(names=names, rows=rows, units=units, update=update)
    read = _source(source, choices)
    model, constant = to_sqrbm(read.parameters)
    visible = read.parameters.visible
    return ImportedModel(model, constant, read.format, visible, read.names, read.update)


def _source(source: Any, choices: Choices) -> Source:
    if wrong := arguments.path(source):
        return _object(source, choices, wrong)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    check_regular(path)
    ending = path.suffix.lower()
    if ending in _PICKLES:
        raise ValueError(
            f"{path} is a pickle, which is not loaded because it can run any code; load it "
            "yourself if you trust it, and give the object to tnqbm.interop.load_model"
        )
    if ending not in READERS:
        known = ", ".join(READERS)
        raise ValueError(f"{path}: models are read from files that end in {known}")
    return READERS[ending](path, choices)


def _object(source: Any, choices: Choices, wrong: Exception) -> Source:
    if any(cls.__name__ == "BernoulliRBM" for cls in type(source).__mro__):
        return _sklearn(source, choices)
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    if isinstance(source, Mapping):
        return torch_files.from_mapping(source, "the mapping", choices)
    if isinstance(source, tuple | list) and len(source) == 3:
        choices.refuse("names", "arrays (W, a, b)")
        choices.refuse("update", "arrays (W, a, b)")
        arrays = {
            name: torch_files.as_array(value, name)
            for name, value in zip("Wab", source, strict=True)
        }
        return by_name("arrays", "arrays (W, a, b)", arrays, choices.with_rows("visible"))
    raise TypeError(
        f"source {wrong}; or a fitted BernoulliRBM, a PyTorch module or state dict, a mapping to "
        "arrays, or arrays (W, a, b)"
    )


def _sklearn(source: Any, choices: Choices) -> Source:
    for name in ("names", "rows", "units", "update"):
        choices.refuse(name, "the BernoulliRBM")
    names = {"w": "components_", "a": "intercept_visible_", "b": "intercept_hidden_"}
    arrays = {name: np.asarray(getattr(source, name, None)) for name in names.values()}
    if any(array.dtype == object for array in arrays.values()):
        raise ValueError("the BernoulliRBM is not fitted yet, so it has no parameters")
    return by_name("sklearn", "the BernoulliRBM", arrays, Choices(names=names, rows="hidden"))


# --- files of NumPy -------------------------------------------------------------------------------


def _read_npz(path: Path, choices: Choices) -> Source:
    choices.refuse("update", path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except MemoryError:
        raise
    except Exception as error:  # NumPy raises nearly any type for a damaged file
        raise ValueError(f"{path} cannot be read as arrays of NumPy: {error}") from None
    said = {key: str(arrays.pop(key)) for key in ("units", "rows") if key in arrays}
    units = choices.units or said.get("units")
    rows = choices.rows or said.get("rows")
    known = Choices(names=choices.names, rows=rows, units=units)
    return by_name("npz", str(path), arrays, known, alone=True)


READERS: dict[str, Callable[[Path, Choices], Source]] = {
    ".pt": torch_files.read,
    ".pth": torch_files.read,
    ".npz": _read_npz,
    ".mat": matlab_files.read,
    ".h5": hdf5_files.read,
    ".hdf5": hdf5_files.read,
    ".jld2": lambda path, choices: hdf5_files.read_by_columns(path, choices, "jld2"),
}
"""By the ending of a file's name, what reads it."""

_PICKLES = (".pkl", ".pickle", ".joblib")
