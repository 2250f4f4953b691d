"""A lock file: at most one process at a time works on an output.

The file says who holds it. A lock left behind by a process that was killed is recognised, on the
same host by the process being gone, elsewhere by the file not having been touched for a while,
and taken over.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

TOUCH_SECONDS = 15.0
STALE_SECONDS = 300.0
"""A holder on another host that has not touched its lock for this long is taken for dead."""


class OutputBusyError(RuntimeError):
    """Another process is working on the same output."""


def _state_and_start(pid: int) -> tuple[str, str]:
    """A process's state letter and start time in ticks, from /proc; empty if not known."""
    try:
        # Fields 3 and 22 of stat; the name in field 2 may hold spaces and brackets.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return words[0], words[19]
    except (OSError, IndexError):
        return "", ""


def _alive(pid: int, start: str) -> bool:
    """Whether the process that started at ``start`` still runs; its id may be another's by now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # exists, but belongs to somebody else
    state, found = _state_and_start(pid)
    # A zombie has ended, and only waits for its parent to take note.
    return found == start and state not in ("Z", "X")


@dataclass
class Lock:
    """The lock on ``path``; a context manager. Entering raises OutputBusyError if it is held."""

    path: Path
    what: str
    _content: str = field(default="", init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)

    def __enter__(self) -> Lock:
        pid = os.getpid()
        holder = {"pid": pid, "host": socket.gethostname(), "start": _state_and_start(pid)[1]}
        self._content = json.dumps(holder)
        for _ in range(5):
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._remove_stale()
                continue
            with os.fdopen(handle, "w") as file:
                file.write(self._content)
            self._ended.clear()
            threading.Thread(target=self._beat, name="lock", daemon=True).start()
            return self
        raise OutputBusyError(f"cannot lock {self.what}: other processes keep locking it")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            if self.path.read_text() == self._content:
                self.path.unlink()

    def _beat(self) -> None:
        """Show other hosts that the holder is alive, however long its kernels run."""
        while not self._ended.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def _remove_stale(self) -> None:
        """Remove the lock of a dead holder; OutputBusyError if the holder may be alive."""
        try:
            found = self.path.read_text()
            age = self._age()
        except FileNotFoundError:
            return
        try:
            holder = json.loads(found)
            pid, host, start = int(holder["pid"]), str(holder["host"]), str(holder["start"])
        except (ValueError, KeyError, TypeError):
            # Created an instant ago and not written yet, or cut short by a full disk.
            pid, host, start = 0, "", ""
        if host == socket.gethostname():
            stale = not _alive(pid, start)
        else:
            stale = age > (STALE_SECONDS if host else 5.0)
        if not stale:
            who = f"process {pid} on {host}" if host else "another process"
            advice = (
                ""
                if host == socket.gethostname()
                else (
                    f"; it was last heard of {age:.0f} s ago, and if it is dead its lock lapses "
                    f"after {STALE_SECONDS:.0f} s, or remove {self.path}"
                )
            )
            raise OutputBusyError(
                f"{self.what} is being written by {who}; wait for it, stop it, or choose another "
                f"output{advice}"
            )
        aside = self.path.with_name(f"{self.path.name}.stale-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, aside)
            if aside.read_text() != found:
                # Somebody else took the dead lock over in the meantime: give theirs back.
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            aside.unlink()

    def _age(self) -> float:
        """Seconds since the lock was touched, by the file system's own clock."""
        probe = self.path.with_name(f"{self.path.name}.probe-{os.getpid()}")
        probe.write_text("")
        try:
            return probe.stat().st_mtime - self.path.stat().st_mtime
        finally:
            probe.unlink()
