"""Figures of sample quality: what is drawn, that nothing overlaps or is cut off, bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("matplotlib")

from tests.tnqbm.figures.overlaps import check_layout
from tnqbm import SqRBM, Target, datasets, figures
from tnqbm.base.errors import MissingExtraError
from tnqbm.figures import samples as draw
from tnqbm.figures.pictures import DATA, SAMPLES, _log_spaced
from tnqbm.quality import Quality, assess

BAS = datasets.load("bas", 6)


def quality(target: Target = BAS, *, seed: int = 0, chains: bool = False) -> Quality:
    rng = np.random.default_rng(seed)
    data, test = (target.states[rng.integers(0, target.n_states, 60)] for _ in range(2))
    samples = target.states[rng.integers(0, max(1, target.n_states - 1), (6, 20))]
    return assess(
        samples if chains else samples.reshape(-1, target.n_visible),
        data,
        test=test,
        model=SqRBM.uniform(target.n_visible, 2, "XZ", seed=0),
        target=target,
        resamples=5,
    )


ONE = quality()
CASES: dict[str, Any] = {
    "one": ONE,
    "paulis": {"Z": quality(chains=True), "XZ": quality(seed=1), "XYZ": quality(seed=2)},
    "many": {
        name: quality(datasets.load("parity", 8), seed=k)
        for k, name in enumerate(
            ["cd-1", "pcd-10", "tempered-10", "a name of a model that is too long"]
        )
    },
    "one unit": quality(Target.uniform(np.array([[0], [1]]))),
    "one state": quality(Target.uniform(np.ones((1, 4)))),
    "n = 12": quality(datasets.load("bas", 12)),
}
KINDS: dict[str, Callable[..., Any]] = {
    "moments": draw.moments,
    "energies": draw.energies,
    "adversarial": draw.adversarial,
    "coverage": draw.coverage,
}


def digits(*shape: int, n: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 2, (*shape, n), dtype=np.uint8)


TOP_HALF = np.arange(64) < 32
PICTURES: dict[str, Callable[[], Any]] = {
    "grid": lambda: draw.grid(digits(100), (8, 8)),
    "grid of all": lambda: draw.grid(digits(90), (8, 8), data=digits(50), neighbours=True),
    "data": lambda: draw.data_rows(digits(150), (8, 8)),
    "one row of data": lambda: draw.data_rows(digits(1, n=6)),
    "one picture": lambda: draw.grid(digits(1, n=6), (2, 3)),
    "tall": lambda: draw.grid(digits(200, n=100), (20, 5), count=200),
    "chains": lambda: draw.chains(digits(50, 4), np.arange(50) * 1000, (8, 8)),
    "completion": lambda: draw.completion(
        np.where(TOP_HALF, 0, digits(5, 6)),
        TOP_HALF,
        (8, 8),
        truth=np.tile(np.where(TOP_HALF, 0, 1), (5, 1)),
    ),
    "one completion": lambda: draw.completion(digits(3), TOP_HALF),
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("case", list(CASES))
def test_no_text_overlaps_or_is_cut_off(case: str, kind: str) -> None:
    figure, axes = KINDS[kind](CASES[case])
    assert axes.ndim == 2
    check_layout(figure, axes)


@pytest.mark.parametrize("kind", list(PICTURES))
def test_pictures_are_laid_out_with_square_pixels(kind: str) -> None:
    figure, axes = PICTURES[kind]()
    check_layout(figure, axes)
    for axis in axes.flat:
        box = axis.get_window_extent()
        height, width = axis.images[0].get_array().shape[:2]
        assert box.width / box.height == pytest.approx(width / height, rel=1e-6)


def pixels(axis: Any, line: int, column: int, size: tuple[int, int]) -> list[list[str]]:
    """Colours of one picture, read from the middle of each pixel."""
    from matplotlib.colors import to_hex

    from tnqbm.figures.pictures import _scale

    scale, frame = _scale(size)
    image = np.asarray(axis.images[0].get_array())
    top, left = (
        frame + k * (length * scale + frame) for k, length in zip((line, column), size, strict=True)
    )
    return [
        [to_hex(image[top + i * scale + scale // 2, left + j * scale]) for j in range(size[1])]
        for i in range(size[0])
    ]


def inked(bits: NDArray[np.uint8], size: tuple[int, int], ink: str) -> list[list[str]]:
    return [[ink.lower() if bit else "#ffffff" for bit in row] for row in bits.reshape(size)]


def test_the_grid_shows_data_samples_and_their_neighbours() -> None:
    samples, data = digits(4, n=6), digits(9, n=6)
    _, axes = draw.grid(samples, (2, 3), data=data, neighbours=True, columns=2)
    assert axes.shape == (2, 1)
    assert pixels(axes[0, 0], 0, 0, (2, 3)) == inked(data[0], (2, 3), DATA)
    nearest = data[(data[None] != samples[:, None]).sum(axis=2).argmin(axis=1)]
    for k in range(4):
        line, column = divmod(k, 2)
        assert pixels(axes[1, 0], 2 * line, column, (2, 3)) == inked(samples[k], (2, 3), SAMPLES)
        assert pixels(axes[1, 0], 2 * line + 1, column, (2, 3)) == inked(nearest[k], (2, 3), DATA)


def test_chains_are_shown_at_log_spaced_sweeps() -> None:
    states, sweeps = digits(1001, 2, n=4), np.arange(1001)
    _, axes = draw.chains(states, sweeps, (2, 2), most=5)
    labels = [label.get_text() for label in axes[0, 0].get_xticklabels()]
    assert labels == ["0", "1", "10", "100", "1000"]
    assert pixels(axes[0, 0], 1, 3, (2, 2)) == inked(states[100, 1], (2, 2), SAMPLES)


@pytest.mark.parametrize("times", [[0, 5], [3, 4, 5, 6], list(range(100)), [0.0, 0.1, 10.0, 1e5]])
@pytest.mark.parametrize("most", [2, 3, 9])
def test_chosen_times_are_few_and_keep_both_ends(times: list[float], most: int) -> None:
    chosen = _log_spaced(np.array(times), most)
    assert chosen == sorted(set(chosen))
    assert {0, len(times) - 1} <= set(chosen)
    assert len(chosen) <= most or len(times) <= most
    if len(times) <= most:
        assert len(chosen) == len(times)


def test_completions_mark_what_was_given() -> None:
    completed = np.array([[[1, 0, 1, 0], [1, 0, 0, 1]]])
    clamped = np.array([True, True, False, False])
    _, axes = draw.completion(completed, clamped, (2, 2), truth=[[1, 0, 1, 1]])
    axis, grey, blue = axes[0, 0], DATA.lower(), SAMPLES.lower()
    assert pixels(axis, 0, 0, (2, 2)) == [[grey, "#ffffff"], [grey, grey]]
    assert pixels(axis, 0, 1, (2, 2)) == [[grey, "#ffffff"], ["#a8a8a8", "#a8a8a8"]]
    assert pixels(axis, 0, 2, (2, 2)) == [[grey, "#ffffff"], [blue, "#dcebf5"]]
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["truth", "given", "1", "2"]


def test_the_drawn_numbers_are_the_qualitys() -> None:
    _, axes = draw.moments(ONE)
    points = np.asarray(axes[0, 1].collections[0].get_offsets())
    np.testing.assert_allclose(points, np.stack([ONE.second.data, ONE.second.samples], axis=1))
    assert "RMS" in axes[0, 0].texts[0].get_text()
    _, axes = draw.adversarial(ONE)
    ends = [bar.get_y() + bar.get_height() for bar in axes[0, 0].patches]
    assert ends == pytest.approx([ONE.adversarial.truth.value, ONE.adversarial.syn.value])
    assert ONE.privacy is not None
    assert axes.shape == (1, 2)
    loss = axes[0, 1].patches[0]
    assert loss.get_y() + loss.get_height() == pytest.approx(ONE.privacy.loss.value)
    _, axes = draw.coverage(ONE)
    assert ONE.coverage is not None
    dots = next(line for line in axes[0, 0].lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_ydata(), ONE.coverage.frequencies)
    assert axes[0, 0].get_title().startswith("visited 4 of 5, inside 1,")


def test_pauli_sets_keep_their_colours() -> None:
    from matplotlib.colors import to_hex

    _, axes = draw.adversarial({"ZX": ONE, "other": ONE})
    assert to_hex(axes[0, 0].patches[0].get_facecolor()) == "#d55e00"


def test_figures_can_be_written(tmp_path: Path) -> None:
    figure, _ = draw.grid(digits(20))
    path = figures.save_figure(figure, tmp_path / "grid.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw.grid(digits(5), (8, 7)), "h w = 64"),
        (lambda: draw.data_rows(digits(5), (8, 7)), "h w = 64"),
        (lambda: draw.data_rows(digits(5), count=0), "count and columns must be at least 1"),
        (lambda: draw.data_rows(2 * digits(5)), "rows: visible states must be 0 or 1"),
        (lambda: draw.grid(digits(5)[0]), "samples must have shape"),
        (lambda: draw.grid(2 * digits(5)), "samples: visible states must be 0 or 1"),
        (lambda: draw.grid(digits(5), data=digits(5, n=10)), "data has 10 bits"),
        (lambda: draw.grid(digits(5), neighbours=True), "give data"),
        (lambda: draw.grid(digits(5), count=0), "count and columns"),
        (lambda: draw.chains(digits(5), [1, 2]), "states must have shape"),
        (lambda: draw.chains(digits(3, 2), [1, 2]), "3 increasing numbers"),
        (lambda: draw.chains(digits(3, 2), [2, 1, 3]), "increasing"),
        (lambda: draw.completion(digits(3), TOP_HALF[:5]), "clamped must be booleans"),
        (lambda: draw.completion(digits(3), TOP_HALF.astype(int)), "clamped must be booleans"),
        (lambda: draw.completion(digits(3, 2), TOP_HALF), "changes bit"),
        (lambda: draw.completion(digits(3), TOP_HALF, truth=digits(2)), "truth has 2 rows"),
        (lambda: draw.energies({"a": assess(digits(9), digits(9))}), "'a' has no energies"),
        (lambda: draw.coverage(assess(digits(9), digits(9))), "call assess with target"),
        (lambda: draw.moments({}), "nothing to draw"),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_quality_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a Quality"):
        draw.moments({"a": 3})  # type: ignore[dict-item]


def test_matplotlib_is_imported_late_and_its_absence_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "import sys, tnqbm.figures.samples; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="the extra 'plot' of tnqbm"):
        draw.grid(digits(3))
