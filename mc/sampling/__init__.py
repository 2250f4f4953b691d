"""Samples of one model, log Z and likelihoods, each with a verdict on itself.

Imports :mod:`mc.kernels`. Start with :mod:`~mc.sampling.sample` and :mod:`~mc.sampling.partition`;
:mod:`~mc.sampling.policies` lists what both can be asked for.
"""
