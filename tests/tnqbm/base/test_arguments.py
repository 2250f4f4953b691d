"""Wrong arguments of public functions: one line that names the argument, what it is, and the cure.

The tables walk all of ``tnqbm.__all__`` and ``mc.__all__`` that is called with data, models, sizes
or seeds; the values are mistakes that people make.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import mc
import tnqbm
from tnqbm.base import arguments
from tnqbm.training import HamiltonianProblem, SqRBMProblem

ROWS = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]], dtype=np.uint8)
MASKED = np.ma.array(ROWS, mask=ROWS * 0)
MASKED[1, 2] = np.ma.masked
MODEL = tnqbm.SqRBM.uniform(4, 2, "XZ", scale=0.3, seed=1)
TARGET = tnqbm.Target.from_samples(ROWS)
HAMILTONIAN = tnqbm.PauliHamiltonian({"ZZII": 1.0}, 4)

MISTAKES: dict[str, Any] = {
    "None": None,
    "text": "8",
    "name": "Digits",
    "fraction": 8.5,
    "nan": np.nan,
    "huge": 10**30,
    "masked": MASKED,
    "sparse": scipy.sparse.csr_array(ROWS),
    "ragged": [[0, 1], [1]],
    "texts": np.array(["a", "b"]),
    "array": np.full((2, 3), 0.5),
    "object": object(),
    "mapping": {},
    "model": MODEL,
    "pair": (1.0, 0.1),
}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "SqRBM": (
        tnqbm.SqRBM,
        {"a": np.zeros(4), "b": np.zeros((1, 2)), "w": np.zeros((1, 4, 2)), "paulis": "Z",
         "mask": np.ones((4, 2), bool)},
    ),
    "SqRBM.uniform": (
        tnqbm.SqRBM.uniform, {"n": 4, "m": 2, "paulis": "Z", "scale": 0.3, "seed": 1, "mask": None}
    ),
    "SqRBM.from_vector": (
        tnqbm.SqRBM.from_vector, {"theta": np.zeros(14), "n": 4, "m": 2, "paulis": "Z"}
    ),
    "DeepSqRBM": (tnqbm.DeepSqRBM, {"joint": MODEL, "n_deep": 1}),
    "DeepSqRBM.uniform": (
        tnqbm.DeepSqRBM.uniform,
        {"n": 4, "m": 2, "n_deep": 1, "paulis": "Z", "scale": 0.3, "seed": 1, "mask": None},
    ),
    "SqRBM.log_weight": (MODEL.log_weight, {"v": ROWS}),
    "SqRBM.fields": (MODEL.fields, {"v": ROWS}),
    "Target": (tnqbm.Target, {"states": ROWS[:2], "probabilities": [0.5, 0.5]}),
    "Target.from_samples": (tnqbm.Target.from_samples, {"v": ROWS}),
    "Target.uniform": (tnqbm.Target.uniform, {"states": ROWS[:2]}),
    "Target.from_dense": (tnqbm.Target.from_dense, {"q": np.full(8, 1 / 8)}),
    "datasets.load": (tnqbm.datasets.load, {"name": "bas", "n": 4, "seed": 0}),
    "datasets.samples": (tnqbm.datasets.samples, {"name": "digits", "n": 64, "seed": 0}),
    "datasets.split": (tnqbm.datasets.split, {"rows": ROWS, "test_fraction": 0.5, "seed": 0}),
    "datasets.load_split": (
        tnqbm.datasets.load_split, {"name": "digits", "n": 64, "test_fraction": 0.5, "seed": 0}
    ),
    "datasets.visible_fields": (tnqbm.datasets.visible_fields, {"target": TARGET, "floor": 0.1}),
    "train": (
        tnqbm.train,
        {"model": MODEL, "target": TARGET, "iterations": 1, "seed": 0, "test": TARGET,
         "learning_rate": 0.1, "optimizer": "sgd", "records": 2, "gradient": "exact",
         "frozen": np.zeros(24, bool), "callback": None},
    ),
    "gradient_bias": (
        tnqbm.gradient_bias,
        {"model": MODEL, "target": TARGET, "gradient": "cd", "bias_reference": "exact",
         "updates": 1, "seed": 0},
    ),
    "gradient_biases": (
        tnqbm.gradient_biases,
        {"models": [MODEL], "target": TARGET, "gradient": "cd", "bias_reference": "exact",
         "updates": 1, "seed": 0},
    ),
    "Trainer": (
        tnqbm.Trainer,
        {"problem": SqRBMProblem([MODEL], [TARGET]),
         "settings": tnqbm.TrainingSettings(iterations=1), "keys": np.array([1], np.uint64)},
    ),
    "SqRBMProblem": (
        SqRBMProblem,
        {"models": [MODEL], "targets": [TARGET], "tests": [TARGET], "valids": [TARGET],
         "frozen": np.zeros(24, bool)},
    ),
    "HamiltonianProblem": (
        HamiltonianProblem,
        {"hamiltonians": [HAMILTONIAN], "targets": [TARGET], "tests": [TARGET],
         "valids": [TARGET]},
    ),
    "TrainingSettings": (
        tnqbm.TrainingSettings, {"gradient": "pcd", "chains": 100, "learning_rate": 0.1}
    ),
    "equivalent": (
        tnqbm.equivalent, {"first": MODEL, "second": MODEL, "tolerance": 1e-9, "samples": ROWS}
    ),
    "PauliHamiltonian": (tnqbm.PauliHamiltonian, {"terms": {"ZZ": 1.0}, "n_visible": 2}),
    "exact.log_partition": (tnqbm.exact.log_partition, {"model": MODEL, "method": "auto"}),
    "exact.gradient": (tnqbm.exact.gradient, {"model": MODEL, "target": TARGET}),
    "exact.moments": (tnqbm.exact.moments, {"model": MODEL}),
    "exact.probabilities": (tnqbm.exact.probabilities, {"model": MODEL}),
    "metrics.kl_divergence": (
        tnqbm.core.metrics.kl_divergence, {"q": [0.5, 0.5], "p": [0.5, 0.5]}
    ),
    "mc.sample": (
        mc.sample,
        {"model": MODEL, "samples": 2,
         "method": mc.Chains(chains=4, kernel="collapsed", burn_in=2, thin=1), "data": ROWS,
         "seed": 0},
    ),
    "mc.Chains": (mc.Chains, {"chains": 4, "kernel": "collapsed", "burn_in": 2, "thin": 1}),
    "mc.Tempered": (mc.Tempered, {"chains": 2, "burn_in": 2, "thin": 1, "max_temperatures": 4}),
    "mc.Perfect": (mc.Perfect, {"max_bond": 4, "feed": "chains", "resample": True}),
    "mc.Annealing": (
        mc.Annealing, {"chains": 4, "betas": 4, "steps": 1, "states": None, "resamples": 10}
    ),
    "mc.Network": (mc.Network, {"samples": 10, "max_bond": 4, "states": None, "resamples": 10}),
    "mc.Exact": (mc.Exact, {"method": "contraction"}),
    "mc.Auto": (mc.Auto, {"annealing": mc.Annealing(), "network": mc.Network()}),
    "mc.All": (mc.All, {"annealing": mc.Annealing(), "network": mc.Network()}),
    "mc.fit_amplitude": (
        mc.fit_amplitude, {"model": MODEL, "max_bond": 4, "states": ROWS, "data": None, "seed": 0}
    ),
    "mc.log_partition": (
        mc.log_partition,
        {"model": MODEL, "method": mc.Annealing(chains=4, betas=4), "seed": 0, "data": ROWS},
    ),
    "mc.log_partitions": (
        mc.log_partitions, {"models": [MODEL, MODEL], "method": None, "seed": 0, "data": ROWS}
    ),
    "mc.Certified": (mc.Certified, {"width": 0.1, "rounds": 1, "network": mc.Network()}),
    "mc.log_likelihood": (mc.log_likelihood, {"model": MODEL, "rows": ROWS, "log_z": (1, 0.1)}),
    "mc.log_likelihoods": (mc.log_likelihoods, {"model": MODEL, "rows": ROWS, "log_z": (1, 0)}),
    "mc.compare_likelihoods": (
        mc.compare_likelihoods,
        {"first": MODEL, "second": MODEL, "rows": ROWS, "first_log_z": (1.0, 0.1),
         "second_log_z": (1.0, 0.1)},
    ),
    "mc.total_variation_on_support": (
        mc.total_variation_on_support, {"model": MODEL, "target": TARGET, "log_z": (1.0, 0.1)}
    ),
    "mc.load_study": (mc.load_study, {"source": "no-such-study.toml"}),
}  # fmt: skip

FINE = {
    ("DeepSqRBM", "joint"): {"model"},
    ("DeepSqRBM.uniform", "mask"): {"None"},
    ("DeepSqRBM.uniform", "scale"): {"fraction", "huge"},
    ("SqRBM", "mask"): {"None"},
    ("SqRBM.uniform", "mask"): {"None"},
    ("SqRBM.uniform", "scale"): {"fraction", "huge"},
    ("Trainer", "keys"): {"None"},
    ("SqRBMProblem", "tests"): {"None"},
    ("SqRBMProblem", "valids"): {"None"},
    ("SqRBMProblem", "frozen"): {"None"},
    ("HamiltonianProblem", "tests"): {"None"},
    ("HamiltonianProblem", "valids"): {"None"},
    ("TrainingSettings", "learning_rate"): {"fraction"},
    ("equivalent", "samples"): {"None", "array", "pair"},
    ("equivalent", "tolerance"): {"fraction", "huge"},
    ("equivalent", "first"): {"model"},
    ("equivalent", "second"): {"model"},
    ("train", "learning_rate"): {"fraction", "None"},
    ("train", "gradient"): {"None"},
    ("train", "optimizer"): {"None"},
    ("train", "iterations"): {"None"},
    ("train", "test"): {"None"},
    ("train", "records"): {"None"},
    ("train", "frozen"): {"None"},
    ("train", "callback"): {"None"},
    ("mc.sample", "data"): {"None", "array", "pair"},
    ("mc.Chains", "burn_in"): {"None"},
    ("mc.Chains", "thin"): {"None"},
    ("mc.Tempered", "burn_in"): {"None"},
    ("mc.Tempered", "thin"): {"None"},
    ("mc.Annealing", "betas"): {"array", "pair"},
    ("mc.Annealing", "states"): {"None", "array", "pair"},
    ("mc.Network", "states"): {"None", "array", "pair"},
    ("mc.fit_amplitude", "states"): {"None"},
    ("mc.fit_amplitude", "data"): {"None", "array", "pair"},
    ("mc.log_partition", "data"): {"None"},
    ("mc.log_partition", "seed"): {"None"},
    ("mc.log_partitions", "data"): {"None"},
    ("mc.log_partitions", "method"): {"None"},
    ("mc.Certified", "width"): {"fraction", "huge"},
    ("mc.log_likelihood", "log_z"): {"pair"},
    ("mc.log_likelihoods", "log_z"): {"pair"},
    ("mc.compare_likelihoods", "first"): {"model"},
    ("mc.compare_likelihoods", "second"): {"model"},
    ("mc.compare_likelihoods", "first_log_z"): {"pair"},
    ("mc.compare_likelihoods", "second_log_z"): {"pair"},
    ("mc.total_variation_on_support", "log_z"): {"pair"},
}
"""Mistakes that are none: where None is the default, or numbers are asked for, or arrays of another
method."""


def is_mistake(name: str, argument: str, what: str) -> bool:
    good = {*FINE.get((name, argument), ()), {"seed": "huge", "model": "model"}.get(argument)}
    return what not in good


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in CALLS for argument in CALLS[name][1]]
)
def test_wrong_arguments_are_named_before_any_work(name: str, argument: str) -> None:
    call, given = CALLS[name]
    for what, value in MISTAKES.items():
        if not is_mistake(name, argument, what):
            continue
        with pytest.raises((TypeError, ValueError)) as caught:
            call(**{**given, argument: value})
        where = Path(traceback.extract_tb(caught.value.__traceback__)[-1].filename)
        assert {"tnqbm", "mc"} & set(where.parts[-4:-1]), f"{what}: raised by {where}"
        message = str(caught.value)
        for inside in ("supported between", "has no attribute", "ufunc", "truth value", "operand"):
            assert inside not in message, what
        assert len(message) < 1000, what


def test_warnings_point_at_the_call() -> None:
    policy = mc.Chains(chains=2, kernel="collapsed", burn_in=1, thin=1)
    with pytest.warns(mc.MixingWarning) as caught:
        mc.sample(MODEL, 1, policy, seed=1)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("call", "given", "words"),
    [
        ("train", {"target": ROWS}, ["target must be a Target", "(4, 4)", "Target.from_samples"]),
        ("train", {"test": ROWS}, ["test must be a Target", "Target.from_samples"]),
        ("train", {"lr": 0.1}, ["no setting 'lr'", "did you mean 'learning_rate'"]),
        ("train", {"epochs": 3}, ["no setting 'epochs'", "did you mean 'iterations'"]),
        ("train", {"learning_rat": 3}, ["did you mean 'learning_rate'"]),
        ("TrainingSettings", {"lr": 0.1}, ["no setting 'lr'", "did you mean 'learning_rate'"]),
        ("train", {"model": ROWS}, ["SqRBM or DeepSqRBM or SqBM or PauliHamiltonian", "(4, 4)"]),
        ("Trainer", {"problem": [MODEL]}, ["problem must be a problem", "SqRBMProblem(models, "]),
        ("SqRBMProblem", {"targets": [TARGET, ROWS]}, ["targets entry 1 must be a Target"]),
        ("HamiltonianProblem", {"hamiltonians": [MODEL]}, ["entry 0 must be a PauliHamiltonian"]),
        ("TrainingSettings", {"chains": 0}, ["chains: must be an integer >= 1, got 0"]),
        ("TrainingSettings", {"gradient": "exact"}, ["chains: gradient 'exact' has no such"]),
        ("mc.log_likelihood", {"log_z": 12.5}, ["log_z must be", "give (12.5, 0.0)"]),
        ("mc.total_variation_on_support", {"target": ROWS}, ["target must be a Target"]),
        ("exact.gradient", {"target": ROWS}, ["target must be a Target"]),
        ("SqRBM.uniform", {"n": "8"}, ["n must be a whole number, got '8'", "8 without quotes"]),
        ("SqRBM.uniform", {"n": 8.0}, ["n must be a whole number, got 8.0; write 8"]),
        ("SqRBM.uniform", {"n": 0}, ["n = 0"]),
        ("datasets.load", {"n": "8"}, ["n must be a whole number, got '8'", "8 without quotes"]),
        ("datasets.load", {"name": "Digits"}, ["unknown data set 'Digits'", "mean 'digits'?"]),
        ("datasets.load", {"name": "parity", "n": 10**6}, ["more than 2**22"]),
        ("mc.sample", {"samples": "8"}, ["samples must be a whole number"]),
        ("mc.sample", {"method": "gibbs"}, ["'gibbs' is not one of chains, tempered, snapshots"]),
        ("mc.sample", {"method": mc.Network()}, ["or an object Chains, Tempered, Snapshots"]),
        ("mc.Chains", {"chains": "8"}, ["chains must be a whole number"]),
        ("mc.sample", {"data": "mine.csv"}, ["data must be rows of 0 and 1", "'mine.csv'"]),
        ("mc.sample", {"data": MASKED}, ["data must have no masked", "(1, 2)", "filled"]),
        ("Target.from_samples", {"v": MASKED}, ["must have no masked entries", "(1, 2)"]),
        ("SqRBM.log_weight", {"v": MASKED}, ["must have no masked entries", "(1, 2)"]),
        ("Target.from_samples", {"v": MISTAKES["sparse"]}, ["dense array", ".toarray()"]),
        ("Target.from_samples", {"v": [[0, 1], [1]]}, ["rows of one length"]),
    ],
)  # fmt: skip
def test_messages_say_what_to_do(call: str, given: Mapping[str, Any], words: list[str]) -> None:
    function, usual = CALLS[call]
    with pytest.raises((TypeError, ValueError)) as caught:
        function(**{**usual, **given})
    for word in words:
        assert word in str(caught.value)


def test_masked_arrays_without_masked_entries_are_arrays() -> None:
    plain = np.ma.array(ROWS)
    assert np.array_equal(tnqbm.Target.from_samples(plain).states, TARGET.states)
    assert np.array_equal(MODEL.log_weight(plain), MODEL.log_weight(ROWS))


def test_checked_functions_keep_their_signature_and_python_its_own_messages() -> None:
    @arguments.checked(n=arguments.whole)
    def half(n: int, *, twice: bool = False) -> float:
        return n / 2

    assert list(inspect.signature(half).parameters) == ["n", "twice"]
    assert half(3) == 1.5
    with pytest.raises(TypeError, match=r"half\(\) missing 1 required positional argument: 'n'"):
        half()  # type: ignore[call-arg]


def test_every_public_function_is_in_the_table_or_takes_nothing_of_the_kind() -> None:
    others = {
        "Archive", "run_study", "Sweeper", "Tempering", "IndependenceMoves", "independence_step",
        "Study",
    }  # fmt: skip
    for package in (tnqbm, mc):
        prefix = "" if package is tnqbm else "mc."
        for name in package.__all__:
            public = getattr(package, name)
            if not callable(public) or name in others:
                continue
            result = inspect.isclass(public) and (
                issubclass(public, BaseException) or not hasattr(public, "__wrapped__")
            )
            assert f"{prefix}{name}" in CALLS or result, name
