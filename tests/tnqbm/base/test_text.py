"""Results are shown in a few lines, however many numbers they hold."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mc
import tnqbm
from tnqbm.base.text import brief
from tnqbm.core.moments import Moments

MODEL = tnqbm.SqRBM.uniform(40, 20, "XZ", scale=0.3, seed=1)
LONG = np.linspace(0.0, 1.0, 2001)
ESTIMATE = mc.Estimate(1.0, 0.1, 9.0, LONG, "ais", 2001, 10, 1.0, False, ["w" * 500] * 20)


@pytest.mark.parametrize(
    "value",
    [
        tnqbm.Trajectory(
            np.arange(2001), kl=LONG, tvd=LONG, nll=LONG, model=MODEL,
            snapshots=[(k, MODEL) for k in range(50)],
            estimator_records={"shots": LONG},
        ),
        tnqbm.Target.uniform(np.eye(60, dtype=np.uint8)),
        Moments(np.zeros(40), np.zeros((2, 20)), np.zeros((2, 40, 20))),
        ESTIMATE,
        dataclasses.replace(ESTIMATE, parts=(ESTIMATE,) * 3),
        Moments(LONG, LONG, LONG),
        mc.load_study(
            {"name": "many", "seeds": 10000, "model": {"paulis": "Z", "visible": 4, "hidden": 2},
             "data": {"name": "bas"}}
        ),
    ],
    ids=["trajectory", "target", "moments", "estimate", "estimates", "vectors", "study"],
)  # fmt: skip
def test_large_results_have_short_reprs(value: Any) -> None:
    assert len(repr(value)) < 1500
    assert repr(value).startswith(type(value).__name__)


def test_a_trajectory_shows_where_it_ended() -> None:
    path = tnqbm.Trajectory(np.array([0, 10]), kl=np.array([1.0, 0.25]), model=MODEL)
    text = repr(path)
    assert "2 rows up to step 10" in text
    assert "kl=0.25" in text
    assert "SqRBM(n_visible=40" in text
    assert repr(tnqbm.Trajectory(np.array([], np.int64))) == (
        "Trajectory(empty, stopped='iterations')"
    )


def test_little_is_written_out() -> None:
    assert brief(np.array([1, 2])) == "[1, 2]"
    assert brief(np.zeros((3, 4))) == "<float64 (3, 4)>"
    assert brief(list(range(9))) == "<9 entries>"
    assert brief(np.float64(0.5)) == "0.5"
    assert brief({"a": 1}) == "<1 entry>"


def public_results() -> Iterator[type]:
    packages: list[ModuleType] = [tnqbm, mc]
    packages += [v for n in tnqbm.__all__ if inspect.ismodule(v := getattr(tnqbm, n))]
    for package in packages:
        for name in getattr(package, "__all__", vars(package)):
            found = getattr(package, name)
            if inspect.isclass(found) and found.__module__.split(".")[0] in ("tnqbm", "mc"):
                yield found


def test_every_public_result_with_arrays_has_one() -> None:
    held = 0
    for cls in public_results():
        fields = inspect.get_annotations(cls)
        arrays = any("NDArray" in str(kind) or str(kind) == "Float" for kind in fields.values())
        if arrays and (dataclasses.is_dataclass(cls) or hasattr(cls, "_fields")):
            # That of a dataclass or named tuple itself would write out all numbers.
            generated = (
                hasattr(cls.__repr__, "__wrapped__") or cls.__repr__.__module__ == "collections"
            )
            assert not generated, cls
            held += 1
    assert held > 10
