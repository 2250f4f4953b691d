"""Markov chains of one model and what they estimate: samples, log Z, likelihoods.

Imports :mod:`mc.kernels`. Start with :mod:`~mc.sampling.sample` and
:mod:`~mc.sampling.partition`.
"""
