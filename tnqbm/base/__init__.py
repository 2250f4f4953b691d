"""What everything rests on: errors, arguments and limits, memory, text, the surroundings.

Imports nothing of this package but its own modules. Start with :mod:`~tnqbm.base.errors` and
:mod:`~tnqbm.base.arguments`.
"""
