"""Parallel tempering: chains at several temperatures that swap their states.

Imports :mod:`mc.sampling.chains`. Start with :mod:`~mc.sampling.tempering.ladder`.
"""
