"""RBMs in PyTorch: modules, state dicts and files of them, which never run code here."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import MissingExtraError
from tnqbm.interop.models.source import Choices, Source, by_name

_INSIDE = ("state_dict", "model_state_dict", "model", "rbm", "params")
"""Where checkpoints of trainings have the state dict of the model."""

_SAFE = (2, 6)
"""The first version whose weights_only holds what it promises (CVE-2025-32434)."""


def torch_package(purpose: str) -> Any:
    """The module torch; MissingExtraError if it is absent."""
    try:
        return import_module("torch")
    except ImportError:
        raise MissingExtraError("torch", "torch", purpose) from None


def read(path: Path, choices: Choices) -> Source:
    """The RBM in a file of ``torch.save``: a state dict, or a checkpoint that holds one.

    Objects are not loaded (``weights_only=True``). Raises MissingExtraError without PyTorch,
    ValueError for a file with other objects than tensors in containers, for a damaged one, and as
    :func:`from_mapping`.
    """
    torch = torch_package("reading PyTorch files")
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < _SAFE:
        raise ValueError(
            f"PyTorch {torch.__version__} can be made to run code by a file, even where only "
            f"weights are read; update it to {_SAFE[0]}.{_SAFE[1]} or later"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} holds Python objects, which are not loaded because they can run any code; "
            "save the tensors alone: torch.save(module.state_dict(), PATH)"
        ) from None
    except Exception as error:  # torch raises nearly any type for a damaged file
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as a PyTorch file: {line}") from None
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    return from_mapping(loaded, str(path), choices)


def from_mapping(values: Mapping[str, Any], where: str, choices: Choices) -> Source:
    """The RBM in a mapping from names to tensors or arrays, or in a checkpoint that holds one.

    Raises ValueError as :func:`tnqbm.interop.models.named.find`, and for a mapping without arrays.
    """
    choices.refuse("update", where)
    state, prefix = values, ""
    if not any(_is_array(value) for value in values.values()):
        inside = [key for key in _INSIDE if isinstance(values.get(key), Mapping)]
        if not inside:
            keys = ", ".join(map(str, list(values)[:20])) or "nothing"
            raise ValueError(f"{where}: there are no tensors in it; it holds {keys}")
        prefix = f"{inside[0]}."
        state = values[inside[0]]
    arrays = {
        f"{prefix}{key}": as_array(value, f"{where}: {key}")
        for key, value in state.items()
        if _is_array(value)
    }
    tensors = any(hasattr(value, "detach") for value in state.values())
    return by_name("torch" if tensors else "arrays", where, arrays, choices, alone=True)


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def as_array(value: Any, where: str) -> NDArray[Any]:
    """A tensor, on whatever device, or an array as a NumPy array; ValueError for complex ones."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    if value.is_complex():
        raise ValueError(f"{where} must hold real numbers, got {value.dtype}")
    try:
        # Half precision that NumPy does not know becomes double, which holds every value of it.
        return np.asarray(value.detach().cpu().double().numpy())
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{where} must be a dense tensor, got layout {value.layout}: {error}"
        ) from None
