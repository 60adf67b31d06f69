"""A store at a URL that fsspec supports (s3://, gs://): files appear complete, by a conditional write.

The server implements create-if-absent (`If-None-Match: *` on S3, `ifGenerationMatch=0` on Google). A server
that ignores the condition is detected before the first write. Credentials and the endpoint come from the
environment or from fsspec's configuration, never from the URL. A server that does not answer is waited for
(`outage`).
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from manifests.errors import ManifestError, StoreUnavailable
from manifests.identity import digest_of
from manifests.store import Store, StoredFile
from manifests.stores.conditional import NewFile, is_created_twice, replace_if_unchanged, supports_mode
from manifests.stores.file_systems import file_exists, open_file_system, seconds_since_written
from manifests.stores.outage import Kind, store_patience_s, wait_for_answer
from manifests.stores.process_folder import process_folder
from manifests.stores.remote_errors import code_of, no_answer_reason, readable_error

_PROBE = ".clipmill-create-if-absent"
_DELETES_AT_ONCE = 16
_RANGE_BYTES = 16 << 20
T = TypeVar("T")


class RemoteStore(Store):
    """A prefix of an object store. It can be sent to other processes: its pickle holds only the URL."""

    def __init__(self, url: str, patience_s: float | None = None) -> None:
        """`patience_s`: how long a server that does not answer is waited for; None: as `store_patience_s`."""
        parts = urlsplit(url)
        if "::" in url or not parts.scheme:
            raise ManifestError(
                f"{parts.scheme or url}: this is not the URL of a store",
                remedy="use one plain URL, such as s3://bucket/folder",
            )
        place = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{place}{parts.path}".rstrip("/")
        self.patience_s = store_patience_s() if patience_s is None else patience_s
        self._file_system: tuple[int, Any, str] | None = None  # process id, file system, root
        self._conditions_checked = False

    def __reduce__(self) -> tuple[object, ...]:
        return RemoteStore, (self.url, self.patience_s)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        files, path = self._at(name)
        created = self._create(name, lambda **options: files.pipe_file(path, data, mode="create", **options))
        self.bytes_written += len(data) if created else 0
        return created

    def move_in(self, name: str, file: Path, *, durable: bool = True) -> bool:
        files, path = self._at(name)
        if supports_mode(files, "put_file"):
            created = self._create(
                name, lambda **options: files.put_file(str(file), path, mode="create", **options)
            )
            self.bytes_written += file.stat().st_size if created else 0
        else:
            created = self.create(name, file.read_bytes())
        file.unlink()
        return created

    def link(self, name: str, existing: str) -> bool:
        files, path = self._at(name)
        if self.exists(name):
            return False
        self._call(existing, "write", lambda: files.cp_file(self._at(existing)[1], path))
        return True

    def replace(self, name: str, data: bytes) -> None:
        files, path = self._at(name)
        self._call(name, "write", lambda: files.pipe_file(path, data))

    def replace_if(self, name: str, expected: bytes, data: bytes) -> bool:
        files, path = self._at(name)
        return self._call(name, "write", lambda: replace_if_unchanged(files, path, expected, data))

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        files, path = self._at(name)
        if start == 0 and size is None:
            return self._call(name, "read", lambda: bytes(files.cat_file(path)))
        if size == 0:  # servers return the whole file for an empty range
            self.size(name)  # raises if the file is missing
            return b""
        end = None if size is None else start + size
        with self._readable_errors(name):
            try:
                return self._wait("read", lambda: bytes(files.cat_file(path, start=start, end=end)))
            except StoreUnavailable:
                raise
            except Exception:
                if start >= self.size(name):
                    return b""
                raise

    def exists(self, name: str) -> bool:
        files, path = self._at(name)
        return self._call(name, "read", lambda: file_exists(files, path))

    def size(self, name: str) -> int:
        files, path = self._at(name)
        return self._call(name, "read", lambda: int(files.info(path)["size"]))

    def age_s(self, name: str) -> float:
        files, path = self._at(name)
        return self._call(name, "read", lambda: seconds_since_written(files, path))

    def names(self, folder: str = "") -> list[str]:
        files, path = self._at(folder)
        with self._readable_errors(folder):
            try:
                listing = self._wait("read", lambda: files.ls(path, detail=False, refresh=True))
            except (FileNotFoundError, NotADirectoryError) as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                return []
        inside = {_relative(name, path) for name in listing}
        return sorted(name for name in inside if name and not name.startswith("."))

    def walk(self, folder: str = "") -> Iterator[str]:
        files, path = self._at(folder)
        root = self._at("")[1]
        names = [_relative(name, root) for name in self._call(folder, "read", lambda: files.find(path))]
        for parts in sorted(PurePosixPath(name).parts for name in names if name):
            if not any(part.startswith(".") for part in parts):
                yield "/".join(parts)

    def files(self, folder: str = "") -> list[StoredFile]:
        files, path = self._at(folder)
        root = self._at("")[1]
        listing = self._call(folder, "read", lambda: files.find(path, detail=True))
        named = ((_relative(name, root), int(file["size"])) for name, file in listing.items())
        return [StoredFile(name, size, name) for name, size in sorted(named) if name]

    def remove(self, name: str) -> None:
        files, path = self._at(name)
        with suppress(FileNotFoundError, KeyError):
            self._call(name, "write", lambda: files.rm_file(path))

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
        folder = process_folder()
        handle, download = tempfile.mkstemp(suffix=PurePosixPath(name).suffix, dir=folder)
        os.close(handle)
        try:
            self._download(name, download)
            yield Path(download)
        finally:
            Path(download).unlink(missing_ok=True)

    def _download(self, name: str, target: str) -> None:
        files, path = self._at(name)
        with self._readable_errors(name):
            try:
                files.get_file(path, target)
                return
            except Exception as error:
                if not no_answer_reason(error):
                    raise
        with open(target, "wb") as stream:  # in ranges, so that a failure does not repeat the whole file
            for start in range(0, self.size(name), _RANGE_BYTES):
                stream.write(self.read(name, start, _RANGE_BYTES))

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
                files, root = open_file_system(self.url)
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
        if not supports_mode(files, "pipe_file"):
            raise ManifestError(
                f"{urlsplit(self.url).scheme}:// does not support create-if-absent",
                where=self.url,
                remedy="use a local folder, s3:// or gs://",
            )
        if is_created_twice(files, path):
            raise ManifestError(
                "this object store ignores create-if-absent, so two writers could mix their parts",
                where=self.url,
                remedy="use a newer server, botocore 1.35.20 or later, or a local folder",
            )
        self._conditions_checked = True

    def _create(self, name: str, put: Callable[..., object]) -> bool:
        files, path = self._at(name)
        file = NewFile(files, path)

        def check_and_write() -> bool:
            self._check_conditions()
            return file.write(put)

        return self._call(name, "write", check_and_write)

    def _call(self, name: str, kind: Kind, call: Callable[[], T]) -> T:
        """The result of a request about `name`. Waits while the server does not answer."""
        with self._readable_errors(name):
            return self._wait(kind, call)

    def _wait(self, kind: Kind, call: Callable[[], T]) -> T:
        return wait_for_answer(
            call, store=self.url, kind=kind, patience_s=self.patience_s, reason_of=no_answer_reason
        )

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
