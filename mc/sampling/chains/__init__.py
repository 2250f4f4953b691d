"""Markov chains of one model: where they start, how they move, pilot runs, whether they mixed.

Imports :mod:`mc.kernels` and :mod:`~mc.sampling.amplitude.moves`. Start with
:mod:`~mc.sampling.chains.moving`.
"""
