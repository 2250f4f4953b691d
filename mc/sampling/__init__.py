"""Samples of one model, log Z and likelihoods, each with a verdict on itself.

Imports :mod:`mc.kernels`. Start with :mod:`~mc.sampling.sample` and :mod:`~mc.sampling.partition`;
:mod:`~mc.sampling.policies` and :mod:`~mc.sampling.log_z.policies` list what they can be asked for.
"""
