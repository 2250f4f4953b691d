"""Exact contraction of factor graphs: planned once, run for many models by one of two engines.

Start with :mod:`~tnqbm.networks.contraction.contraction`.
"""
