"""The amplitude sqrt(p~) of dense models as a matrix product state.

Start with :mod:`~tnqbm.networks.amplitude.amplitude`.
"""
