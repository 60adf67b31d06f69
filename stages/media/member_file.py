"""A member of a tar as a seekable binary file: bytes of another file, which is not unpacked."""

import io
from typing import Any


class MemberFile(io.RawIOBase):
    """`size` bytes of `file` from byte `offset`. Closing it closes `file`."""

    def __init__(self, file: Any, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"negative position {origin + offset}")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer
        view = memoryview(buffer)
        wanted = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._offset + self._position)
        data = self._file.read(wanted) if wanted else b""
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
