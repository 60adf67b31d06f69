"""The contract of a store: a folder of files in which the first writer of a name wins."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredFile:
    """A file in a listing.

    Attributes:
        name: Path relative to the store.
        size_bytes: Size in bytes.
        content: Equal for two names of one file (hard links). An object store has no such names.
        links: How many names the file has. Its bytes are freed with the last one.
    """

    name: str
    size_bytes: int
    content: str
    links: int = 1


class Store(ABC):
    """A folder of files, local or on an object store.

    Names are relative POSIX paths ("scan-1a/part-00003.parquet") that stay inside the store. Every method may
    raise `StoreFull` and, at a URL, `StoreUnavailable`. Reading a name that does not exist raises
    `FileNotFoundError`.
    """

    url: str  # path or URL of the store, without credentials
    bytes_written = 0  # by `create` and `move_in` of this object

    @abstractmethod
    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Write a file if the name does not exist yet. Returns whether this call wrote it.

        Readers see the complete file or none. An existing file is never changed. If not `durable`, a power
        failure before the next `persist` can remove the file or leave it without its content.
        """

    def persist(self, names: Sequence[str]) -> None:
        """Make files durable that were created with `durable=False`. Most stores have only durable files."""

    def remove_truncated(self, name: str, size_bytes: int) -> None:
        """Remove a file that a power failure before `persist` left with another size."""

    @abstractmethod
    def move_in(self, name: str, file: Path, *, durable: bool = True) -> bool:
        """Move a local file into the store; otherwise as `create`. The local file is gone in any case."""

    @abstractmethod
    def link(self, name: str, existing: str) -> bool:
        """Give the content of the file `existing` a second name; otherwise as `create`.

        No bytes pass through this machine: a folder makes a hard link, an object store copies on its server.
        """

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Write a complete file and replace an existing one. Only for leases, logs and reports."""

    def replace_if(self, name: str, expected: bytes, data: bytes) -> bool:
        """Replace a file if its content is `expected`. Returns whether its content is `data` now."""
        try:
            if self.read(name) != expected:
                return False
        except FileNotFoundError:
            return False
        self.replace(name, data)
        return True

    def append(self, name: str, data: bytes) -> bool:
        """Add data at the end of a file. Returns False if the store cannot do this, as an object store."""
        return False

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """Read a file, or `size` bytes of it from byte `start`."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether a file exists. Not for folders: an object store has none."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The size of a file in bytes."""

    @abstractmethod
    def age_s(self, name: str) -> float:
        """Seconds since a file was written, by the clock of the server if it has one."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """The sorted names of the files and folders directly in `folder`; [] if it does not exist."""

    @abstractmethod
    def walk(self, folder: str = "") -> Iterator[str]:
        """Every file below `folder`, as paths relative to the store, sorted within each folder."""

    @abstractmethod
    def files(self, folder: str = "") -> list[StoredFile]:
        """Every file below `folder` with its size, in one listing. Includes hidden files, unlike `walk`."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file if it exists. Only for leases, incomplete files, and files that no row needs."""

    def remove_all(self, names: Iterable[str]) -> None:
        """Delete files, as `remove`, in any order. A store whose calls are slow makes several at once."""
        for name in names:
            self.remove(name)

    @abstractmethod
    def remove_folder(self, folder: str) -> None:
        """Delete a folder with its content if it exists. Only for intermediate files and unused tables."""

    @abstractmethod
    def local(self, name: str) -> AbstractContextManager[Path]:
        """Yield a local path to a file, for readers that need one. Do not write to it."""

    @abstractmethod
    def scratch(self, name: str, *, create: bool = True) -> Path:
        """A folder on this machine that belongs to `name` in this store and outlives the process.

        Journals and unfinished files are kept there. For a local store the folder is beside `name`. Without
        `create` it may be missing.
        """
