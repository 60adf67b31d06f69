"""A store at a URL that fsspec knows (s3://, gs://): files appear whole, by a conditional write.

Create-if-absent is the server's own (`If-None-Match: *` on S3, `ifGenerationMatch=0` on Google), and
a server that ignores the condition is found out before the first write. Credentials and the endpoint
come from the environment or fsspec's configuration, never from the URL.
"""

import inspect
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec

from manifests.errors import ManifestError
from manifests.identity import digest_of
from manifests.store import Store
from manifests.stores.downloads import download_folder
from manifests.stores.refusal import code_of, refusal

_PROBE = ".clipmill-create-if-absent"
_TAKEN = {"PreconditionFailed", "412"}
_BUSY = {"ConditionalRequestConflict", "OperationAborted", "409"}  # two writers at once: ask again
_TRIES = 6


class RemoteStore(Store):
    """A prefix of an object store. Give it to other processes freely: it travels as its URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if "::" in url or not parts.scheme:
            raise ManifestError(
                f"{parts.scheme or url}: a store needs one plain URL, such as s3://bucket/folder"
            )
        place = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{place}{parts.path}".rstrip("/")
        self._opened: tuple[int, Any, str] | None = None
        self._trusted = False

    def __reduce__(self) -> tuple[object, ...]:
        return RemoteStore, (self.url,)

    def create(self, name: str, data: bytes, *, lasting: bool = True) -> bool:
        files, path = self._at(name)
        with self._told(name):
            self._check_conditions()
            return _first(lambda: files.pipe_file(path, data, mode="create"))

    def adopt(self, name: str, file: Path) -> bool:
        files, path = self._at(name)
        with self._told(name):
            self._check_conditions()
            if _takes_mode(files, "put_file"):
                fresh = _first(lambda: files.put_file(str(file), path, mode="create"))
            else:
                fresh = _first(lambda: files.pipe_file(path, file.read_bytes(), mode="create"))
        file.unlink()
        return fresh

    def replace(self, name: str, data: bytes) -> None:
        files, path = self._at(name)
        with self._told(name):
            files.pipe_file(path, data)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        files, path = self._at(name)
        with self._told(name):
            if start == 0 and size is None:
                return bytes(files.cat_file(path))
            if size == 0:  # servers take an empty range for the whole file
                self.size(name)  # raises where the file is missing
                return b""
            try:
                return bytes(files.cat_file(path, start=start, end=None if size is None else start + size))
            except Exception:
                if start >= self.size(name):
                    return b""
                raise

    def exists(self, name: str) -> bool:
        files, path = self._at(name)
        with self._told(name):
            return bool(files.exists(path))

    def size(self, name: str) -> int:
        files, path = self._at(name)
        with self._told(name):
            return int(files.info(path)["size"])

    def names(self, folder: str = "") -> list[str]:
        files, path = self._at(folder)
        with self._told(folder):
            try:
                found = files.ls(path, detail=False, refresh=True)
            except (FileNotFoundError, NotADirectoryError) as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                return []
        inside = {_below(name, path) for name in found}
        return sorted(name for name in inside if name and not name.startswith("."))

    def walk(self, folder: str = "") -> Iterator[str]:
        files, path = self._at(folder)
        root = self._at("")[1]
        with self._told(folder):
            found = [_below(name, root) for name in files.find(path)]
        for parts in sorted(PurePosixPath(name).parts for name in found if name):
            if not any(part.startswith(".") for part in parts):
                yield "/".join(parts)

    def remove(self, name: str) -> None:
        files, path = self._at(name)
        with self._told(name):
            with suppress(FileNotFoundError, KeyError):
                files.rm_file(path)

    def sweep(self, folder: str) -> None:
        for name in list(self.walk(folder)):
            self.remove(name)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A download, which is taken away afterwards; what a killed process left goes with the next one."""
        files, path = self._at(name)
        folder = download_folder()
        handle, made = tempfile.mkstemp(suffix=PurePosixPath(name).suffix, dir=folder)
        os.close(handle)
        try:
            with self._told(name):
                files.get_file(path, made)
            yield Path(made)
        finally:
            Path(made).unlink(missing_ok=True)

    def scratch(self, name: str) -> Path:
        place = PurePosixPath(_inside(name, self.url))
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        here = Path(
            cache, "clipmill", digest_of(self.url, endpoint)[:20], *place.parts[:-1], f".{place.name}"
        )
        with self._told(name):
            here.mkdir(parents=True, exist_ok=True)
        return here

    def _at(self, name: str) -> tuple[Any, str]:
        """The file system of this process, and the path of `name` in it."""
        if self._opened is None or self._opened[0] != os.getpid():
            with self._told(""):
                files, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
                self._opened = os.getpid(), files, root.rstrip("/")
        _, files, root = self._opened
        inside = _inside(name, self.url)
        return files, f"{root}/{inside}" if inside else root

    def _check_conditions(self) -> None:
        """Ask once per process whether the server keeps create-if-absent.

        Raises:
            ManifestError: it let a second write of the same name through.
        """
        if self._trusted:
            return
        files, path = self._at(_PROBE)
        if not _takes_mode(files, "pipe_file"):
            raise ManifestError(
                f"{urlsplit(self.url).scheme}:// cannot create a file only where none stands",
                where=self.url,
                remedy="use a local folder, s3:// or gs://",
            )
        if all(_first(lambda: files.pipe_file(path, b"", mode="create")) for _ in range(2)):
            raise ManifestError(
                "this object store ignores create-if-absent, so two writers could mix their parts",
                where=self.url,
                remedy="use a newer server, botocore 1.35.20 or later, or a local folder",
            )
        self._trusted = True

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Errors of the library, told as ours. A missing file stays a `FileNotFoundError`."""
        try:
            yield
        except Exception as error:
            told = refusal(error, self.url, name)
            if told is error:
                raise
            raise told from error


def _first(write: Callable[[], object]) -> bool:
    """Write under a condition; say whether this call did it.

    An answer that got lost on the way back makes the library ask again, and then "taken" may mean
    "taken by my first try". The file is whole all the same.
    """
    for attempt in range(_TRIES):
        try:
            write()
            return True
        except FileExistsError:
            return False
        except OSError as error:
            if code_of(error) in _TAKEN:
                return False
            if code_of(error) not in _BUSY or attempt == _TRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError("the last try either returns or raises")


def _takes_mode(files: Any, method: str) -> bool:
    """Whether a file system has its own conditional write; fsspec's general one only looks first."""
    own = getattr(type(files), f"_{method}", None) or getattr(type(files), method)
    general = getattr(fsspec.AbstractFileSystem, method)
    return own is not general and ("mode" in inspect.signature(own).parameters)


def _below(name: str, folder: str) -> str:
    """`name` relative to `folder`, or "" if it is the folder itself."""
    here = folder.strip("/")
    return name.strip("/").removeprefix(here).strip("/")


def _inside(name: str, url: str) -> str:
    """`name` itself, if it stays inside the store."""
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise ManifestError(f"{name!r} leaves the store", where=url)
    return name.strip("/")
