"""Where downloads stand while they are read: one folder per process, gone when the process is.

A killed process cannot clean up. So each folder is locked while its process lives, and whoever makes
a new one first takes away those that nobody holds.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = f"clipmill-{os.getuid()}-reading-"
_held: dict[int, tuple[Path, int]] = {}  # by process id: a forked child makes its own


def download_folder() -> Path:
    """The folder of this process, made on the first call."""
    here = os.getpid()
    if here not in _held:
        _sweep()
        _held[here] = folder, _ = _new()
        atexit.register(_leave, here, folder)
    return _held[here][0]


def _new() -> tuple[Path, int]:
    """A folder and its lock. Another process may sweep it away before it is locked: then again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _leave(owner: int, folder: Path) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Take away the folders of this user's processes that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
