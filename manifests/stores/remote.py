"""A store at a URL that fsspec supports (s3://, gs://): files appear complete, by a conditional write.

The server implements create-if-absent (`If-None-Match: *` on S3, `ifGenerationMatch=0` on Google). A server
that ignores the condition is detected before the first write. Credentials and the endpoint come from the
environment or from fsspec's configuration, never from the URL.
"""

import inspect
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec

from manifests.errors import ManifestError
from manifests.identity import digest_of
from manifests.store import Store, StoredFile
from manifests.stores.downloads import download_folder
from manifests.stores.remote_errors import code_of, readable_error

_PROBE = ".clipmill-create-if-absent"
_EXISTS = {"PreconditionFailed", "412"}
_CONFLICT = {"ConditionalRequestConflict", "OperationAborted", "409"}  # two concurrent writers: try again
_MAX_ATTEMPTS = 6
_DELETES_AT_ONCE = 16


class RemoteStore(Store):
    """A prefix of an object store. It can be sent to other processes: its pickle holds only the URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if "::" in url or not parts.scheme:
            raise ManifestError(
                f"{parts.scheme or url}: this is not the URL of a store",
                remedy="use one plain URL, such as s3://bucket/folder",
            )
        place = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{place}{parts.path}".rstrip("/")
        self._file_system: tuple[int, Any, str] | None = None  # process id, file system, root
        self._conditions_checked = False

    def __reduce__(self) -> tuple[object, ...]:
        return RemoteStore, (self.url,)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        files, path = self._at(name)
        with self._readable_errors(name):
            self._check_conditions()
            return _create(lambda: files.pipe_file(path, data, mode="create"))

    def move_in(self, name: str, file: Path) -> bool:
        files, path = self._at(name)
        with self._readable_errors(name):
            self._check_conditions()
            if _supports_mode(files, "put_file"):
                created = _create(lambda: files.put_file(str(file), path, mode="create"))
            else:
                created = _create(lambda: files.pipe_file(path, file.read_bytes(), mode="create"))
        file.unlink()
        return created

    def link(self, name: str, existing: str) -> bool:
        files, path = self._at(name)
        with self._readable_errors(existing):
            if files.exists(path):
                return False
            files.cp_file(self._at(existing)[1], path)
        return True

    def replace(self, name: str, data: bytes) -> None:
        files, path = self._at(name)
        with self._readable_errors(name):
            files.pipe_file(path, data)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        files, path = self._at(name)
        with self._readable_errors(name):
            if start == 0 and size is None:
                return bytes(files.cat_file(path))
            if size == 0:  # servers return the whole file for an empty range
                self.size(name)  # raises if the file is missing
                return b""
            try:
                return bytes(files.cat_file(path, start=start, end=None if size is None else start + size))
            except Exception:
                if start >= self.size(name):
                    return b""
                raise

    def exists(self, name: str) -> bool:
        files, path = self._at(name)
        with self._readable_errors(name):
            return bool(files.exists(path))

    def size(self, name: str) -> int:
        files, path = self._at(name)
        with self._readable_errors(name):
            return int(files.info(path)["size"])

    def names(self, folder: str = "") -> list[str]:
        files, path = self._at(folder)
        with self._readable_errors(folder):
            try:
                listing = files.ls(path, detail=False, refresh=True)
            except (FileNotFoundError, NotADirectoryError) as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                return []
        inside = {_relative(name, path) for name in listing}
        return sorted(name for name in inside if name and not name.startswith("."))

    def walk(self, folder: str = "") -> Iterator[str]:
        files, path = self._at(folder)
        root = self._at("")[1]
        with self._readable_errors(folder):
            names = [_relative(name, root) for name in files.find(path)]
        for parts in sorted(PurePosixPath(name).parts for name in names if name):
            if not any(part.startswith(".") for part in parts):
                yield "/".join(parts)

    def files(self, folder: str = "") -> list[StoredFile]:
        files, path = self._at(folder)
        root = self._at("")[1]
        with self._readable_errors(folder):
            listing = files.find(path, detail=True)
        named = ((_relative(name, root), int(file["size"])) for name, file in listing.items())
        return [StoredFile(name, size, name) for name, size in sorted(named) if name]

    def remove(self, name: str) -> None:
        files, path = self._at(name)
        with self._readable_errors(name):
            with suppress(FileNotFoundError, KeyError):
                files.rm_file(path)

    def remove_all(self, names: Iterable[str]) -> None:
        with ThreadPoolExecutor(_DELETES_AT_ONCE) as pool:
            for _ in pool.map(self.remove, names):
                pass

    def remove_folder(self, folder: str) -> None:
        self.remove_all([file.name for file in self.files(folder)])
        scratch = self.scratch(f"{folder}/any", create=False).parent  # in a local store it is in the folder
        shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Download a file and delete it after use. The next process deletes the downloads of a killed one."""
        files, path = self._at(name)
        folder = download_folder()
        handle, download = tempfile.mkstemp(suffix=PurePosixPath(name).suffix, dir=folder)
        os.close(handle)
        try:
            with self._readable_errors(name):
                files.get_file(path, download)
            yield Path(download)
        finally:
            Path(download).unlink(missing_ok=True)

    def scratch(self, name: str, *, create: bool = True) -> Path:
        place = PurePosixPath(_inside(name, self.url))
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        here = Path(
            cache, "clipmill", digest_of(self.url, endpoint)[:20], *place.parts[:-1], f".{place.name}"
        )
        if create:
            with self._readable_errors(name):
                here.mkdir(parents=True, exist_ok=True)
        return here

    def _at(self, name: str) -> tuple[Any, str]:
        """The file system of this process, and the path of `name` in it."""
        if self._file_system is None or self._file_system[0] != os.getpid():
            with self._readable_errors(""):
                files, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
                self._file_system = os.getpid(), files, root.rstrip("/")
        _, files, root = self._file_system
        inside = _inside(name, self.url)
        return files, f"{root}/{inside}" if inside else root

    def _check_conditions(self) -> None:
        """Check once per process that the server implements create-if-absent.

        Raises:
            ManifestError: the server accepted a second write of the same name.
        """
        if self._conditions_checked:
            return
        files, path = self._at(_PROBE)
        if not _supports_mode(files, "pipe_file"):
            raise ManifestError(
                f"{urlsplit(self.url).scheme}:// does not support create-if-absent",
                where=self.url,
                remedy="use a local folder, s3:// or gs://",
            )
        if all(_create(lambda: files.pipe_file(path, b"", mode="create")) for _ in range(2)):
            raise ManifestError(
                "this object store ignores create-if-absent, so two writers could mix their parts",
                where=self.url,
                remedy="use a newer server, botocore 1.35.20 or later, or a local folder",
            )
        self._conditions_checked = True

    @contextmanager
    def _readable_errors(self, name: str) -> Iterator[None]:
        """Convert errors of the library to errors for users. A missing file stays a `FileNotFoundError`."""
        try:
            yield
        except Exception as error:
            readable = readable_error(error, self.url, name)
            if readable is error:
                raise
            raise readable from error


def _create(write: Callable[[], object]) -> bool:
    """Run a conditional write. Returns whether this call wrote the file.

    If the response of a successful write is lost, the library repeats the request, and the result is False
    although this call wrote the file. The file is complete in any case.
    """
    for attempt in range(_MAX_ATTEMPTS):
        try:
            write()
            return True
        except FileExistsError:
            return False
        except OSError as error:
            if code_of(error) in _EXISTS:
                return False
            if code_of(error) not in _CONFLICT or attempt == _MAX_ATTEMPTS - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError("the last attempt either returns or raises")


def _supports_mode(files: Any, method: str) -> bool:
    """Whether a file system has its own conditional write. The generic one of fsspec is not atomic."""
    own = getattr(type(files), f"_{method}", None) or getattr(type(files), method)
    general = getattr(fsspec.AbstractFileSystem, method)
    return own is not general and ("mode" in inspect.signature(own).parameters)


def _relative(name: str, folder: str) -> str:
    """`name` relative to `folder`, or "" if it is the folder itself."""
    return name.strip("/").removeprefix(folder.strip("/")).strip("/")


def _inside(name: str, url: str) -> str:
    """Return `name` if it stays inside the store.

    Raises:
        ManifestError: the name is absolute or contains "..".
    """
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise ManifestError(
            f"{name!r} leaves the store", where=url, remedy="use a relative path without `..`"
        )
    return name.strip("/")
