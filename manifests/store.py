"""The promise of a store: a folder of files, where the first writer of a name wins."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path


class Store(ABC):
    """Names are relative POSIX paths ("scan-1a/part-00003.parquet"); none may leave the store.

    Every method may raise `StoreFull`; a missing name raises `FileNotFoundError`.
    """

    url: str  # where it is, without credentials

    @abstractmethod
    def create(self, name: str, data: bytes, *, lasting: bool = True) -> bool:
        """Write a whole file if nothing stands there yet; say whether this call wrote it.

        A reader sees the whole file or none, and a file that stands is never changed. One that is not
        `lasting` may be gone after a power cut, or without its content, until `persist`.
        """

    def persist(self, names: Sequence[str]) -> None:
        """Make files of one folder last that were created without; of most stores every file lasts."""

    @abstractmethod
    def adopt(self, name: str, file: Path) -> bool:
        """As `create`, with the content of a local file, which is gone afterwards."""

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Write a whole file over whatever stands there. For leases, logs and reports only."""

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """The bytes of a file, or `size` of them from `start`."""

    @abstractmethod
    def exists(self, name: str) -> bool: ...

    @abstractmethod
    def size(self, name: str) -> int:
        """The size of a file in bytes."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """The names of the files and folders directly in `folder`, sorted; [] where it is not there."""

    @abstractmethod
    def walk(self, folder: str = "") -> Iterator[str]:
        """Every file under `folder`, as full names, sorted within each folder."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take a file away; quiet if it is not there. Only leases, and what a power cut left."""

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Take away a folder with all that is in it; quiet if it is not there. Only for workings: pieces."""

    @abstractmethod
    def local(self, name: str) -> AbstractContextManager[Path]:
        """A local path to a file, for readers that need one; do not write to it."""

    @abstractmethod
    def scratch(self, name: str) -> Path:
        """A folder on this machine that survives the process and belongs to `name` in this store.

        Journals and unfinished files live here. Beside the store where it is local.
        """
