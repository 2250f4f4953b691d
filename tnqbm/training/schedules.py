"""Learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable


def schedule(
    name: str, learning_rate: float, *, decay: float, decay_steps: int, iterations: int
) -> Callable[[int], float]:
    """Learning rate as a function of the number of updates done so far.

    ``exponential``: lr * decay**(k / decay_steps), smoothly; ``step``: the same with the integer
    part of k / decay_steps; ``cosine``: from lr to lr * decay along half a cosine over all
    iterations.
    """
    if name == "constant":
        return lambda k: learning_rate
    if name == "exponential":
        return lambda k: learning_rate * decay ** (k / decay_steps)
    if name == "step":
        return lambda k: learning_rate * decay ** (k // decay_steps)
    if name == "cosine":

        def cosine(k: int) -> float:
            fraction = 0.5 * (1.0 + math.cos(math.pi * min(k, iterations) / max(1, iterations)))
            return learning_rate * (decay + (1.0 - decay) * fraction)

        return cosine
    raise ValueError(f"unknown schedule {name!r}")
