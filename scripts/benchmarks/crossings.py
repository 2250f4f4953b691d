"""How well the crossing of a noisy mean with a threshold is found, and what interpolation does.

    python scripts/benchmarks/crossings.py                                # simulations, 2 minutes
    python scripts/benchmarks/crossings.py --archive data/results/figure3.h5

Simulated are runs that are solved or stuck at 0.5 (like parity) or scatter around their mean (like
random strings), with a difficulty that a seed keeps from one m to the next. Printed: mean error of
the crossing, its scatter, that of the first m below the threshold, and how often the 95 %
intervals hold the true crossing and the true ratio to a model of a third of the units. With an
archive, as Markdown: ratios with linear interpolation and with that of the logarithm.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive.minimum_hidden import REFERENCE, crossing_of, falling_fit, resampled_means
from tnqbm.archive.summaries import FinalGroup, final_groups

Float = NDArray[np.float64]

THRESHOLD = 0.2
GRIDS = (
    (tuple(range(70, 91)), 79.0, 4.0),
    ((2, 4, 6, 8, 9, 10, 11, 12, 14), 9.3, 1.5),
    ((24, 26, 27, 28, 29, 30, 32), 27.5, 2.0),
)
TRIALS, RESAMPLES = 150, 400


def crossings(groups: Sequence[FinalGroup], seed: int = 0, *, log: bool = False) -> Float:
    """The crossing, then resampled ones; ``log`` interpolates the logarithm of the fit."""
    hidden = [group.hidden for group in groups]
    runs = np.array([group.values.size for group in groups], dtype=np.float64)
    means = np.stack([resampled_means(group, RESAMPLES, seed=seed) for group in groups], axis=1)
    found = []
    for row in [np.array([group.mean for group in groups]), *means]:
        fit = falling_fit(row, runs)
        if log:
            found.append(crossing_of(hidden, np.log(fit), math.log(THRESHOLD)))
        else:
            found.append(crossing_of(hidden, fit, THRESHOLD))
    return np.array(found)


def ends(draws: Float) -> tuple[float, float]:
    """Central 95 % of the draws."""
    low, high = np.quantile(draws[~np.isnan(draws)], [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def runs(
    rng: np.random.Generator, hidden: Sequence[int], mean: Float, seeds: int, stuck: bool
) -> list[FinalGroup]:
    """Simulated groups in order of m with the given expected values."""
    own = rng.normal(size=seeds)
    groups = []
    for m, value in zip(hidden, mean, strict=True):
        noise = math.sqrt(0.3) * own + math.sqrt(0.7) * rng.normal(size=seeds)
        solved = 0.5 * (noise < NormalDist().inv_cdf(2 * value))
        values = solved if stuck else value + 0.07 * noise
        groups.append(FinalGroup("", 1, "Z", m, (), tuple(range(1, seeds + 1)), values))
    return groups


def simulate() -> None:
    """Print a line for each kind of noise, number of seeds and grid."""
    print("noise  seeds  crossing  error  scatter  first below  interval  interval of ratio")
    for stuck in (True, False):
        for seeds in (10, 20, 100):
            for hidden, middle, width in GRIDS:
                fewer = sorted({max(1, round(m / 3)) for m in hidden})
                mean = 0.5 / (1 + np.exp((np.array(hidden) - middle) / width))
                less = 0.5 / (1 + np.exp((np.array(fewer) - middle / 2.7) * 2.7 / width))
                true, other = (
                    crossing_of(m, v, THRESHOLD) for m, v in ((hidden, mean), (fewer, less))
                )
                errors, first, inside, ratio = [], [], 0, 0
                for trial in range(TRIALS):
                    rng = np.random.default_rng([trial, seeds])
                    one = runs(rng, hidden, mean, seeds, stuck)
                    found = crossings(one, trial)
                    beside = crossings(runs(rng, fewer, less, seeds, stuck), trial)
                    low, high = ends(found[1:])
                    inside += low <= true <= high
                    with np.errstate(all="ignore"):
                        low, high = ends(found[1:] / beside[1:])
                    ratio += low <= true / other <= high
                    if 0 < found[0] < math.inf:
                        errors.append(found[0] - true)
                    early = [g.hidden for g in one if g.mean < THRESHOLD]
                    first.append(early[0] - math.ceil(true) if early else math.nan)
                print(
                    f"{'stuck' if stuck else 'smooth':6s} {seeds:5d} {true:9.2f} "
                    f"{np.mean(errors):6.2f} {np.std(errors):8.2f} {np.nanmean(first):12.2f} "
                    f"{inside / TRIALS:9.2f} {ratio / TRIALS:18.2f}",
                    flush=True,
                )


def compare(path: Path) -> None:
    """Print the ratios of an archive with both kinds of interpolation."""
    from tnqbm import Archive

    series: dict[tuple[str, int, str], list[FinalGroup]] = {}
    with Archive(path) as archive:
        for group in final_groups(archive):
            series.setdefault((group.data, group.visible, group.paulis), []).append(group)
    print("| data | n | Paulis | m of the sqRBM | ratio, linear | ratio, logarithm |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (data, n, paulis), groups in series.items():
        if paulis == REFERENCE or (data, n, REFERENCE) not in series:
            continue
        cells = []
        for log in (False, True):
            with np.errstate(all="ignore"):
                both = (crossings(series[data, n, p], log=log) for p in (REFERENCE, paulis))
                above, below = both
                draws = above / below
            low, high = ends(draws[1:])
            cells.append(f"{draws[0]:.2f} ({low:.2f} to {high:.2f})")
        m = crossings(groups)[0]
        if m == 0:
            continue  # below the threshold at the smallest m tried
        print(f"| {data} | {n} | {paulis} | {m:.2f} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", type=Path, metavar="OUT.h5", help="compare interpolations")
    options = parser.parse_args()
    if options.archive is None:
        simulate()
    else:
        compare(options.archive)


if __name__ == "__main__":
    main()
