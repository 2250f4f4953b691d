"""Studies over MPI ranks: scheduling, teams, checkpoints, interruption, and the archive at the end.

Imports all of ``tnqbm`` and, of ``mc``, estimators and studies. Start with
:mod:`~mc.running.runner`, then :mod:`~mc.running.scheduler` and :mod:`~mc.running.train_task`.
"""
