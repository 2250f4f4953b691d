"""States that are known: which chains are in one of them, and offers of states near them."""

from __future__ import annotations

import math

import numpy as np

from tnqbm.kernels.parallel import OPTIONS, njit

NEGLIGIBLE = 40.0
"""A term is left out of a sum where the logarithm of the largest one is larger by more."""


@njit(**OPTIONS)
def _hash(state, words):
    """The sum of the ``words`` (n,) of a state's ones."""
    found = np.uint64(0)
    for i in range(state.shape[0]):
        found += words[i] * np.uint64(state[i])
    return found


@njit(**OPTIONS)
def hashes(states, words, out):
    """A number (K,) for each of the states (K, n), equal for equal ones; ``words`` (n,) random."""
    for k in range(states.shape[0]):
        out[k] = _hash(states[k], words)


@njit(**OPTIONS)
def among(states, known, words, numbers, order, out):
    """out (C,): whether states (C, n) are among ``known`` (K, n).

    ``numbers`` (K,) are the sorted :func:`hashes` of these, and ``order`` (K,) their places.
    """
    n = states.shape[1]
    for c in range(states.shape[0]):
        own = _hash(states[c], words)
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
def log_mixture(state, constants, slopes, terms):
    """Log density of a state under a mixture of products of independent bits.

    Component k gives it the log density ``constants[k]`` + sum_i v_i ``slopes[i, k]``, its share
    included; ``terms`` (K,) are work space.
    """
    count = constants.shape[0]
    for k in range(count):
        terms[k] = constants[k]
    for i in range(state.shape[0]):
        if state[i]:
            for k in range(count):
                terms[k] += slopes[i, k]
    top = -math.inf
    for k in range(count):
        top = max(top, terms[k])
    total = 0.0
    for k in range(count):
        if terms[k] > top - NEGLIGIBLE:
            total += math.exp(terms[k] - top)
    return top + math.log(total)


@njit(**OPTIONS)
def offers(old, centres, anew, mean, edges, constants, slopes, draws, new, gains):
    """States (C, n) offered to chains in the states ``old`` (C, n), and log q(old) - log q(new).

    q is a mixture of K components. ``edges`` (K,) are the running sums of their shares; component k
    takes the row ``centres[k]`` of (K, n), draws each bit anew with probability ``anew[k]``, and
    this one is then 1 with probability ``mean`` (n,). Its log density is ``constants[k]`` + sum_i
    v_i ``slopes[i, k]``. ``draws`` (C, n + 1) are uniform; the last one chooses the component.
    """
    n = old.shape[1]
    terms = np.empty(edges.shape[0])
    for c in range(old.shape[0]):
        k = min(np.searchsorted(edges, draws[c, n], side="right"), edges.shape[0] - 1)
        for i in range(n):
            u = draws[c, i]
            new[c, i] = u < anew[k] * mean[i] if u < anew[k] else centres[k, i]
        before = log_mixture(old[c], constants, slopes, terms)
        gains[c] = before - log_mixture(new[c], constants, slopes, terms)
