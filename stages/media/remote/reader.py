"""A seekable file over ranges of a remote file, with read-ahead and a small cache."""

import io
from collections import OrderedDict
from typing import Protocol

BLOCK_BYTES = 1 << 16
_MAX_RUN = 64  # blocks in one request while a file is read from front to back: 4 MiB
_CACHED_BLOCKS = 256  # 16 MiB


class Ranges(Protocol):
    """A remote file of known size.

    Attributes:
        size_bytes: Size of the file.
    """

    size_bytes: int

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`, which is at most the size. Retries after failures."""


class RemoteFile(io.RawIOBase):
    """A remote file as a seekable binary file.

    Requests double in size while blocks are read in order, and start again with one block after a seek. The
    last blocks stay in memory, because demuxers move between a few places. Without `read_ahead`, each read is
    one request for exactly its bytes.
    """

    def __init__(self, ranges: Ranges, *, read_ahead: bool = True) -> None:
        self._ranges, self._read_ahead = ranges, read_ahead
        self._position = 0
        self._blocks: OrderedDict[int, tuple[bytes, int]] = OrderedDict()  # content, and blocks per request

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ranges.size_bytes}[whence]
        if origin + offset < 0:
            raise ValueError(f"negative position {origin + offset}")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer
        view, filled = memoryview(buffer), 0
        while filled < len(view) and self._position < self._ranges.size_bytes:
            piece = self._piece(len(view) - filled)
            view[filled : filled + len(piece)] = piece
            filled, self._position = filled + len(piece), self._position + len(piece)
        return filled

    def _piece(self, size: int) -> bytes:
        """Return up to `size` bytes from the current position."""
        if not self._read_ahead:
            end = min(self._position + size, self._ranges.size_bytes)
            return self._ranges.read(self._position, end)
        number, offset = divmod(self._position, BLOCK_BYTES)
        return self._block(number)[offset : offset + size]

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number][0]
        run = min(_MAX_RUN, 2 * self._blocks[number - 1][1]) if number - 1 in self._blocks else 1
        run = next((k for k in range(1, run) if number + k in self._blocks), run)
        start = number * BLOCK_BYTES
        data = self._ranges.read(start, min(start + run * BLOCK_BYTES, self._ranges.size_bytes))
        for k in range(0, len(data), BLOCK_BYTES):
            self._blocks[number + k // BLOCK_BYTES] = data[k : k + BLOCK_BYTES], run
        while len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number][0]
