"""The league's data sets: files, sizes of models, what is tried, and what others have published.

Files lie in one folder, as their sources lay them out:

- ``NAME/NAME.{train,valid,test}.data``: the DEBD collection, https://github.com/arranger1044/DEBD,
  folder ``datasets`` (Van Haaren and Davis, AAAI 2012; Bekker et al., NIPS 2015; Larochelle and
  Murray, AISTATS 2011)
- ``8_blobs_dataset/...``, ``2d_random_lattice_dataset/...``: https://github.com/XanaduAI/scaling-gqml,
  folders ``paper/datasets/blobs`` and ``paper/datasets/ising`` (arXiv 2503.02934)
- ``mnist/t10k-images-idx3-ubyte.gz``: the 10,000 test digits of MNIST, http://yann.lecun.com/exdb/mnist
- ``digits`` comes with tnqbm
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Published:
    """A number of others: mean test log-likelihood (nats), or squared MMD where ``mmd``."""

    value: float
    model: str
    source: str
    mmd: bool = False


@dataclass(frozen=True)
class DataSet:
    """One data set of the league.

    unit : hidden qubits of the XYZ model; XZ has 3/2 and Z three times as many, so that all three
        have the same number of parameters. An even number.
    data : keys of ``[data]``; file names are relative to the folder of the data.
    training : keys of ``[training]`` that all trials share.
    trials : the search: keys in which each trial differs, one of them for each Pauli set to be
        chosen by the validation rows.
    scale : of the parameters at the start.
    quick : log Z of the final models by annealing forwards alone, for sets so large that nothing
        else ends in minutes.
    bandwidth : sigma of the squared MMD, for sets that others compare by it.
    """

    name: str
    title: str
    visible: int
    unit: int
    data: Settings
    training: Settings
    trials: tuple[Settings, ...]
    published: tuple[Published, ...] = ()
    bandwidth: float | None = None
    scale: float = 0.02
    quick: bool = False
    files: tuple[str, ...] = field(default=("train", "valid", "test"))

    @property
    def hidden(self) -> dict[str, int]:
        """Hidden units by Pauli set."""
        return {"Z": 3 * self.unit, "XZ": 3 * self.unit // 2, "XYZ": self.unit}

    def study_data(self, folder: Path) -> dict[str, Any]:
        """``[data]`` with the files of a folder; FileNotFoundError names what is not there."""
        found = dict(self.data)
        for key in self.files:
            if key in found:
                path = (folder / found[key]).resolve()
                if not path.is_file():
                    raise FileNotFoundError(
                        f"{path} is not there; scripts/league/sets.py says where to get it"
                    )
                found[key] = str(path)
        return found


SGD = {
    "gradient": "pcd",
    "optimizer": "sgd",
    "schedule": "cosine",
    "decay": 0.01,
    "batch_size": 100,
    "chains": 200,
    "steps": 1,
    "centred": True,
    "iterations": 20000,
    "precision": "single",
    "evaluations": 1,
}
"""Persistent chains and plain gradients: what all sets start from."""


PLAIN = {**SGD, "centred": False, "iterations": 40000}
"""The same without centring, with which chains lose modes of sharp data."""

TEMPERED = {**PLAIN, "gradient": "tempered", "chains": 100, "iterations": 10000}
"""Ladders of temperatures, for data whose modes plain chains lose even so."""

EXACT = {
    "gradient": "exact",
    "optimizer": "amsgrad",
    "schedule": "cosine",
    "decay": 0.02,
    "iterations": 6000,
    "precision": "single",
}
"""Exact gradients of all rows, for sets of few bits."""

AIS = {"evaluate": "ais", "ais_chains": 200, "ais_betas": 1000}
"""log Z of the last row, by which trials are compared, where enumeration is out of reach."""


def trials(rates: tuple[float, ...], decays: tuple[float, ...]) -> tuple[Settings, ...]:
    """All pairs of a learning rate and a weight decay."""
    return tuple({"learning_rate": r, "weight_decay": d} for r in rates for d in decays)


def debd(name: str) -> dict[str, str]:
    """Files of a set of the DEBD collection."""
    return {part: f"{name}/{name}.{part}.data" for part in ("train", "valid", "test")}


NADE = "Larochelle and Murray, AISTATS 2011"
SPN = "LearnSPN, Gens and Domingos, ICML 2013"
IQP = "arXiv 2503.02934, its repository's tables at this bandwidth"

SETS = (
    DataSet(
        "nltcs", "NLTCS", 16, 10, debd("nltcs"),
        EXACT, trials((0.1,), (0.0, 1e-4, 3e-4, 1e-3)),
        (Published(-6.11, "sum-product network", SPN),), scale=0.1,
    ),
    DataSet(
        "8_blobs", "8 blobs", 16, 8,
        {
            "train": "8_blobs_dataset/16_spins_8_blobs_train.csv",
            "test": "8_blobs_dataset/16_spins_8_blobs_test.csv",
            "valid_fraction": 0.1, "repeats": "anywhere",
        },
        EXACT, trials((0.1,), (1e-3, 2e-3, 3e-3, 5e-3)),
        (
            Published(0.00246, "IQP circuit", IQP, mmd=True),
            Published(0.0433, "RBM", IQP, mmd=True),
        ),
        bandwidth=1.53767, scale=0.1,
    ),
    DataSet(
        "ising", "Ising 4 x 4", 16, 8,
        {
            "train": "2d_random_lattice_dataset/ising_4_4_T_3_train.csv",
            "test": "2d_random_lattice_dataset/ising_4_4_T_3_test.csv",
            "valid_fraction": 0.1, "repeats": "anywhere",
        },
        EXACT, trials((0.1,), (1e-3, 3e-3, 1e-2, 3e-2)),
        (
            Published(0.000144, "IQP circuit", IQP, mmd=True),
            Published(0.00354, "RBM", IQP, mmd=True),
        ),
        bandwidth=1.64141, scale=0.1,
    ),
    DataSet(
        "digits", "digits 8 x 8", 64, 32,
        {"name": "digits", "test_fraction": 0.2, "valid_fraction": 0.1, "repeats": "together"},
        {**SGD, **AIS},
        trials((0.05, 0.1, 0.2), (1e-3, 3e-3, 1e-2)),
    ),
    DataSet(
        "plants", "Plants", 69, 40, debd("plants"), {**PLAIN, **AIS},
        trials((0.005, 0.01, 0.02), (1e-4, 1e-3)),
    ),
    DataSet(
        "accidents", "Accidents", 111, 40, debd("accidents"),
        {**TEMPERED, **AIS, "iterations": 20000},
        trials((0.05, 0.1), (1e-4, 1e-3)),
    ),
    DataSet(
        "mushrooms", "Mushrooms", 112, 40, debd("mushrooms"),
        {**TEMPERED, **AIS},
        trials((0.05, 0.1), (1e-4, 1e-3)),
        (
            Published(-15.15, "RBM, 23 hidden units", NADE),
            Published(-9.68, "NADE", NADE),
        ),
    ),
    DataSet(
        "dna", "DNA", 180, 66, debd("dna"),
        {**PLAIN, **AIS, "iterations": 10000},
        trials((0.02,), (1e-2, 3e-2, 6e-2, 1e-1)),
        (
            Published(-96.74, "RBM, 23 hidden units", NADE),
            Published(-84.8, "NADE", NADE),
        ),
    ),
    DataSet(
        "nips", "NIPS", 500, 20, debd("nips"), {**PLAIN, **AIS, "iterations": 2000},
        trials((0.01, 0.02), (0.2, 0.3, 0.5, 0.7)),
    ),
    DataSet(
        "mnist", "MNIST, 10,000 digits", 784, 166,
        {
            "train": "mnist/t10k-images-idx3-ubyte.gz", "binarise": "threshold:0.5",
            "maximum": 255, "flatten": True,
            "test_fraction": 0.2, "valid_fraction": 0.1, "repeats": "together",
        },
        {**PLAIN, **AIS, "iterations": 5000},
        trials((0.005, 0.01, 0.02), (1e-3,)),
        quick=True,
    ),
)  # fmt: skip
"""All sets, the small ones first."""
