"""A local S3 server (moto) whose writes with a condition are atomic, as they are on S3."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_WRITES = ("put_object", "_key_response_post")  # moto looks first and writes then, in two steps


@contextmanager
def local_s3() -> Iterator[str]:
    """The endpoint of an S3 server on this machine."""
    from moto.s3 import responses
    from moto.server import ThreadedMotoServer

    lock, kind = threading.Lock(), responses.S3Response
    before = {name: getattr(kind, name) for name in _WRITES}
    for name, method in before.items():
        setattr(kind, name, _one_at_a_time(method, lock))
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        for name, method in before.items():
            setattr(kind, name, method)


def _one_at_a_time(method: Callable[..., Any], lock: threading.Lock) -> Callable[..., Any]:
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return method(*args, **kwargs)

    return locked
