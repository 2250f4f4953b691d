"""Figures: what is drawn, that nothing overlaps or is cut off, and how files are written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.synthetic import TIME, ladder, record, write
from tests.tnqbm.figures.overlaps import check_layout
from tnqbm import figures
from tnqbm.archive import Archive, RunRecord
from tnqbm.base.errors import MissingExtraError
from tnqbm.training.trajectory import Trajectory

DRAW = {
    "learning": figures.learning_curves,
    "tvd": figures.tvd_vs_hidden,
    "min-hidden": figures.minimum_hidden,
}


def falling(data: str, visible: int, paulis: str, m_max: int, seeds: int = 3) -> list[RunRecord]:
    """TVD that falls with m, faster for more Paulis."""
    rng = np.random.default_rng(visible)
    values = {
        m: list(0.8 * np.exp(-m * len(paulis) / visible) * rng.uniform(0.8, 1.2, seeds))
        for m in range(1, m_max + 1)
    }
    return ladder(values, data=data, visible=visible, paulis=paulis)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    folder = tmp_path_factory.mktemp("figures")
    every = ["bas", "on2", "cardinality", "parity"]
    cases = {
        "one": falling("bas", 6, "Z", 3) + falling("bas", 6, "XYZ", 3),
        "one run": [record(0.1, paulis="XYZ", hidden=2)],
        "full": [
            run
            for data in every
            for n in (4, 6, 8)
            for p in ("Z", "XZ", "XYZ")
            for run in falling(data, n, p, 5)
        ],
        # No runs of on2 at n = 6, no classical RBM on parity, thresholds that are never reached.
        "missing": falling("bas", 6, "Z", 4)
        + falling("bas", 6, "XYZ", 4)
        + falling("on2", 8, "Z", 2)
        + falling("on2", 8, "XYZ", 2)
        + falling("parity", 6, "XZ", 4),
        "gradients": falling("bas", 6, "Z", 3)
        + ladder({1: [0.5], 2: [0.3], 3: [0.15]}, gradient="cd"),
        "file": ladder({2: [0.3, 0.2]}, data="measurements/a_very_long_file_name_of_data.csv"),
    }
    return {
        name: Archive(write(folder / f"{k}.h5", runs))
        for k, (name, runs) in enumerate(cases.items())
    }


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        *[(case, kind) for case in ("one run", "full", "missing", "file") for kind in DRAW],
        ("one", "learning"),
        ("gradients", "min-hidden"),
    ],
)
def test_no_text_overlaps_or_is_cut_off(archives: dict[str, Archive], case: str, kind: str) -> None:
    figure, axes = DRAW[kind](archives[case])
    check_layout(figure, axes)


def test_tvd_figure_has_a_panel_per_n_and_data_set_and_the_reference(
    archives: dict[str, Archive],
) -> None:
    figure, axes = figures.tvd_vs_hidden(archives["full"])
    assert axes.shape == (3, 4)
    assert axes[0, 0].get_title() == "bars and stripes, n = 4"
    assert axes[2, 3].get_title() == "parity, n = 8"
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == ["RBM (Z)", "sqRBM XZ", "sqRBM XYZ", "TVD = 0.2"]
    assert axes[0, 0].get_ylabel() == "Total variation distance"
    assert axes[2, 0].get_xlabel() == "Hidden units m"


def test_drawn_means_and_bands_are_the_archives(tmp_path: Path) -> None:
    runs = ladder({1: [0.4, 0.6], 2: [0.1, 0.3]})
    _, axes = figures.tvd_vs_hidden(Archive(write(tmp_path / "a.h5", runs)))
    line = next(line for line in axes[0, 0].lines if line.get_marker() == "o")
    assert list(line.get_xdata()) == [1, 2]
    assert list(line.get_ydata()) == pytest.approx([0.5, 0.2])
    (band,) = axes[0, 0].collections
    corners = band.get_paths()[0].vertices
    heights = sorted({round(float(y), 12) for y in corners[:, 1]})
    assert heights == pytest.approx([0.1, 0.3, 0.4, 0.6])


def test_panels_without_runs_say_so(archives: dict[str, Archive]) -> None:
    _, axes = figures.tvd_vs_hidden(archives["missing"])
    notes = {axis.get_title(): [t.get_text() for t in axis.texts] for axis in axes.flat}
    assert notes["n² random strings, n = 6"] == ["no runs"]
    assert notes["bars and stripes, n = 6"] == []


def test_bounds_are_hollow_and_explained(archives: dict[str, Archive]) -> None:
    figure, axes = figures.minimum_hidden(archives["missing"])
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "true value above" in labels
    assert {"prediction 3"} <= set(labels)
    on2 = axes[0, 1]
    hollow = [line for line in on2.lines if line.get_markerfacecolor() == "white"]
    assert {line.get_ydata()[0] for line in hollow} == {2}
    parity = axes[1, 2]
    assert [text.get_text() for text in parity.texts] == ["no RBM to compare with"]


def test_ratio_points_and_prediction_lines(tmp_path: Path) -> None:
    runs = ladder({m: [0.5 if m < 6 else 0.1] for m in range(1, 8)})
    # The RBM crosses at 5.75, the other at 23/12.
    runs += ladder({1: [0.53], 2: [0.17]}, paulis="XYZ")
    _, axes = figures.minimum_hidden(Archive(write(tmp_path / "a.h5", runs)))
    heights = [float(y) for line in axes[1, 0].lines for y in np.atleast_1d(line.get_ydata())]
    assert (
        sum(abs(y - 3.0) < 1e-12 for y in heights) >= 3
    )  # two ends of the prediction's line, and the point on it


def test_learning_curves_choose_few_hidden_units_unless_asked(
    archives: dict[str, Archive],
) -> None:
    figure, _ = figures.learning_curves(archives["full"])
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert [label for label in labels if label.startswith("m =")] == ["m = 1", "m = 2", "m = 5"]
    assert "3 of 5 values of m" in figure.texts[1].get_text()
    figure, axes = figures.learning_curves(archives["full"], where={"hidden": 4, "visible": 6})
    assert "m = 4" in figure.texts[0].get_text()
    assert axes.shape == (1, 4)
    start = axes[0, 0].lines[0].get_xydata()[0]
    assert start == pytest.approx([0.0, 0.9])  # the start, before any update, is on the axis


def test_a_run_with_a_single_record_can_be_drawn(tmp_path: Path) -> None:
    trajectory = Trajectory(step=np.array([0]), tvd=np.array([0.5]), kl=np.array([1.0]))
    one = RunRecord(record(0.1).coordinates, 1, trajectory, TIME, TIME)
    source = Archive(write(tmp_path / "a.h5", [one]))
    for draw in DRAW.values():
        figure, _ = draw(source)
        figure.draw_without_rendering()


def test_letter_order_changes_no_colour(tmp_path: Path) -> None:
    from matplotlib.colors import to_hex

    source = Archive(write(tmp_path / "a.h5", ladder({1: [0.4], 2: [0.1]}, paulis="ZX")))
    _, axes = figures.tvd_vs_hidden(source)
    colours = {to_hex(line.get_color()) for line in axes[0, 0].lines}
    assert "#d55e00" in colours


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")]
)
def test_files_are_what_their_names_say_and_reproducible(
    archives: dict[str, Archive], tmp_path: Path, suffix: str, magic: bytes
) -> None:
    contents = []
    for name in ("one", "two"):
        figure, _ = figures.tvd_vs_hidden(archives["one"])
        path = figures.save_figure(figure, tmp_path / f"{name}{suffix}")
        contents.append(path.read_bytes())
    assert contents[0].startswith(magic)
    assert contents[0] == contents[1]


def test_figures_are_not_overwritten_or_written_where_they_cannot(
    archives: dict[str, Archive], tmp_path: Path
) -> None:
    figure, _ = figures.tvd_vs_hidden(archives["one run"])
    path = figures.save_figure(figure, tmp_path / "a.png")
    with pytest.raises(FileExistsError, match=r"a\.png exists"):
        figures.save_figure(figure, path)
    figures.save_figure(figure, path, overwrite=True)
    with pytest.raises(ValueError, match=r"\.png, \.pdf, \.svg"):
        figures.save_figure(figure, tmp_path / "a.jpeg")
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        figures.save_figure(figure, tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError):
        figures.save_figure(figure, tmp_path / "folder.png", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "folder.png"]


def test_a_users_own_settings_neither_enter_nor_leave(archives: dict[str, Archive]) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30.0}):
        _, axes = figures.tvd_vs_hidden(archives["one"])
        assert mpl.rcParams["font.size"] == 30.0
    assert axes[0, 0].title.get_fontsize() < 12


def test_without_matplotlib_the_error_names_the_extra(
    archives: dict[str, Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="the extra 'plot' of tnqbm"):
        figures.tvd_vs_hidden(archives["one"])


def test_importing_the_module_does_not_import_matplotlib() -> None:
    code = "import sys, tnqbm.figures; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
