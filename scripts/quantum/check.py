"""Check Hamiltonians and circuits against dense matrices, and say how large each error is.

    python scripts/quantum/check.py            # everything, some minutes
    python scripts/quantum/check.py moments    # one part

Every line names what was compared, the largest error or deviation found, and the bound it must stay
within. The exit status is 1 if one does not. Statistical parts have fixed seeds; their bounds are
four standard errors of every average at once, with the false alarm rate that this has.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg
from scipy import stats

from tnqbm import PauliHamiltonian, SqRBM, Target, datasets, exact, train
from tnqbm.core.paulis import pauli_string
from tnqbm.core.states import index_of, states_of
from tnqbm.hamiltonian import qrbm, sqbm, tfim

Line = tuple[str, float, float]
"""What was compared, what was found, and the largest value that is right."""

STEPS = (4e-3, 2e-3, 1e-3, 5e-4)
"""Step sizes of central differences of fourth order."""


def families() -> Iterator[tuple[str, PauliHamiltonian]]:
    """One of every family and size, degenerate ones and zero among them."""
    for n, m, seed in ((2, 1, 1), (3, 2, 2), (3, 3, 3), (5, 4, 4)):
        size = f"{n}+{m}"
        scale = 0.3 if n > 3 else 0.7
        for paulis in ("Z", "XZ", "XYZ") if n < 5 else ("XYZ",):
            model = SqRBM.uniform(n, m, paulis, scale=scale, seed=seed)
            yield f"sqRBM {paulis} {size}", PauliHamiltonian.from_sqrbm(model)
        yield f"sqBM {size}", sqbm(n, m, scale=scale, seed=seed)
        yield (
            f"TFIM {size}",
            tfim(n, m, visible_edges="all", hidden_edges="all", scale=scale, seed=seed),
        )
        letters = "XZ" if n > 3 else "XYZ"
        yield (
            f"QRBM {size}",
            qrbm(n, m, visible_paulis=letters, paulis=letters, scale=0.3, seed=seed),
        )
    rng = np.random.default_rng(5)
    for q, n in ((4, 4), (6, 3), (9, 5)):
        words = ["".join(rng.choice(list("IXYZ"), q)) for _ in range(20)]
        yield f"random strings {q}", PauliHamiltonian({w: rng.normal() * 0.5 for w in words}, n)
    yield "degenerate, blocks", PauliHamiltonian({"ZXX": 1.0, "ZZZ": 1.0}, 1)
    yield "degenerate, dense", PauliHamiltonian({"XXI": 1.0, "ZZI": 1.0, "IIX": 0.5}, 2)
    yield "zero, blocks", PauliHamiltonian({"ZIX": 0.0, "IIY": 0.0, "IZI": 0.0}, 2)
    yield "zero, dense", PauliHamiltonian({"XIX": 0.0, "IYI": 0.0, "ZZI": 0.0}, 2)


def dense(h: PauliHamiltonian) -> np.ndarray:
    """H by Kronecker products."""
    zero = np.zeros((1 << h.n_qubits,) * 2, dtype=complex)
    return sum((c * pauli_string(t) for t, c in h.terms.items()), zero)


def gibbs(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """log Z and the Gibbs state by expm."""
    lowest = np.linalg.eigvalsh(matrix)[0]
    rho = scipy.linalg.expm(lowest * np.eye(len(matrix)) - matrix)
    return float(np.log(np.trace(rho).real) - lowest), rho / np.trace(rho).real


def visible(rho: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(np.diag(rho).real.reshape(1 << n, -1).sum(axis=1))


def probabilities(matrix: np.ndarray, n: int) -> np.ndarray:
    """p(v) from eigenvectors: for differences expm takes too long."""
    energies, basis = np.linalg.eigh(matrix)
    p = (np.abs(basis) ** 2 @ np.exp(energies[0] - energies)).reshape(1 << n, -1).sum(axis=1)
    return np.asarray(p / p.sum())


def hamiltonians() -> Iterator[Line]:
    for name, h in families():
        matrix = dense(h)
        log_z, rho = gibbs(matrix)
        p = visible(rho, h.n_visible)
        rng = np.random.default_rng(1)
        more = ["".join(rng.choice(list("IXYZ"), h.n_qubits)) for _ in range(10)]
        strings = [*list(h.terms)[:: max(1, len(h.terms) // 20)], *more]
        want = np.array([np.sum(pauli_string(s).T * rho).real for s in strings])
        error = max(
            abs(h.log_partition() - log_z),
            np.abs(h.probabilities() - p).max(),
            np.abs(h.expectations(strings) - want).max(),
        )
        yield f"{name}: log Z, p(v), expectations against expm", float(error), 1e-11
        q = rng.dirichlet(np.ones(p.size))
        gradient = np.array([*h.gradient(Target.from_dense(q)).values()])
        # Along one direction of all terms, at several step sizes.
        direction = rng.normal(size=gradient.size) / np.sqrt(gradient.size)
        change = dense(h.with_coefficients(direction))
        errors = []
        for step in STEPS:
            f = [
                -q @ np.log(probabilities(matrix + k * step * change, h.n_visible))
                for k in (-2, -1, 1, 2)
            ]
            slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)
            errors.append(abs(slope - direction @ gradient))
        yield f"{name}: gradient, differences at {len(STEPS)} step sizes", float(max(errors)), 1e-8


def thermal() -> Iterator[Line]:
    from qiskit.quantum_info import Statevector

    from tnqbm.quantum import hidden_thermal_circuit
    from tnqbm.quantum.conventions import density_matrix

    for paulis in ("Z", "XZ", "YZ", "XYZ"):
        model = SqRBM.uniform(4, 2, paulis, scale=1.5, seed=1)
        states = states_of(np.arange(16, dtype=np.int64), 4)
        worst = 0.0
        for v in states:
            found = density_matrix(Statevector(hidden_thermal_circuit(model, v)), [0, 1])
            one, two = model.hidden_states(v)
            worst = max(worst, float(np.abs(found - np.kron(one, two)).max()))
        yield f"hidden thermal circuits, {paulis}, all 16 visible states", worst, 1e-10


def trotter() -> Iterator[Line]:
    from tnqbm.quantum import trotterise

    cases = {
        "sqRBM": PauliHamiltonian.from_sqrbm(SqRBM.uniform(2, 2, "XYZ", seed=1)),
        "sqBM": sqbm(2, 2, scale=0.5, seed=2),
        "QRBM": qrbm(2, 1, scale=0.5, seed=3),
        "TFIM": tfim(2, 2, visible_edges="all", hidden_edges="all", scale=0.8, seed=4),
    }
    for name, h in cases.items():
        rho = h.gibbs_state()
        for order in (1, 2):
            errors = [
                0.5 * np.abs(np.linalg.eigvalsh(trotterise(h, k, order=order).state() - rho)).sum()
                for k in (8, 16, 32, 64)
            ]
            rates = [np.log2(a / b) for a, b in pairwise(errors)]
            away = abs(rates[-1] - order)
            text = ", ".join(f"{rate:.3f}" for rate in rates)
            yield f"Trotter rates {name}, order {order}: {text}; last one off by", away, 0.1


def moments() -> Iterator[Line]:
    from tnqbm.quantum import QiskitGibbs, gibbs_circuit

    least, steps = 20_000, 16
    model = SqRBM.uniform(3, 2, "XYZ", scale=0.4, seed=3)
    share = gibbs_circuit(
        PauliHamiltonian.from_sqrbm(model), trotter_steps=steps
    ).success_probability
    shots = int(1.1 * least / share)
    found = QiskitGibbs(shots=shots, trotter_steps=steps, seed=1).measure_moments(model)
    errors = found.standard_errors.to_vector()
    z = (found.moments.to_vector() - exact.moments(model).to_vector()) / errors
    alarm = z.size * 2 * stats.norm.sf(4.0)
    text = f"moments n=3, m=2, XYZ, {found.kept_shots} of {found.shots} shots kept in 3 circuits"
    yield f"{text}: largest |z| of {z.size} (false alarm rate {alarm:.1e})", np.abs(z).max(), 4.0
    yield f"{text}: shots short of {least} each", float(max(0, 3 * least - found.kept_shots)), 0.0
    for name, h in (
        ("sqBM", sqbm(2, 2, paulis="XZ", scale=0.4, seed=2)),
        ("QRBM", qrbm(2, 1, scale=0.4, seed=1)),
        ("TFIM", tfim(2, 2, visible_edges="all", hidden_edges="all", scale=0.4, seed=3)),
    ):
        values = QiskitGibbs(shots=200_000, trotter_steps=steps, seed=2).measure(h)
        value, error = np.array([*values.values.values()]).T
        z = (value - h.expectations(h.terms)) / error
        alarm = z.size * 2 * stats.norm.sf(4.0)
        text = f"expectations {name}, {values.kept_shots} kept in {len(values.bases)} circuits"
        yield f"{text}: largest |z| of {z.size} ({alarm:.1e})", np.abs(z).max(), 4.0


class Depolarised:
    """A device that replaces some outcomes of an ideal one by uniform ones."""

    def __init__(self, share: float, seed: int) -> None:
        from qiskit.primitives import StatevectorSampler

        from tnqbm.quantum import Device

        self._share, self._rng = share, np.random.default_rng(seed)
        self.device = Device.of(StatevectorSampler(seed=self._rng))
        self._measure = self.device.measure_rows
        self.device.measure_rows = self.measure  # type: ignore[method-assign]

    def measure(self, *arguments: Any, **options: Any) -> list[np.ndarray]:
        found = self._measure(*arguments, **options)
        return [
            np.where(
                self._rng.random((len(bits), 1)) < self._share,
                self._rng.integers(0, 2, bits.shape, dtype=np.uint8),
                bits,
            )
            for bits in found
        ]


def chains() -> Iterator[Line]:
    from tnqbm.quantum import Device, EnhancedChain, open_device

    model = SqRBM.uniform(3, 2, "XYZ", scale=0.8, seed=2)
    p = exact.probabilities(model)

    def p_value(device: Device, count: int, moves: int, seed: int) -> float:
        states = np.zeros((count, 3), dtype=np.uint8)
        chain = EnhancedChain(device, time=(1.0, 2.0))
        for key in np.random.SeedSequence(seed).spawn(moves):
            states = chain.move(model, states, seed=key).states
        counts = np.bincount(index_of(states), minlength=8)
        return float(stats.chisquare(counts, p * count).pvalue)

    ideal, noisy = open_device("statevector"), Depolarised(0.5, 3).device
    yield (
        "enhanced chains, 4000 x 40 moves: 1e-4 / p of chi squared",
        1e-4 / p_value(ideal, 4000, 40, 1),
        1.0,
    )
    yield (
        "the same, half of the outcomes depolarised, 500 x 20: 1e-4 / p",
        1e-4 / p_value(noisy, 500, 20, 2),
        1.0,
    )
    yield "negative control, one move only: p", p_value(ideal, 4000, 1, 1), 1e-6


def training() -> Iterator[Line]:
    """Several trainings with shots against the exact one, at the end of the descent.

    The bound is the spread of the trainings with shots: their mean is to be within four of its
    standard errors, or within 0.01, which noise alone costs where the exact curve is curved.
    """
    target = datasets.load("bas", 4)
    common: dict[str, Any] = {"iterations": 30, "learning_rate": 0.05}
    for paulis in ("XZ", "XYZ"):
        start = SqRBM.uniform(4, 2, paulis, scale=0.1, seed=0)
        reference = train(start, target, **common).tvd
        assert reference is not None
        finals = []
        for seed in range(3):
            found = train(start, target, gradient="quantum", shots=1_000_000, seed=seed, **common)
            assert found.tvd is not None
            finals.append(found.tvd[-1])
        mean, error = float(np.mean(finals)), float(np.std(finals, ddof=1) / np.sqrt(3.0))
        text = f"training bas n=4, m=2, {paulis}, 10^6 shots: TVD {mean:.4f} +- {error:.4f}"
        away = abs(mean - float(reference[-1]))
        yield (
            f"{text}, exact {reference[-1]:.4f} (from {reference[0]:.2f}); apart by",
            away,
            max(0.01, 4.0 * error),
        )


PARTS: dict[str, Callable[[], Iterator[Line]]] = {
    "hamiltonians": hamiltonians,
    "thermal": thermal,
    "trotter": trotter,
    "moments": moments,
    "chains": chains,
    "training": training,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], metavar="PART")
    chosen = parser.parse_args().parts or list(PARTS)
    missed = 0
    for name in chosen:
        start = time.perf_counter()
        for text, value, bound in PARTS[name]():
            right = value <= bound  # nan is not
            missed += not right
            print(f"{'ok' if right else 'MISSED':6s} {text}: {value:.2g} (<= {bound:.2g})")
        print(f"       {name}: {time.perf_counter() - start:.0f} s", flush=True)
    print("all within their bounds" if not missed else f"{missed} beyond their bounds")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
