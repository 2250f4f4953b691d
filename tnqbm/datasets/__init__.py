"""Target distributions: the paper's data sets, handwritten digits, the Ising model, own data.

Own data start in :mod:`~tnqbm.datasets.data`: a reader of :mod:`tnqbm.datasets.readers` gives the
numbers of a file, and :mod:`~tnqbm.datasets.bits` makes bits of them as a
:class:`~tnqbm.datasets.preparation.Preparation` says.
"""

from tnqbm.datasets.data import Data, read_data
from tnqbm.datasets.inspection import Inspection, SharedRows, inspect_data, shared_rows
from tnqbm.datasets.parts import Parts, load_parts, load_split, natural_repeats, rows_of
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.samples_io import SUFFIXES, read_samples
from tnqbm.datasets.splits import REPEATS, split
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
    "Data",
    "Inspection",
    "Parts",
    "Preparation",
    "SharedRows",
    "Target",
    "check",
    "inspect_data",
    "is_exact",
    "is_name",
    "is_random",
    "load",
    "load_parts",
    "load_split",
    "natural_repeats",
    "read_data",
    "read_samples",
    "rows_of",
    "samples",
    "shared_rows",
    "split",
    "visible_fields",
]
