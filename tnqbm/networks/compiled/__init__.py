"""The compiled engine: instructions, where tensors stand in memory, and perfect samples.

docs/compiled-contraction.md explains it. Start with :mod:`~tnqbm.networks.compiled.engine`.
"""
