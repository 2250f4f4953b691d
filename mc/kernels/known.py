"""States that are known: which chains are in one of them, and densities of states near them."""

from __future__ import annotations

import math

import numpy as np

from tnqbm.kernels.fields import OPTIONS
from tnqbm.kernels.parallel import njit

_PRIME = np.uint64(1099511628211)
_START = np.uint64(14695981039346656037)


@njit(**OPTIONS)
def _hash(state):
    """FNV-1a of the bits of a state."""
    found = _START
    for i in range(state.shape[0]):
        found = (found ^ np.uint64(state[i])) * _PRIME
    return found


@njit(**OPTIONS)
def hashes(states, out):
    """A number (K,) for each of the states (K, n), equal for equal ones."""
    for k in range(states.shape[0]):
        out[k] = _hash(states[k])


@njit(**OPTIONS)
def among(states, known, numbers, order, out):
    """out (C,): whether states (C, n) are among ``known`` (K, n).

    ``numbers`` (K,) are the sorted :func:`hashes` of these, and ``order`` (K,) their places.
    """
    n = states.shape[1]
    for c in range(states.shape[0]):
        own = _hash(states[c])
        place = np.searchsorted(numbers, own)
        found = False
        while not found and place < numbers.shape[0] and numbers[place] == own:
            found, k = True, order[place]
            for i in range(n):
                if states[c, i] != known[k, i]:
                    found = False
                    break
            place += 1
        out[c] = found


@njit(**OPTIONS)
def log_mixture(states, constants, slopes, terms, out):
    """Log densities (C,) of an equal mixture of products of independent bits.

    Component k gives the state v the log density constants[k] + sum_i v_i slopes[i, k]; ``slopes``
    are (n, K), and ``terms`` (K,) are work space.
    """
    count = constants.shape[0]
    for c in range(states.shape[0]):
        for k in range(count):
            terms[k] = constants[k]
        for i in range(states.shape[1]):
            if states[c, i]:
                for k in range(count):
                    terms[k] += slopes[i, k]
        top = -math.inf
        for k in range(count):
            top = max(top, terms[k])
        total = 0.0
        for k in range(count):
            if terms[k] > top - 40.0:
                total += math.exp(terms[k] - top)
        out[c] = top + math.log(total / count)
