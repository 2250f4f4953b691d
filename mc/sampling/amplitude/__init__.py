"""Amplitude networks at work: fitted to chains, as proposals of moves, as perfect samples.

Imports :mod:`mc.sampling.chains` and :mod:`mc.sampling.tempering`. Start with
:mod:`~mc.sampling.amplitude.fit`.
"""
