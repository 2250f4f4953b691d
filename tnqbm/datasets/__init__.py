"""Target distributions: the paper's data sets, handwritten digits, the Ising model, own data."""

from tnqbm.datasets.samples_io import SUFFIXES, read_samples
from tnqbm.datasets.splits import REPEATS, load_split, natural_repeats, split
from tnqbm.datasets.targets import (
    ISING_SAMPLES,
    NAMES,
    Target,
    check,
    is_exact,
    is_name,
    is_random,
    load,
    samples,
    visible_fields,
)

__all__ = [
    "ISING_SAMPLES",
    "NAMES",
    "REPEATS",
    "SUFFIXES",
    "Target",
    "check",
    "is_exact",
    "is_name",
    "is_random",
    "load",
    "load_split",
    "natural_repeats",
    "read_samples",
    "samples",
    "split",
    "visible_fields",
]
