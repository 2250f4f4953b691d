"""Estimates of log Z, and what is known of a model apart from them: bounds and modes.

Imports the other folders of :mod:`mc.sampling`. Start with :mod:`~mc.sampling.log_z.estimate`.
"""
