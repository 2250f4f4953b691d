"""Compiled kernels: flat typed arrays and scalars, no files, settings or classes.

Imports :mod:`tnqbm.base` and :mod:`tnqbm.core`. Start with :mod:`~tnqbm.kernels.simd`, the vectors
that the others are written with.
"""
