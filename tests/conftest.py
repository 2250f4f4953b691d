"""What holds for all tests, and for the processes that they start."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Two test processes with BLAS threads on every core each wait for one another, spinning: small
# matrices take ten times as long. NumPy reads this when it is first imported, after this file.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# The threads of kernels, for the same reason, sleep while they wait: kernels of small models take a
# quarter of the processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_holds_one = False


@contextlib.contextmanager
def _alone(key: str) -> Iterator[None]:
    """Hold the lock of that key among the processes of this run of the tests.

    A process holds one lock at most, so that none waits for another that waits for it.
    """
    global _holds_one
    import fcntl

    if _holds_one:
        yield
        return
    run = os.environ["PYTEST_XDIST_TESTRUNUID"]
    name = hashlib.sha256(f"{run} {key}".encode()).hexdigest()
    path = Path(tempfile.gettempdir()) / f"tnqbm-compiling-{name[:16]}"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _holds_one = True
        try:
            yield
        finally:
            _holds_one = False
            path.unlink(missing_ok=True)


def _compile_once() -> None:
    """Let one of several test processes compile a kernel, and the others load what it stored."""
    from numba.core.dispatcher import Dispatcher

    compile_or_load = Dispatcher.compile

    def compile_alone(self: Any, signature: Any) -> Any:
        function = self.py_func
        key = f"{function.__code__.co_filename} {function.__qualname__} {signature}"
        with _alone(key):
            return compile_or_load(self, signature)

    Dispatcher.compile = compile_alone


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "processors: what make test-processors compiles and runs")
    if "PYTEST_XDIST_WORKER" in os.environ and os.name == "posix":
        _compile_once()
