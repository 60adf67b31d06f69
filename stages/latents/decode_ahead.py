"""Decodes ahead in a thread while the caller encodes, and measures how long each of the two waits."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
POLL_S = 0.1


@dataclass
class OverlapTimes:
    """Seconds that the decoder and the encoder worked, and waited for the other one."""

    decode: float = 0.0
    decode_waited: float = 0.0
    encode: float = 0.0
    encode_waited: float = 0.0


class DecodeAhead(Generic[T]):
    """Iterates over `items` in a thread of its own, up to `ahead` items before the caller takes them.

    Use it as a context manager, which ends the thread. An exception of `items` is raised to the caller.
    """

    def __init__(self, items: Iterator[T], ahead: int, times: OverlapTimes) -> None:
        self._items, self._times = items, times
        self._queue: Queue[tuple[T] | BaseException | None] = Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)

    def __enter__(self) -> "DecodeAhead[T]":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            started = time.perf_counter()
            entry = self._queue.get()
            taken = time.perf_counter()
            self._times.encode_waited += taken - started
            if entry is None:
                return
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
            self._times.encode += time.perf_counter() - taken

    def _decode(self) -> None:
        try:
            while not self._stopped.is_set():
                started = time.perf_counter()
                item = next(self._items, self)
                self._times.decode += time.perf_counter() - started
                self._put(None if item is self else (item,))  # type: ignore[arg-type]
                if item is self:
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, entry: tuple[T] | BaseException | None) -> None:
        started = time.perf_counter()
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=POLL_S)
                break
            except Full:
                continue
        self._times.decode_waited += time.perf_counter() - started
