"""Figures and tables of several gradients in one archive, and of held-out likelihoods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex

from tests.synthetic import TIME, ladder, record, write
from tests.tnqbm.figures.overlaps import check_layout
from tnqbm import figures
from tnqbm.archive import Archive, RunRecord
from tnqbm.archive.minimum_hidden import hidden_ratio_table, mean_interval, minimum_hidden_table
from tnqbm.archive.rows import gradient_parts, variant_names, variant_order
from tnqbm.archive.summaries import final_groups, likelihood_curves, mean_curves
from tnqbm.figures.styles import gradient_styles
from tnqbm.training.trajectory import Trajectory

LABELS = ["cd-1", "exact", "pcd-10-500", "pcd-1", "slow", "pcd-10", "cd-10", "tempered-1"]
IN_ORDER = ["exact", "cd-1", "cd-10", "pcd-1", "pcd-10", "pcd-10-500", "tempered-1", "slow"]


def several(labels: list[str], **coordinates: Any) -> list[RunRecord]:
    """Two Pauli sets and two data sets with every gradient; one m only of parity."""
    runs = []
    for k, label in enumerate(labels):
        for data, ms in (("bas", (1, 2, 6)), ("parity", (5,))):
            for p, paulis in enumerate(("Z", "XYZ")):
                values = {m - p: [0.6 / m + 0.02 * k, 0.7 / m + 0.02 * k] for m in ms}
                place = {"data": data, "gradient": label, **coordinates}
                runs += ladder({m: v for m, v in values.items() if m}, paulis=paulis, **place)
    return runs


def held_out(seed: int, values: list[float], error: float | None, **coordinates: Any) -> RunRecord:
    """A run whose test NLL takes ``values`` at every second record (train: one less)."""
    rows = np.full(2 * len(values) - 1, np.nan)
    rows[::2] = values
    trajectory = Trajectory(
        step=np.arange(rows.size) ** 2,
        nll=rows - 1.0,
        test_nll=rows,
        log_partition_error=None if error is None else np.where(np.isnan(rows), np.nan, error),
    )
    return RunRecord(record(0.1, **coordinates).coordinates, seed, trajectory, TIME, TIME)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(write(tmp_path_factory.mktemp("gradients") / "a.h5", several(LABELS)))


def test_labels_give_method_and_sweeps_and_an_order() -> None:
    assert gradient_parts("exact") == ("exact", None)
    assert gradient_parts("pcd-10") == ("pcd", 10)
    assert gradient_parts("pcd-10-500") == ("pcd", 10)
    assert gradient_parts("my-own") == ("my-own", None)
    others = [(("gradient", label),) for label in LABELS]
    assert list(variant_names(others).values()) == IN_ORDER
    assert sorted(others, key=variant_order)[0] == (("gradient", "exact"),)
    two = [(("depth", 1), ("gradient", "cd-1")), (("depth", 2), ("gradient", "cd-1"))]
    assert list(variant_names(two).values()) == ["depth 1", "depth 2"]


def test_a_gradient_looks_the_same_in_every_figure(source: Archive, tmp_path: Path) -> None:
    every = gradient_styles(final_groups(source))
    looks = {v["label"]: (v["color"], str(v["linestyle"]), v["marker"]) for v in every.values()}
    assert len(set(looks.values())) == len(LABELS)
    assert looks["exact"][0] == "#000000"
    assert looks["cd-1"][0] == looks["cd-10"][0]
    assert looks["cd-1"][1:] == looks["pcd-1"][1:] == looks["tempered-1"][1:]
    assert looks["cd-10"][1:] == looks["pcd-10"][1:]
    some = Archive(write(tmp_path / "b.h5", several(["pcd-10", "exact"])))
    for entry in gradient_styles(final_groups(some)).values():
        look = (entry["color"], str(entry["linestyle"]), entry["marker"])
        assert look == looks[entry["label"]]


def test_labels_of_a_studys_own_do_not_look_alike(tmp_path: Path) -> None:
    """There are more of them than colours, so some share one."""
    labels = [f"{name}-{k}" for name in ("a", "b", "c", "d", "e", "f", "g") for k in (1, 50)]
    styles = gradient_styles(final_groups(Archive(write(tmp_path / "a.h5", several(labels)))))
    assert len({(v["color"], v["marker"]) for v in styles.values()}) == len(labels)


@pytest.mark.parametrize("band", ["std", "bootstrap"])
def test_gradients_figure(source: Archive, band: str) -> None:
    figure, axes = figures.gradients(source, band=band)
    assert axes.shape == (2, 2)
    assert [axis.get_title() for axis in axes.flat] == [
        "bars and stripes, Z", "bars and stripes, XYZ", "parity, Z", "parity, XYZ",
    ]  # fmt: skip
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == [*IN_ORDER, "TVD = 0.2"]
    black = [line for line in axes[0, 0].lines if to_hex(line.get_color()) == "#000000"]
    (exact,) = [line for line in black if line.get_marker() == "o"]
    assert exact.get_xdata().tolist() == [1, 2, 6]
    assert exact.get_ydata() == pytest.approx([0.65 / m + 0.02 for m in (1, 2, 6)])
    points = [line.get_xdata()[0] for line in axes[1, 0].lines if len(line.get_xdata()) == 1]
    assert len(set(points)) >= len(LABELS)  # side by side
    assert all(4 < x < 6 for x in points)
    assert ("bootstrap" in figure.texts[1].get_text()) == (band == "bootstrap")
    check_layout(figure, axes)


def test_gradients_of_other_metrics_and_several_n(tmp_path: Path) -> None:
    runs = several(["exact", "cd-1"]) + several(["exact", "cd-1"], visible=8)
    many = Archive(write(tmp_path / "a.h5", runs))
    figure, axes = figures.gradients(many, "kl", where={"paulis": "Z"})
    assert axes.shape == (4, 1)
    assert axes[1, 0].get_title() == "bars and stripes, Z, n = 8"
    assert "KL divergence" in figure.texts[0].get_text()
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == ["exact", "cd-1"]
    with pytest.raises(ValueError, match="'nll' was not kept"):
        figures.gradients(many, "nll")
    with pytest.raises(ValueError, match="unknown band 'sem'; known: std, bootstrap"):
        figures.gradients(many, band="sem")


def test_bootstrap_interval_of_the_mean(tmp_path: Path) -> None:
    # 20 normal values: the interval is about the mean -+ 1.96 std / sqrt(20), within 15 %.
    values = list(np.random.default_rng(3).normal(0.5, 0.1, 20))
    (group,) = final_groups(Archive(write(tmp_path / "a.h5", ladder({1: values}))))
    low, high = mean_interval(group)
    assert low < group.mean < high
    assert high - low == pytest.approx(2 * 1.96 * group.std / np.sqrt(20), rel=0.15)
    assert mean_interval(group) == (low, high)


def test_tvd_and_learning_have_a_row_per_gradient(source: Archive) -> None:
    for draw in (figures.tvd_vs_hidden, figures.learning_curves):
        figure, axes = draw(source, where={"gradient": ["slow", "exact", "pcd-10-500"]})
        assert axes.shape == (3, 2)
        assert axes[0, 0].get_title() == "bars and stripes\nn = 6, exact"
        assert axes[2, 1].get_title() == "parity\nn = 6, slow"
        labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert labels[:2] == ["RBM (Z)", "sqRBM XYZ"]
        check_layout(figure, axes)


def test_too_many_rows_are_refused_with_the_choice(tmp_path: Path) -> None:
    runs = [record(0.1, visible=n, gradient=label) for n in (4, 6) for label in IN_ORDER[:7]]
    source = Archive(write(tmp_path / "a.h5", runs))
    for draw in (figures.tvd_vs_hidden, figures.learning_curves):
        with pytest.raises(ValueError, match=r"14 rows .* gradient \(there are exact, cd-1"):
            draw(source)
        _, axes = draw(source, where={"gradient": ["exact", "pcd-10"]})
        assert axes.shape == (4, 1)


def test_learning_names_the_m_of_sets_that_differ_in_them(source: Archive) -> None:
    figure, axes = figures.learning_curves(source, where={"gradient": "exact"})
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels[2:] == ["least m", "middle m", "greatest m"]
    assert {t.get_text() for t in axes[0, 0].texts} == {"m = 1, 2, 6", "m = 1, 5"}
    assert {t.get_text() for t in axes[0, 1].texts} == {"m = 5", "m = 4"}


def test_minimum_hidden_stands_by_gradient(tmp_path: Path) -> None:
    def rung(label: str, least: int, paulis: str, n: int = 6) -> list[RunRecord]:
        values = {m: [0.5 if m < least else 0.1] for m in range(1, 8)}
        return ladder(values, gradient=label, paulis=paulis, visible=n)

    runs = rung("exact", 6, "Z") + rung("exact", 2, "XYZ")
    runs += rung("cd-1", 9, "Z") + rung("cd-1", 3, "XYZ")
    source = Archive(write(tmp_path / "a.h5", runs))
    minima = minimum_hidden_table(source)
    assert [(dict(r.other)["gradient"], r.paulis, r.m_min) for r in minima] == [
        ("exact", "Z", 6), ("exact", "XYZ", 2), ("cd-1", "Z", None), ("cd-1", "XYZ", 3),
    ]  # fmt: skip
    ratios = hidden_ratio_table(source)
    assert [(r.ratio, r.kind) for r in ratios] == [
        (pytest.approx(5.75 / 1.75), "value"),
        (pytest.approx(7 / 2.75), "at least"),
    ]
    figure, axes = figures.minimum_hidden(source)
    names = [label.get_text() for label in axes[1, 0].get_xticklabels()]
    assert names == ["exact", "cd-1"]
    assert axes[1, 0].get_xlabel() == "Gradient"
    hollow = [line for line in axes[0, 0].lines if line.get_markerfacecolor() == "white"]
    assert [round(float(line.get_xdata()[0])) for line in hollow] == [1]
    check_layout(figure, axes)
    both = Archive(write(tmp_path / "b.h5", runs + rung("exact", 2, "Z", 8)))
    with pytest.raises(ValueError, match=r"several gradients \(exact, cd-1\) and several n"):
        figures.minimum_hidden(both)
    figures.minimum_hidden(both, where={"gradient": "exact"})
    figures.minimum_hidden(both, where={"visible": 6})


def test_curves_leave_out_rows_and_runs_without_a_value(tmp_path: Path) -> None:
    runs = [held_out(1, [9.0, 7.0], 0.3), held_out(2, [9.0, 5.0], 0.4)]
    runs.append(record(0.1, gradient="cd-1"))
    (curve,) = mean_curves(Archive(write(tmp_path / "a.h5", runs)), "test_nll")
    assert curve.step.tolist() == [0, 4]
    assert curve.mean.tolist() == [9.0, 6.0]
    nothing = [held_out(1, [np.nan], None)]
    with pytest.raises(ValueError, match="no finished run has a value of test_nll"):
        mean_curves(Archive(write(tmp_path / "b.h5", nothing)), "test_nll")


def test_likelihood_curves_and_their_errors(tmp_path: Path) -> None:
    runs = [held_out(1, [9.0, 7.0], 0.3), held_out(2, [9.0, 5.0], 0.4)]
    runs += [held_out(1, [9.0, 4.0], None, gradient="cd-1"), record(0.1, gradient="pcd-1")]
    curves = likelihood_curves(Archive(write(tmp_path / "a.h5", runs)))
    exact, cd = curves
    assert exact.test.tolist() == [-9.0, -6.0]
    assert exact.train.tolist() == [-8.0, -5.0]
    assert exact.test_std.tolist() == [0.0, 1.0]
    assert exact.error == pytest.approx([0.25, 0.25])  # sqrt(0.3^2 + 0.4^2) / 2
    assert exact.final_test.tolist() == [-7.0, -5.0]
    assert cd.error.tolist() == [0.0, 0.0]
    bare = Archive(write(tmp_path / "b.h5", [record(0.1)]))
    with pytest.raises(ValueError, match=r"no test data.*test_fraction"):
        likelihood_curves(bare)


def test_likelihood_figure(tmp_path: Path) -> None:
    runs = [
        held_out(seed, [9.0, 7.0 - 0.1 * m, 6.0 + seed - 0.1 * m], 0.2, **place)
        for label in ("cd-1", "pcd-1", "pcd-10")
        for paulis, ms in (("Z", (2, 4, 6)), ("XYZ", (2, 3)))
        for m in ms
        for seed in (1, 2)
        for place in [{"gradient": label, "paulis": paulis, "hidden": m}]
    ]
    source = Archive(write(tmp_path / "a.h5", runs))
    figure, axes = figures.likelihood(source)
    assert axes.shape == (4, 2)
    assert axes[0, 0].get_title() == "RBM (Z), m = 2"
    assert axes[1, 1].get_title() == "sqRBM XYZ, m = 3"
    assert not axes[2, 1].get_visible()
    names = [label.get_text() for label in axes[3, 0].get_xticklabels()]
    assert names[0] == "Z, m = 2\n20 par."
    assert len(names) == 5
    sizes = [int(name.split("\n")[1].split()[0]) for name in names]
    assert sizes == sorted(sizes)
    assert "standard error from log Z" in figure.texts[1].get_text()
    check_layout(figure, axes)
    drawn = axes[0, 0].lines[0].get_ydata()
    assert max(drawn) < 0
    other = Archive(write(tmp_path / "b.h5", [*runs, held_out(1, [9.0], 0.1, data="on2")]))
    with pytest.raises(ValueError, match="one data set and n; choose one of: data = bas"):
        figures.likelihood(other)
    figures.likelihood(other, where={"data": "on2"})


def test_likelihoods_far_below_become_arrows(tmp_path: Path) -> None:
    runs = [held_out(1, [9.0, 6.0], 0.1), held_out(1, [9.0, 500.0], 0.1, gradient="cd-1")]
    figure, axes = figures.likelihood(Archive(write(tmp_path / "a.h5", runs)))
    assert axes[0, 0].get_ylim()[0] > -30
    assert "arrows: below" in figure.texts[1].get_text()
    check_layout(figure, axes)
