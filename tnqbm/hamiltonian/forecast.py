"""What evaluating a sum of Pauli strings takes, and the refusal of what will not fit."""

from __future__ import annotations

from tnqbm.base.forecast import Forecast, nanoseconds
from tnqbm.base.limits import available_bytes

CHUNK_BYTES = 1 << 26
"""Size of the blocks of visible states that are worked on together."""

KEPT_BYTES = 1 << 27
"""Largest set of conditional or eigenstates that a Hamiltonian keeps for the next question."""

MAX_SECONDS = 86400.0
"""Longest evaluation that is begun, by its forecast on one core."""

_LARGEST = 150  # qubits of each layer, for powers that stay finite
NS = nanoseconds("hamiltonian")


def chunk_size(n_visible: int, m: int, itemsize: int) -> int:
    """Visible states whose blocks are worked on together, a power of two.

    It depends on sizes alone, never on the machine: sums over chunks must not.
    """
    count = 1
    while count < 1 << n_visible and 2 * count * itemsize * 4**m <= CHUNK_BYTES:
        count *= 2
    return count


def forecast(
    n_visible: int, n_qubits: int, n_flips: int, *, semi_quantum: bool, diagonal: bool, real: bool
) -> Forecast:
    """Time and memory of one gradient with everything it needs.

    ``n_flips`` is the number of different sets of qubits that the strings flip.
    """
    n, q = min(n_visible, _LARGEST), min(n_qubits, 2 * _LARGEST)
    m, itemsize = q - n, 8 if real else 16
    block = itemsize * 4.0**m
    chunk = max(min(2.0**n * block, CHUNK_BYTES), block)
    sums = 1e-9 * (1 + n_flips) * 2.0**q * q * NS["flip"]
    if diagonal:
        method, note = "diagonal", f"2**{n_qubits} energies, no matrices"
        size = 64.0 * 2.0**n + 6.0 * chunk
        seconds = sums + 1e-9 * 2.0**n * (NS["state"] + 4.0**m * NS["energy"])
    elif semi_quantum:
        method, note = "blocks", f"2**{n_visible} blocks of dimension 2**{n_qubits - n_visible}"
        kept = 2.0**n * block
        size = 64.0 * 2.0**n + 6.0 * chunk + (kept if kept <= KEPT_BYTES else 0.0)
        seconds = sums + 2.0**n * (1e-9 * NS["block"] + _eigen_seconds(m, real))
    else:
        method, note = "dense", f"one matrix of dimension 2**{n_qubits}"
        size = 6.0 * itemsize * 4.0**q
        seconds = sums + _eigen_seconds(q, real)
    free = available_bytes()
    fits = seconds <= MAX_SECONDS and (free is None or size <= free)
    return Forecast(method, seconds, size, fits, note)


def _eigen_seconds(qubits: int, real: bool) -> float:
    kind = 0 if real else 1
    return float(1e-9 * (4.0**qubits * NS["entry"][kind] + 8.0**qubits * NS["eigen"][kind]))


def refuse_unless_it_fits(cost: Forecast) -> None:
    """MemoryError or ValueError with the forecast, and with what to do, unless it fits."""
    advice = (
        "Use fewer qubits, or Z and I alone on the visible units, which needs blocks of the hidden "
        "qubits only; for an sqRBM use tnqbm.exact, whose cost does not grow with 2**m, or Monte "
        "Carlo (mc)"
    )
    if cost.seconds > MAX_SECONDS:
        raise ValueError(
            f"exact evaluation ({cost.note}) would take about {_hours(cost.seconds)} on one core "
            f"and {_gigabytes(cost.bytes)}; the limit is {MAX_SECONDS / 3600:.0f} h. {advice}"
        )
    free = available_bytes()
    if free is not None and cost.bytes > free:
        raise MemoryError(
            f"exact evaluation ({cost.note}) needs about {_gigabytes(cost.bytes)}, "
            f"{_gigabytes(free)} are free. {advice}"
        )


def _hours(seconds: float) -> str:
    hours = seconds / 3600.0
    return f"{hours:.0f} h" if hours < 1e5 else f"{hours / 8766.0:.1g} years"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g} GB"
