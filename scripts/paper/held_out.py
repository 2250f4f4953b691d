"""Test log-likelihoods of a study's final models, and their paired differences, as Markdown.

    python scripts/paper/held_out.py digits.h5 --gradient pcd-1
    python scripts/paper/held_out.py digits.h5 --gradient pcd-1 --into docs/results.md

log Z of every final model is estimated anew, by annealing in both directions. A difference of two
groups is taken image by image and averaged over the seeds first; its standard error combines the
spread over held-out images with the spread over seeds. With --into the tables replace what stands
between <!-- held-out --> and <!-- end of held-out --> of a page.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tables
from numpy.typing import NDArray

import mc
import tnqbm
from tnqbm.archive import Run

Float = NDArray[np.float64]
Key = tuple[str, int]  # Pauli set and hidden units

PAIRS: tuple[tuple[Key, Key, str], ...] = (
    (("XZ", 64), ("Z", 64), "equal m"),
    (("XYZ", 64), ("Z", 64), "equal m"),
    (("XZ", 64), ("Z", 128), "equal number of parameters"),
    (("XYZ", 64), ("Z", 192), "equal number of parameters"),
    (("XYZ", 64), ("XZ", 64), "equal m"),
    (("XYZ", 128), ("XYZ", 64), "twice the units"),
    (("Z", 192), ("Z", 64), "three times the units"),
)


@dataclass
class Group:
    """Runs that differ in the seed only: log p of each test image under each final model."""

    key: Key
    parameters: int
    log_p: Float  # (seeds, images)
    train: list[float]
    error: float  # the largest standard error of a log Z
    untrusted: int

    @property
    def rows(self) -> Float:
        """The mean over seeds for every test image, (images,)."""
        mean: Float = self.log_p.mean(axis=0)
        return mean


def evaluate(archive: tnqbm.Archive, runs: list[Run], chains: int, betas: int) -> Group:
    """Log-likelihoods of the runs of one group."""
    study = mc.load_study(archive.study_text + "\n", archived=True)
    test = study.test_target(runs[0].coordinates)
    if test is None or test.counts is None:
        raise SystemExit("the study holds no samples out for a test")
    images = np.repeat(test.states, test.counts, axis=0)
    log_p, train_ll, errors, untrusted = [], [], [], 0
    for run in runs:
        seed = int(run.coordinates["seed"])
        train = study.target(run.coordinates, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mc.EstimateWarning)  # counted below
            log_z = mc.log_partition(
                run.model,
                mc.Annealing("both", chains=chains, betas=betas, precision="single"),
                data=train,
                seed=seed,
            )
            log_p.append(mc.log_likelihoods(run.model, images, log_z))
            train_ll.append(mc.log_likelihood(run.model, train, log_z).value)
        errors.append(log_z.standard_error)
        untrusted += not log_z.trusted
        print(f"{run.coordinates}: {np.mean(log_p[-1]):.3f}", file=sys.stderr)
    first = runs[0].model
    key = (first.paulis, first.n_hidden)
    return Group(key, first.n_parameters, np.array(log_p), train_ll, max(errors), untrusted)


def difference(first: Group, second: Group) -> tuple[float, float, float, float]:
    """Mean of the paired differences; standard errors: of images, of seeds, of both together."""
    rows = first.rows - second.rows
    seeds = min(len(first.log_p), len(second.log_p))
    by_seed = (first.log_p[:seeds] - second.log_p[:seeds]).mean(axis=1)
    of_images = float(rows.std(ddof=1) / np.sqrt(rows.size))
    of_seeds = float(by_seed.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else float("nan")
    return float(rows.mean()), of_images, of_seeds, float(np.hypot(of_images, of_seeds))


def markdown(groups: dict[Key, Group]) -> str:
    """Both tables as Markdown."""
    lines = [
        "| model | m | parameters | test log-likelihood (nats an image) | seeds | train |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (paulis, hidden), group in sorted(groups.items(), key=lambda item: item[1].parameters):
        means = group.log_p.mean(axis=1)
        lines.append(
            f"| {paulis} | {hidden} | {group.parameters} | {means.mean():.3f} "
            f"| {means.min():.3f} to {means.max():.3f} | {np.mean(group.train):.3f} |"
        )
    some = next(iter(groups.values()))
    images, seeds = some.log_p.shape[1], some.log_p.shape[0]
    absolute = float(some.rows.std(ddof=1) / np.sqrt(images))
    count = sum(len(group.log_p) for group in groups.values())
    lines += [
        "",
        f"Means over {seeds} seeds. The {images} held-out images give every value a standard error "
        f"of {absolute:.2f}, which all models share; log Z adds at most "
        f"{max(group.error for group in groups.values()):.3f}, and "
        f"{sum(group.untrusted for group in groups.values())} of {count} of its estimates are "
        "flagged. Paired differences are sharper:",
        "",
        "| difference | at | nats an image | standard error: images, seeds, both |",
        "| --- | --- | --- | --- |",
    ]
    for first, second, why in PAIRS:
        if first in groups and second in groups:
            mean, images_, seeds_, both = difference(groups[first], groups[second])
            lines.append(
                f"| {first[0]} m = {first[1]} minus {second[0]} m = {second[1]} | {why} "
                f"| {mean:+.3f} | {images_:.3f}, {seeds_:.3f}, {both:.3f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--gradient", default="pcd-1")
    parser.add_argument("--chains", type=int, default=300)
    parser.add_argument("--betas", type=int, default=1000)
    parser.add_argument("--into", type=Path, metavar="PAGE.md")
    args = parser.parse_args()
    with tnqbm.Archive(args.archive) as archive:
        runs: dict[Key, list[Run]] = {}
        for run in archive.runs():
            if run.coordinates["gradient"] == args.gradient:
                key = (str(run.coordinates["paulis"]), int(run.coordinates["hidden"]))
                runs.setdefault(key, []).append(run)
        if not runs:
            parser.error(f"{args.archive} has no finished run of gradient {args.gradient!r}")
        groups = {k: evaluate(archive, found, args.chains, args.betas) for k, found in runs.items()}
    text = markdown(groups)
    if args.into is None:
        print(text)
        return
    tables.put(args.into, {"held-out": text})


if __name__ == "__main__":
    main()
