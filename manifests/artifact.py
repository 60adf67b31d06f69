"""An artifact: a file that a column refers to, such as a strip of stills, a cut clip or a shard.

A stage returns `Artifact.of(data, ".jpg")`. The engine stores the file under its digest, or under a name that
the stage chose, and the row records the path, size and digest. A stage that reads the column gets an artifact
and calls `read()`.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from manifests.errors import Damaged, ManifestError
from manifests.store import Store


@dataclass(frozen=True)
class Artifact:
    """A file of a store. Two artifacts are equal if their path, size and digest are equal.

    Attributes:
        path: Path relative to the store; before the file is stored, the path relative to the table's folder.
        size_bytes: Size of the file in bytes.
        sha256: SHA-256 digest of the content, 64 hex digits.
        data: The content of an artifact that is not stored yet, if it is in memory.
        file: The local file of an artifact that is not stored yet, if it is on disk.
        store: The store to read from.
    """

    path: str
    size_bytes: int
    sha256: str
    data: bytes | None = field(default=None, repr=False, compare=False)
    file: Path | None = field(default=None, repr=False, compare=False)
    store: Store | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, data: bytes, suffix: str, *, name: str = "") -> "Artifact":
        """Make an artifact from bytes, to be stored by the engine.

        Args:
            data: The content.
            suffix: Suffix of the file name, with its dot.
            name: Path within the table's folder, such as "shards/000001.tar"; by default the digest.
        """
        digest = hashlib.sha256(data).hexdigest()
        return cls(name or _content_name(digest, suffix), len(data), digest, data=data)

    @classmethod
    def of_file(cls, file: Path, suffix: str = "", *, name: str = "") -> "Artifact":
        """Make an artifact from a local file, which the engine moves into the store; otherwise as `of`."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        path = name or _content_name(digest, suffix or file.suffix)
        return cls(path, file.stat().st_size, digest, file=file)

    def save(self, store: Store, folder: str, *, durable: bool = True) -> "Artifact":
        """Store the file below `folder`; an artifact that is already stored is returned unchanged.

        If not `durable`, and if the digest names it, call `store.persist` before a table refers to the file.

        Raises:
            ManifestError: another file already has the name that the stage chose.
        """
        if self.data is None and self.file is None:
            return self
        path = str(PurePosixPath(folder) / _inside(self.path))
        if self.sha256 in path:
            store.remove_truncated(path, self.size_bytes)
        else:
            durable = True
        if self.data is not None:
            created = store.create(path, self.data, durable=durable)
        else:
            assert self.file is not None
            created = store.move_in(path, self.file, durable=durable)
        if not created and not self.is_stored_at(store, path):
            raise ManifestError(
                "two different files have the same artifact name",
                where=f"{store.url}/{path}",
                remedy="make the name depend on everything that the content depends on",
            )
        return replace(self, path=path, data=None, file=None, store=store)

    def is_stored_at(self, store: Store, path: str) -> bool:
        """Whether the file at `path` has this content; if the name contains the digest, the size decides."""
        same_size = store.size(path) == self.size_bytes
        if not same_size or self.sha256 in path:
            return same_size
        with store.local(path) as file, file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256

    def bind(self, store: Store) -> "Artifact":
        """Return a copy that reads from `store`."""
        return replace(self, store=store)

    def read(self) -> bytes:
        """Read the whole content.

        Raises:
            Damaged: the content does not match the digest.
        """
        if self.data is not None:
            return self.data
        if self.file is not None:
            return self.file.read_bytes()
        data = self._bound_store().read(_inside(self.path))
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise Damaged(
                "the content of an artifact does not match its digest",
                where=f"{self._bound_store().url}/{self.path}",
                remedy="delete the file and run again; `clipmill manifest check` lists all such files",
            )
        return data

    def read_range(self, start: int, size: int) -> bytes:
        """Read `size` bytes from byte `start`. Does not check the digest."""
        if self.data is not None:
            return self.data[start : start + size]
        if self.file is not None:
            with self.file.open("rb") as stream:
                stream.seek(start)
                return stream.read(size)
        return self._bound_store().read(_inside(self.path), start, size)

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Yield a local path to the content, for readers that need a file. Do not write to it."""
        if self.file is not None:
            yield self.file
            return
        if self.data is not None:
            suffix = PurePosixPath(self.path).suffix
            with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=suffix) as temporary:
                temporary.write(self.data)
                temporary.flush()
                yield Path(temporary.name)
            return
        with self._bound_store().local(_inside(self.path)) as path:
            yield path

    def _bound_store(self) -> Store:
        if self.store is None:
            raise ManifestError(
                f"artifact {self.path!r} is not bound to a store",
                remedy="call `bind(store)` before reading it",
            )
        return self.store


def _content_name(digest: str, suffix: str) -> str:
    return f"artifacts/{digest[:2]}/{digest}{suffix}"


def _inside(name: str) -> str:
    """Return `name` if it stays inside its folder.

    Raises:
        ManifestError: the name is absolute or contains "..".
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ManifestError(
            f"artifact name {name!r} leaves its folder", remedy="use a relative path without .."
        )
    return name
