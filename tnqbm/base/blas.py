"""BLAS in one thread, where results must not depend on how many there are."""

from __future__ import annotations

from functools import cache
from typing import Any


def one_thread() -> Any:
    """A context in which BLAS runs in one thread."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> Any:
    """The BLAS libraries of this process, looked up once: that takes milliseconds."""
    import scipy.linalg  # noqa: F401  (loads its own BLAS)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
