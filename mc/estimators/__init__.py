"""Estimators of gradients that rest on chains: cd, pcd, tempered, trajectory, weighted, tensor.

Imports :mod:`mc.kernels` and :mod:`mc.sampling`. Start with :mod:`~mc.estimators.settings`, which
lists them.
"""
