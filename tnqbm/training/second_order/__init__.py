"""Trainers that use the curvature: natural gradients and the em algorithm.

:class:`tnqbm.training.second_order.scores.Scores` is what both rest on, the score functions of a
model over weighted visible states and the metrics made of them;
:mod:`~tnqbm.training.second_order.solvers` solves with a metric;
:class:`~tnqbm.training.second_order.natural.NaturalGradient` and
:class:`~tnqbm.training.second_order.em.EmAlgorithm` are the optimizers "natural" and "em" of
training.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
