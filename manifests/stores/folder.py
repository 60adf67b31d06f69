"""A store in a local folder: files appear complete, by `link`, and the first writer of a name wins."""

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from manifests.errors import ManifestError, unusable_store_error
from manifests.store import Store, StoredFile


class FolderStore(Store):
    """A folder of this machine, or a folder that all workers mount at the same path."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(os.path.abspath(os.path.expanduser(root)))
        self.url = str(self.root)

    def __reduce__(self) -> tuple[object, ...]:
        return FolderStore, (self.url,)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        target = self._path(name)
        if target.exists():
            return False
        with self._readable_errors(name):
            temporary = self._temporary(target)
            try:
                with temporary.open("wb") as stream:
                    stream.write(data)
                    if durable:
                        stream.flush()
                        os.fsync(stream.fileno())
                return self._counted(_link(temporary, target, durable), len(data))
            finally:
                temporary.unlink(missing_ok=True)

    def persist(self, names: Sequence[str]) -> None:
        if names:
            os.sync()  # one wait for the disk instead of one per file

    def remove_truncated(self, name: str, size_bytes: int) -> None:
        path = self._path(name)
        with suppress(FileNotFoundError):
            if path.stat().st_size != size_bytes:
                path.unlink()

    def move_in(self, name: str, file: Path, *, durable: bool = True) -> bool:
        target = self._path(name)
        if target.exists():
            file.unlink()
            return False
        with self._readable_errors(name):
            temporary = self._temporary(target)
            try:
                shutil.move(file, temporary)
                if durable:
                    with temporary.open("rb+") as stream:
                        os.fsync(stream.fileno())
                return self._counted(_link(temporary, target, durable), temporary.stat().st_size)
            finally:
                temporary.unlink(missing_ok=True)

    def link(self, name: str, existing: str) -> bool:
        target = self._path(name)
        with self._readable_errors(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            return _link(self._path(existing), target)

    def replace(self, name: str, data: bytes) -> None:
        target = self._path(name)
        with self._readable_errors(name):
            temporary = self._temporary(target)
            try:
                temporary.write_bytes(data)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def replace_if(self, name: str, expected: bytes, data: bytes) -> bool:
        with self._locked():
            return super().replace_if(name, expected, data)

    def append(self, name: str, data: bytes) -> bool:
        target = self._path(name)
        with self._readable_errors(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab", buffering=0) as stream:
                stream.write(data)
        return True

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        with self._path(name).open("rb") as stream:
            stream.seek(start)
            return stream.read(-1 if size is None else size)

    def _counted(self, created: bool, size_bytes: int) -> bool:
        """Count the bytes of a file if it was created, and return whether it was."""
        self.bytes_written += size_bytes if created else 0
        return created

    def exists(self, name: str) -> bool:
        return self._path(name).exists()

    def size(self, name: str) -> int:
        return self._path(name).stat().st_size

    def age_s(self, name: str) -> float:
        return time.time() - self._path(name).stat().st_mtime

    def names(self, folder: str = "") -> list[str]:
        try:
            return sorted(n for n in os.listdir(self._path(folder)) if not n.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self, folder: str = "") -> Iterator[str]:
        for here, folders, files in os.walk(self._path(folder)):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in sorted(files):
                if not file.startswith("."):
                    yield Path(here, file).relative_to(self.root).as_posix()

    def files(self, folder: str = "") -> list[StoredFile]:
        found = []
        for here, _, files in os.walk(self._path(folder)):
            for file in files:
                path = Path(here, file)
                try:
                    status = path.lstat()
                except FileNotFoundError:
                    continue  # deleted since it was listed
                name = path.relative_to(self.root).as_posix()
                content = f"{status.st_dev}:{status.st_ino}"
                found.append(StoredFile(name, status.st_size, content, status.st_nlink))
        return sorted(found, key=lambda file: file.name)

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        shutil.rmtree(self._path(folder), ignore_errors=True)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = self._path(name)
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        yield path

    def scratch(self, name: str, *, create: bool = True) -> Path:
        path = self._path(name).parent / f".{Path(name).name}"
        if create:
            with self._readable_errors(name):
                path.mkdir(parents=True, exist_ok=True)
        return path

    def _path(self, name: str) -> Path:
        if ".." not in name and not name.startswith("/"):  # the common case, and a fast test
            return self.root / name
        path = (self.root / name).resolve() if ".." in Path(name).parts else self.root / name
        if not path.is_relative_to(self.root):
            raise ManifestError(
                f"{name!r} leaves the store", where=self.url, remedy="use a relative path without `..`"
            )
        return path

    def _temporary(self, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".{uuid.uuid4().hex}.tmp")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a lock on the folder. A file system without locks for folders (NFS) goes without."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            with suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _readable_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and self.root.is_dir():
                raise
            raise unusable_store_error(error, str(self.root / name)) from error


def _link(temporary: Path, target: Path, durable: bool = True) -> bool:
    """Give a finished file its name unless the name exists. Syncs the folder if the file must be durable."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    if not durable:
        return True
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
