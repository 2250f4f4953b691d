"""Exact contraction of factor graphs: plan once, run for many models.

Start with :mod:`~tnqbm.networks.contraction.contraction`.
"""
