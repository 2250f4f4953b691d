"""Files that are whole or absent: write under a temporary name, sync, rename."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_counter = itertools.count()


@contextlib.contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; make it ``path`` when the body succeeds.

    On success the file is synced, renamed over ``path`` and the folder synced, so that a crash at
    any instant leaves the old file or the new one. On any failure the temporary file is removed
    and ``path`` is as it was.

    Raises OSError (FileNotFoundError, PermissionError, ...) naming ``path`` when the folder does
    not exist or cannot be written or the disk is full; FileExistsError if ``path`` exists and
    ``overwrite`` is false, or is a symbolic link, a FIFO or a device; IsADirectoryError if
    ``path`` is a folder; ValueError if it names no file.
    """
    path = check_target(path, overwrite)
    name = f".{path.name[:100]}.{_host()}-{os.getpid()}-{next(_counter)}.tmp"
    temporary = path.with_name(name)
    try:
        try:
            yield temporary
            _sync(temporary)
            if overwrite:
                os.replace(temporary, path)
            else:
                _rename_new(temporary, path)
            _sync(path.parent)
        except OSError as exc:
            raise _explained(exc, path) from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_stale(path: str | Path) -> None:
    """Remove temporary files that killed processes of this host left beside ``path``."""
    path = Path(path)
    prefix = f".{path.name[:100]}.{_host()}-"
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            match = re.fullmatch(re.escape(prefix) + r"(\d+)-\d+\.tmp", name)
            if match and not _alive(int(match[1])):
                with contextlib.suppress(OSError):
                    path.with_name(name).unlink()


def check_target(path: str | Path, overwrite: bool) -> Path:
    """The path if a file can be written there; errors as in :func:`atomic_write`.

    A symbolic link is refused, never replaced and never followed: a rename over it would leave
    the file that it points to as it was, under a name that no longer leads there.
    """
    given, path = os.fspath(path), Path(path)
    if not path.name or given.endswith(os.sep):
        raise ValueError(f"{given!r} is no name of a file to write; give one, such as results.h5")
    try:
        mode = path.lstat().st_mode
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise _explained(exc, path) from exc
        _check_folder(path)
        return path
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name")
    if stat.S_ISLNK(mode):
        raise FileExistsError(
            f"{path} is a symbolic link, which is neither replaced nor followed; name the file "
            f"that it points to ({os.readlink(path)}) or another one"
        )
    if not stat.S_ISREG(mode):
        raise FileExistsError(
            f"{path} is no regular file (it is a pipe, a socket or a device); choose another name"
        )
    if not overwrite:
        raise FileExistsError(f"{path} exists already; it is not overwritten unless asked")
    return path


def check_writable(path: Path) -> None:
    """OSError naming ``path`` if no file can be made in its folder; leaves nothing there."""
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as exc:
        raise _explained(exc, path) from exc


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.exists():
        raise FileNotFoundError(
            f"cannot write {path}: the folder {folder} does not exist; create it first"
        )
    if not folder.is_dir():
        raise NotADirectoryError(f"cannot write {path}: {folder} is not a folder")


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename without ever replacing a file that appeared in the meantime."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(errno.EEXIST, "exists already") from None
        os.replace(temporary, path)


def _explained(exc: OSError, path: Path) -> OSError:
    reasons = {
        errno.ENOSPC: "the disk is full; free some space and try again",
        errno.EDQUOT: "the disk quota is used up; free some space and try again",
        errno.EFBIG: "the file would be larger than the limit set for this process or file system",
        errno.EACCES: f"no permission to write in the folder {path.parent}",
        errno.EPERM: f"no permission to write in the folder {path.parent}",
        errno.EROFS: f"the folder {path.parent} is on a read-only file system",
        errno.EEXIST: "it exists already and is not overwritten unless asked",
        errno.ENAMETOOLONG: "the name is too long",
    }
    reason = reasons.get(exc.errno or 0, exc.strerror or str(exc))
    clear = type(exc)(f"cannot write {path}: {reason}")
    clear.errno = exc.errno
    return clear


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as exc:
        # Some file systems cannot sync a folder; a failure on the file itself is real.
        if not (path.is_dir() and exc.errno in (errno.EINVAL, errno.ENOTSUP, errno.EBADF)):
            raise
    finally:
        os.close(handle)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
