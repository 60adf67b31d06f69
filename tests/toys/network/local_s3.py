"""A real S3 server on this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


@contextmanager
def serve_s3() -> Iterator[str]:
    """Serve S3 until the context ends. Gives the URL of the endpoint.

    The server's put and its completion look first and write then, in two steps; a lock makes them one, as
    they are on S3, whose answer to two writers at once is what tests are about.
    """
    from moto.s3 import responses
    from moto.server import ThreadedMotoServer

    lock, whole = threading.Lock(), responses.S3Response
    put = _one_at_a_time(whole.put_object, lock)
    complete = _one_at_a_time(whole._key_response_post, lock)
    with patch.object(whole, "put_object", put), patch.object(whole, "_key_response_post", complete):
        running = ThreadedMotoServer(port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
        running.stop()


def _one_at_a_time(method, lock):  # type: ignore[no-untyped-def]
    def locked(*args, **kwargs):  # type: ignore[no-untyped-def]
        with lock:
            return method(*args, **kwargs)

    return locked
