"""The folder for downloads and drafts: one per process, deleted when the process ends.

A killed process cannot delete its folder. Therefore each process locks its folder, and a process that makes a
new folder first deletes those of the same user that are not locked.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = f"clipmill-{os.getuid()}-process-"
_folders: dict[int, tuple[Path, int]] = {}  # folder and lock by process id: a forked child makes its own


def process_folder() -> Path:
    """The folder for the temporary files of this process. The first call makes it."""
    process = os.getpid()
    if process not in _folders:
        _delete_unlocked()
        _folders[process] = folder, _ = _new_folder()
        atexit.register(_delete_own, process, folder)
    return _folders[process][0]


def _new_folder() -> tuple[Path, int]:
    """Make a folder and lock it. Tries again if another process deletes the folder before it is locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _delete_own(owner: int, folder: Path) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _delete_unlocked() -> None:
    """Delete the folders of this user's processes that have ended."""
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
