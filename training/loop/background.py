"""Work beside the training."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def run_in_thread(function: Callable[[], None]) -> "Future[None]":
    """Run a function in a thread that does not keep the process alive."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    return future
