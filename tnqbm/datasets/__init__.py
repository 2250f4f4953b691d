"""Target distributions: the paper's data sets, handwritten digits, the Ising model, own data."""

from tnqbm.datasets.samples_io import SUFFIXES, read_samples
from tnqbm.datasets.targets import (
    ISING_SAMPLES,
    NAMES,
    Target,
    check,
    is_name,
    load,
    load_split,
    samples,
    split,
    visible_fields,
)

__all__ = [
    "ISING_SAMPLES",
    "NAMES",
    "SUFFIXES",
    "Target",
    "check",
    "is_name",
    "load",
    "load_split",
    "read_samples",
    "samples",
    "split",
    "visible_fields",
]
