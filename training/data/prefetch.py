"""Reads the items of the next steps ahead, in threads."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
CLOSE_TIMEOUT_S = 1.0  # how long `close` waits for reads that are under way


class Prefetcher(Generic[Item]):
    """Reads numbered items ahead. Which thread reads an item has no effect on it.

    Args:
        read: Reads an item by its number. It is called in several threads.
        num_workers: Number of threads, as of torch's `DataLoader`.
        prefetch_factor: Items that each thread reads ahead, as of torch's `DataLoader`.
    """

    def __init__(self, read: Callable[[int], Item], num_workers: int = 1, prefetch_factor: int = 1) -> None:
        self._read = read
        self._ahead = num_workers * prefetch_factor
        self._pending: dict[int, Future[Item]] = {}
        self._tasks: SimpleQueue[tuple[int, Future[Item]] | None] = SimpleQueue()
        # Daemon threads: a read that hangs does not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name=f"prefetch-{n}", daemon=True) for n in range(num_workers)
        ]
        self._started = False

    def get(self, number: int) -> Item:
        """The item of a number. The following items are then read ahead, and all others are dropped.

        Raises:
            Exception: What reading this item raised.
        """
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        for other in [n for n in self._pending if not number <= n <= number + self._ahead]:
            self._pending.pop(other).cancel()
        for wanted in range(number, number + self._ahead + 1):
            if wanted not in self._pending:
                self._pending[wanted] = Future()
                self._tasks.put((wanted, self._pending[wanted]))
        return self._pending.pop(number).result()

    def close(self) -> None:
        """Stop reading ahead. A read that hangs is left to its thread."""
        for future in self._pending.values():
            future.cancel()
        self._pending.clear()
        for _ in self._threads:
            self._tasks.put(None)
        if self._started:
            for thread in self._threads:
                thread.join(CLOSE_TIMEOUT_S / len(self._threads))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            number, future = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._read(number))
                except BaseException as error:  # raised again by `get`
                    future.set_exception(error)
