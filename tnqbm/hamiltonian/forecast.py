"""What evaluating sums of Pauli strings takes, and the refusal of what will not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.forecast import Forecast, nanoseconds
from tnqbm.base.limits import available_bytes

if TYPE_CHECKING:
    from tnqbm.hamiltonian.layout import GroupLayout

CHUNK_BYTES = 1 << 26
"""Size of the blocks of visible states that are worked on together."""

KEPT_BYTES = 1 << 27
"""Largest set of conditional or eigenstates that a Hamiltonian keeps for the next question."""

MAX_SECONDS = 86400.0
"""Longest evaluation that is begun, by its forecast on one core."""

_LARGEST = 150  # qubits of each layer, for powers that stay finite
_LANES = 8  # vectors that are worked on together
_FLIPS = str.maketrans("IXYZ", "0110")
NS = nanoseconds("hamiltonian")

DENSE_ADVICE = (
    "Use fewer qubits, or Z and I alone on the visible units, which needs blocks of the hidden "
    "qubits only; for an sqRBM use tnqbm.exact, whose cost does not grow with 2**m, or Monte "
    "Carlo (mc); tnqbm.hamiltonian.TypicalGibbs estimates up to some twenty qubits"
)
TYPICAL_ADVICE = "Use fewer qubits, or fewer vectors, subspace and hidden_vectors"


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


class GroupWork(NamedTuple):
    """Nanoseconds of one core that an sqBM of small hidden groups takes for one visible state.

    ``weight`` is its log weight, ``averages`` those of all terms, and ``sweep`` a collapsed sweep
    of a chain.
    """

    weight: float
    averages: float
    sweep: float


def group_work(layout: GroupLayout) -> GroupWork:
    """What models of a layout take."""
    times, kind = nanoseconds("groups"), layout.n_paulis - 1
    lengths = np.array([len(group) for group in layout.groups], np.int64)
    trace = np.array(times["trace"][kind])[lengths - 1]
    state = np.array(times["state"][kind])[lengths - 1]
    fields = times["field"] * layout.n * layout.fields
    flips = trace[layout.network.links].sum()
    return GroupWork(
        float(fields + trace.sum()), float(2.0 * fields + state.sum()), float(fields + flips)
    )


def _eigen_seconds(qubits: int, real: bool) -> float:
    kind = 0 if real else 1
    return float(1e-9 * (4.0**qubits * NS["entry"][kind] + 8.0**qubits * NS["eigen"][kind]))


def refuse_unless_it_fits(
    cost: Forecast, what: str = "exact evaluation", advice: str = DENSE_ADVICE
) -> None:
    """MemoryError or ValueError with the forecast, and with what to do, unless it fits."""
    if cost.seconds > MAX_SECONDS:
        raise ValueError(
            f"{what} ({cost.note}) would take about {_hours(cost.seconds)} on one core "
            f"and {_gigabytes(cost.bytes)}; the limit is {MAX_SECONDS / 3600:.0f} h. {advice}"
        )
    free = available_bytes()
    if free is not None and cost.bytes > free:
        raise MemoryError(
            f"{what} ({cost.note}) needs about {_gigabytes(cost.bytes)}, "
            f"{_gigabytes(free)} are free. {advice}"
        )


def _hours(seconds: float) -> str:
    hours = seconds / 3600.0
    return f"{hours:.0f} h" if hours < 1e5 else f"{hours / 8766.0:.1g} years"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g} GB"


def typical_forecast(
    coefficients: NDArray[np.float64], terms: Sequence[str], q: int, traces: int, rows: int
) -> Forecast:
    """Time and memory of one gradient by random vectors.

    ``traces`` vectors evolve for traces over all states, ``rows`` for rows of data.
    """
    n_flips = len({term.translate(_FLIPS) for term in terms})
    parts = 1 if all(term.count("Y") % 2 == 0 for term in terms) else 2
    # Energies of many qubits are nearly normal, with this standard deviation.
    spread = float(np.sqrt((coefficients**2).sum()))
    width = min(float(np.abs(coefficients).sum()), spread * math.sqrt(2.0 * q * math.log(2.0)))
    each = 8.0 * parts * 2.0 ** min(q, 2 * _LARGEST)
    short, long = (20.0 + 4.0 * math.sqrt(t * width) + 0.3 * t * width for t in (0.5, 1.0))
    applied = (24.0 * _LANES) + (traces + _LANES) * (short + 3.0) + rows * (long + 15.0)
    seconds = 1e-9 * applied * each / 8.0 * (n_flips * NS["string"] + NS["vector"])
    kept = traces + 17.0 * _LANES
    free = available_bytes()
    size = each * kept
    fits = seconds <= MAX_SECONDS and (free is None or size <= free)
    note = f"{traces} vectors of 2**{q} for traces and {rows} for data"
    return Forecast("typicality", seconds, size, fits, note)
