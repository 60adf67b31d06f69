"""An artifact: a file beside a table (a strip of stills, a cut clip, a shard), named in a column.

A stage gives `Artifact.of(data, ".jpg")`; the engine stores the file, under a name made of its
content or under the name the stage asked for, and the row keeps where it is and its digest. A
stage that reads the column gets an artifact that it can `read()`.
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
    """A file of a store. Equal if the content and the place are equal."""

    path: str  # relative to the store; for one not stored yet, the name asked for
    size_bytes: int
    sha256: str
    data: bytes | None = field(default=None, repr=False, compare=False)
    file: Path | None = field(default=None, repr=False, compare=False)
    store: Store | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, data: bytes, suffix: str, *, name: str = "") -> "Artifact":
        """An artifact to be stored. `name` ("shards/000001.tar") asks for a readable place."""
        digest = hashlib.sha256(data).hexdigest()
        return cls(name or _content_name(digest, suffix), len(data), digest, data=data)

    @classmethod
    def of_file(cls, file: Path, suffix: str = "", *, name: str = "") -> "Artifact":
        """As `of`, for a local file; the engine moves the file into the store."""
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        path = name or _content_name(digest, suffix or file.suffix)
        return cls(path, file.stat().st_size, digest, file=file)

    def stored(self, store: Store, folder: str) -> "Artifact":
        """Put a pending artifact under `folder` of `store`; a stored one is returned as it is.

        Raises:
            ManifestError: another file stands under the name that the stage asked for.
        """
        if self.data is None and self.file is None:
            return self
        path = str(PurePosixPath(folder) / _inside(self.path))
        if self.data is not None:
            fresh = store.create(path, self.data)
        else:
            assert self.file is not None
            fresh = store.adopt(path, self.file)
        if not fresh and not self._stands(store, path):
            raise ManifestError(
                "two different files were given one artifact name",
                where=f"{store.url}/{path}",
                remedy="make the name depend on all that the content depends on",
            )
        return replace(self, path=path, data=None, file=None, store=store)

    def _stands(self, store: Store, path: str) -> bool:
        """Whether the file at `path` is this one; a name made of the content needs no second look."""
        same_size = store.size(path) == self.size_bytes
        if not same_size or self.sha256 in path:
            return same_size
        with store.local(path) as file, file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == self.sha256

    def bound(self, store: Store) -> "Artifact":
        """This artifact, readable from `store`."""
        return replace(self, store=store)

    def read(self) -> bytes:
        """The whole content.

        Raises:
            Damaged: the file is not the one that was stored.
        """
        if self.data is not None:
            return self.data
        if self.file is not None:
            return self.file.read_bytes()
        data = self._at().read(_inside(self.path))
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise Damaged(
                "an artifact is not what was stored",
                where=f"{self._at().url}/{self.path}",
                remedy="take it away and run again; `clipmill manifest check` lists all such files",
            )
        return data

    def read_range(self, start: int, size: int) -> bytes:
        """`size` bytes from byte `start`, without checking the digest."""
        if self.data is not None:
            return self.data[start : start + size]
        if self.file is not None:
            with self.file.open("rb") as opened:
                opened.seek(start)
                return opened.read(size)
        return self._at().read(_inside(self.path), start, size)

    @contextmanager
    def local(self) -> Iterator[Path]:
        """A local path to the content, for readers that need one; do not write to it."""
        if self.file is not None:
            yield self.file
            return
        if self.data is not None:
            suffix = PurePosixPath(self.path).suffix
            with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=suffix) as made:
                made.write(self.data)
                made.flush()
                yield Path(made.name)
            return
        with self._at().local(_inside(self.path)) as path:
            yield path

    def _at(self) -> Store:
        if self.store is None:
            raise ManifestError(f"artifact {self.path!r} is not bound to a store")
        return self.store


def _content_name(digest: str, suffix: str) -> str:
    return f"artifacts/{digest[:2]}/{digest}{suffix}"


def _inside(name: str) -> str:
    """`name` itself, if it stays inside its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ManifestError(f"artifact name {name!r} leaves its folder")
    return name
