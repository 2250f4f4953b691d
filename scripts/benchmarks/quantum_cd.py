"""Kernels that measure hidden qubits: are they exact, and how biased is CD-k with them.

    python scripts/benchmarks/quantum_cd.py invariance      # p values of chi-squared tests
    python scripts/benchmarks/quantum_cd.py bias            # CD-k gradients without any noise

``bias`` applies transition matrices to the distribution of the data, so that its numbers have no
error but that of the choice of models. What training makes of it: quantum_cd_training.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, kstest

import tnqbm
from mc.kernels import Sweeper, basis_number
from tnqbm import SqRBM, datasets
from tnqbm.core import fields, streams
from tnqbm.core.states import index_of, spins, states_of
from tnqbm.datasets import Target
from tnqbm.kernels.parallel import set_num_threads

Float = NDArray[np.float64]
BASES = ("X", "Y", "Z", "random", "each")
STEPS = (1, 2, 5, 10, 20, 50, 100)


def show(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def plus_minus(values: Float, digits: int = 3) -> str:
    error = values.std(ddof=1) / np.sqrt(values.size)
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"


# --- invariance ----------------------------------------------------------------------------------


def p_value(states: NDArray[np.uint8], p: Float) -> float:
    """Chi-squared test of independent states; those expected less than five times are pooled."""
    counts, wanted = np.bincount(index_of(states), minlength=p.size), p * len(states)
    rare = wanted < 5
    counts, wanted = (np.append(x[~rare], x[rare].sum()) for x in (counts, wanted))
    used = wanted > 0
    statistic = ((counts - wanted)[used] ** 2 / wanted[used]).sum()
    return float(chi2.sf(statistic, used.sum() - 1))


def invariance(trials: int) -> None:
    """Chains that start in equilibrium, five sweeps later: p values over models and Pauli sets."""
    cells = [(k, b) for k in ("pauli", "pauli-exact") for b in BASES]
    cells += [("measured", None), ("collapsed", None), ("thermal-uncorrected", None)]
    rows = []
    for kernel, basis in cells:
        found = []
        for trial in range(trials):
            fixed = basis in ("X", "Y", "Z")
            paulis = "XYZ" if fixed else ("XYZ", "XY", "XZ", "YZ")[trial % 4]
            model = SqRBM.uniform(6, 3, paulis, scale=0.9, seed=trial)
            p = weights(model)
            rng = np.random.default_rng([trial, 1])
            start = states_of(rng.choice(p.size, 20_000, p=p).astype(np.int64), 6)
            sweeper = Sweeper(model.shape, kernel, basis=basis_number(kernel, basis, paulis))
            key = np.array([streams.key(trial, 7)], np.uint64)
            batch = np.ascontiguousarray(start[None])
            sweeper.sweep(model.to_vector()[None], batch, key, 0, 5)
            found.append(p_value(batch[0], p))
        rows.append([
            kernel, basis or "", f"{min(found):.2g}", f"{np.median(found):.2f}",
            f"{kstest(found, 'uniform').pvalue:.2g}",
        ])  # fmt: skip
    show(
        f"Chi-squared tests of invariance, {trials} models with n = 6, m = 3, 20,000 chains each",
        ["kernel", "basis", "least p", "median p", "p that they are uniform"],
        rows,
    )


# --- bias ----------------------------------------------------------------------------------------


def weights(model: SqRBM) -> Float:
    """p(v) of all states."""
    log_weight = model.log_weight(states_of(np.arange(2**model.n_visible), model.n_visible))
    p = np.exp(log_weight - log_weight.max())
    return np.asarray(p / p.sum())


Half = tuple[float, Float, Float]
"""A choice of bases: its probability, p(h | v) (S, K), log p(v | h) (S, K) up to constants."""


def _halves(plus: Float, minus: Float, energy: Float, probability: float) -> Half:
    """From log factors of the outcomes +1 and -1 (S, m)."""
    h = np.array(list(product((1, 0), repeat=plus.shape[1])), dtype=float)
    logs = plus @ h.T + minus @ (1 - h).T
    given = np.exp(logs - np.logaddexp(plus, minus).sum(axis=1)[:, None])
    return probability, given, logs - energy[:, None]


def log_factor(y: Float, rest: Float) -> Float:
    """log(cosh r - (y/r) sinh r), r**2 = y**2 + rest, without cancellation."""
    r = np.sqrt(y**2 + rest)
    large = r + np.abs(y)
    minus, plus = (np.where(x > 0, rest / large, large) / (2 * r) for x in (y, -y))
    with np.errstate(divide="ignore"):
        return np.logaddexp(r + np.log(minus), -r + np.log(plus))


def halves(model: SqRBM, kernel: str, basis: str | None) -> list[Half]:
    """All that a step of a kernel may do."""
    states = states_of(np.arange(2**model.n_visible), model.n_visible)
    energy = spins(states) @ model.a
    phi = model.fields(states)
    r = np.linalg.norm(phi, axis=1)
    if kernel == "collapsed":
        return [(1.0, np.ones((len(states), 1)), model.log_weight(states)[:, None])]
    if kernel == "measured":
        return [_halves(-r, r, energy, 1.0)]
    letters = range(len(model.paulis))
    choices: list[tuple[int, ...]] = {
        "each": list(product(letters, repeat=model.n_hidden)),
        "random": [(p,) * model.n_hidden for p in letters],
    }.get(basis or "", [(model.paulis.find(basis or ""),) * model.n_hidden])
    found = []
    for choice in choices:
        x = phi[:, choice, np.arange(model.n_hidden)]
        rest = (phi**2).sum(axis=1) - x**2 if len(letters) > 1 else np.zeros_like(x)
        logs = log_factor(x, rest), log_factor(-x, rest)
        found.append(_halves(*logs, energy, 1.0 / len(choices)))
    return found


def stepper(model: SqRBM, kernel: str, basis: str | None) -> Callable[[Float], Float]:
    """The transition of a kernel, of distributions (2**n,)."""
    n, parts = model.n_visible, halves(model, kernel, basis)
    index = np.arange(2**n)
    if kernel == "pauli-exact":
        drawn = []
        for _, _, logs in parts:
            p = np.exp(logs - logs.max(axis=0))
            drawn.append(p / p.sum(axis=0))
        return lambda q: sum(
            probability * (p @ (q @ given))
            for (probability, given, _), p in zip(parts, drawn, strict=True)
        )
    flips = [
        [1 / (1 + np.exp(logs - logs[index ^ (1 << (n - 1 - i))])) for i in range(n)]
        for _, _, logs in parts
    ]

    def step(q: Float) -> Float:
        total = np.zeros_like(q)
        for (probability, given, _), flip in zip(parts, flips, strict=True):
            joint = q[:, None] * given
            for i in range(n):
                moving = joint * flip[i]
                joint = joint - moving + moving[index ^ (1 << (n - 1 - i))]
            total += probability * joint.sum(axis=1)
        return total

    return step


def averages(model: SqRBM) -> Float:
    """s_i, sigma_j^P and s_i sigma_j^P of all states, (2**n, parameters)."""
    states = states_of(np.arange(2**model.n_visible), model.n_visible)
    s, phi = spins(states), model.fields(states)
    sigma = -fields.tanh_ratio(np.linalg.norm(phi, axis=1))[:, None] * phi
    both = np.einsum("vi,vpj->vpij", s, sigma)
    return np.concatenate([x.reshape(len(s), -1) for x in (s, sigma, both)], axis=1)


def biases(model: SqRBM, target: Target, kernel: str, basis: str | None) -> Float:
    """(steps, 2): |g_k - g| / |g|, and the cosine between g_k and g, of the exact gradient g."""
    f, q, p = averages(model), target.dense(), weights(model)
    step, exact, found = stepper(model, kernel, basis), (q - p) @ f, []
    now = q
    for k in range(1, max(STEPS) + 1):
        now = step(now)
        if k in STEPS:
            g = (q - now) @ f
            size = np.linalg.norm(exact)
            found.append([np.linalg.norm(g - exact) / size, g @ exact / (np.linalg.norm(g) * size)])
    return np.array(found)


def models(n: int, m: int, paulis: str, target: Target, updates: int, count: int) -> list[SqRBM]:
    starts = [SqRBM.uniform(n, m, paulis, scale=1.0, seed=seed) for seed in range(count)]
    if not updates:
        return starts
    return [
        tnqbm.train(model, target, iterations=updates, learning_rate=0.1, records=2).model
        for model in starts
    ]


def bias(count: int) -> None:
    """Errors of CD-k gradients, mean over models and its standard error."""
    pauli = [(k, b) for k in ("pauli", "pauli-exact") for b in ("Z", "random", "each")]
    every = [("collapsed", None), ("measured", None), *pauli]
    for n, m, paulis, data, updates in (
        (8, 4, "Z", "bas", 100), (8, 3, "XYZ", "bas", 0), (8, 3, "XYZ", "bas", 100),
        (8, 6, "XYZ", "bas", 100), (8, 3, "XYZ", "bas", 1000), (8, 3, "XYZ", "gaussian", 100),
        (12, 3, "XYZ", "bas", 100),
    ):  # fmt: skip
        target = datasets.load(data, n)
        chosen = models(n, m, paulis, target, updates, count)
        tvd = np.array([np.abs(weights(x) - target.dense()).sum() / 2 for x in chosen])
        for what, title in ((0, "|g_k - g| / |g|"), (1, "cosine of g_k and g")):
            rows = []
            for kernel, basis in every:
                if (len(paulis) == 1 and basis not in (None, "Z")) or (m > 4 and basis == "each"):
                    continue  # all the same; too many choices of bases
                found = np.array([biases(x, target, kernel, basis)[:, what] for x in chosen])
                rows.append([kernel, basis or "", *(plus_minus(column) for column in found.T)])
            show(
                f"{title}: {paulis}, n = {n}, m = {m}, {data}, after {updates} exact updates "
                f"(TVD {plus_minus(tvd)}), {count} models",
                ["kernel", "basis", *(f"k = {k}" for k in STEPS)],
                rows,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["invariance", "bias"], help="default both")
    parser.add_argument("--trials", type=int, default=40, help="models of invariance, default 40")
    parser.add_argument("--models", type=int, default=10, help="models of bias, default 10")
    arguments = parser.parse_args()
    set_num_threads(1)
    if arguments.part in (None, "invariance"):
        invariance(arguments.trials)
    if arguments.part in (None, "bias"):
        bias(arguments.models)
