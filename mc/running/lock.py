"""A lock file: at most one process at a time works on an output.

The file says who holds it. A lock left behind by a process that was killed is taken over: on the
same host when the process has ended, elsewhere when the file has not been touched for a while. A
lock file that is removed while it is held is put back; where another process has taken the lock
meanwhile, the holder learns that it has lost it. On one host such a process is refused all the
same, because the holder also locks the folder as long as it lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from mc.running.liveness import alive, state_and_start

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TOUCH_SECONDS = 15.0
STALE_SECONDS = 300.0
"""A holder on another host that has not touched its lock for this long is taken for dead."""

ENDING_SECONDS = 2.0
"""How long a process of this machine may take to go once the folder is no longer locked by it."""


class OutputBusyError(RuntimeError):
    """Another process is working on the same output."""


def _busy(what: str, who: str) -> str:
    return f"{what} is being written by {who}; wait for it, stop it, or choose another output"


@dataclass
class Lock:
    """The lock on ``path``; a context manager. Entering raises OutputBusyError if it is held.

    ``folder``, if given, is the folder that only the holder works in. It is created if needed, and
    locked as well where its file system can lock folders.
    """

    path: Path
    what: str
    folder: Path | None = None
    lost: str = field(default="", init=False)
    """Why the lock is no longer held; empty while it is."""
    _content: str = field(default="", init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _looking: threading.Lock = field(default_factory=threading.Lock, init=False)
    _descriptor: int = field(default=-1, init=False)

    def __enter__(self) -> Lock:
        pid = os.getpid()
        holder = {"pid": pid, "host": socket.gethostname(), "start": state_and_start(pid)[1]}
        self._content, self.lost = json.dumps(holder), ""
        for _ in range(5):
            self._lock_folder()
            try:
                if self._create():
                    self._ended.clear()
                    threading.Thread(target=self._beat, name="lock", daemon=True).start()
                    return self
                self._remove_stale()
            except FileNotFoundError:
                pass  # its last user has just removed the folder
            except BaseException:
                self._unlock_folder()
                raise
            self._unlock_folder()
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
        self._unlock_folder()

    def held(self) -> bool:
        """Whether the lock is still held; if its file was removed it is put back."""
        with self._looking:
            if not self.lost:
                # A file system that does not answer right now says nothing about the lock.
                with contextlib.suppress(OSError):
                    self.lost = self._loss()
            return not self.lost

    def _loss(self) -> str:
        """Why the lock is lost, or an empty text. Touches its file."""
        if self._descriptor >= 0 and not self._same_folder():
            return f"the folder {self.folder} was removed"
        try:
            if self.path.read_text() == self._content:
                # Shows other hosts that the holder is alive, however long its kernels run.
                os.utime(self.path)
                return ""
        except FileNotFoundError:
            try:
                if self._create():
                    return ""
            except FileNotFoundError:
                return f"the folder {self.path.parent} was removed"
        return f"its lock {self.path} was removed, and another process has taken it"

    def _create(self) -> bool:
        """Make the lock file; False if there is one."""
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as file:
            file.write(self._content)
        return True

    def _beat(self) -> None:
        while not self._ended.wait(TOUCH_SECONDS) and self.held():
            pass

    def _lock_folder(self) -> None:
        """Lock the folder for as long as this process lives; OutputBusyError if another does."""
        if self.folder is None:
            return
        self.folder.mkdir(exist_ok=True)
        if fcntl is None:
            return
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            self._refuse_while_locked()
        except OSError:
            os.close(descriptor)  # network file systems lock no folders: the file must do
        else:
            self._descriptor = descriptor

    def _unlock_folder(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _same_folder(self) -> bool:
        assert self.folder is not None
        try:
            now = os.stat(self.folder)
        except FileNotFoundError:
            return False
        own = os.fstat(self._descriptor)
        return (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)

    def _refuse_while_locked(self) -> None:
        """OutputBusyError that names the holder of the folder's lock, if its file still does."""
        try:
            holder = json.loads(self.path.read_text())
            who = f"process {int(holder['pid'])} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process on this machine, whose lock file was removed"
        raise OutputBusyError(_busy(self.what, who))

    def _remove_stale(self) -> None:
        """Remove the lock of a dead holder; OutputBusyError if the holder may be alive."""
        try:
            content = self.path.read_text()
            age = self._age()
        except FileNotFoundError:
            return
        try:
            holder = json.loads(content)
            pid, host, start = int(holder["pid"]), str(holder["host"]), str(holder["start"])
        except (ValueError, KeyError, TypeError):
            # Created an instant ago and not written yet, or cut short by a full disk.
            pid, host, start = 0, "", ""
        if host == socket.gethostname():
            stale = self._ended_by_now(pid, start)
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
            raise OutputBusyError(_busy(self.what, who) + advice)
        aside = self.path.with_name(f"{self.path.name}.stale-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, aside)
            if aside.read_text() != content:
                # Somebody else took the dead lock over in the meantime: give theirs back.
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            aside.unlink()

    def _ended_by_now(self, pid: int, start: str) -> bool:
        """Whether a holder on this machine has ended: it unlocks the folder before it is gone."""
        patience = ENDING_SECONDS if self._descriptor >= 0 else 0.0
        until = time.monotonic() + patience
        while alive(pid, start):
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        return True

    def _age(self) -> float:
        """Seconds since the lock was touched, by the file system's own clock."""
        probe = self.path.with_name(f"{self.path.name}.probe-{os.getpid()}")
        probe.write_text("")
        try:
            return probe.stat().st_mtime - self.path.stat().st_mtime
        finally:
            probe.unlink()
