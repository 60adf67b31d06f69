"""An HTTP proxy before a real server, which makes the faults of a network and of a server."""

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What happens to a request. "lost": the server does it, and the connection is cut before the answer.
FAULTS = ("500", "503", "403", "reset", "lost", "truncated", "hang")
Fault = Callable[[str, str], str]  # of method and path; "" for none
_PLACE = ("127.0.0.1", 0)


class FaultyProxy:
    """A proxy before the server at `target`; assign `fault` to make faults, at any time.

    Attributes:
        fault: Called with the method and the path of each request; returns one of `FAULTS` or "".
        requests: Number of the requests that arrived, by method.
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.fault: Fault = lambda method, path: ""
        self.requests: Counter[str] = Counter()
        self._place, self._server = _PLACE, None
        self._released = threading.Event()
        self._open()

    @property
    def url(self) -> str:
        return f"http://{self._place[0]}:{self._place[1]}"

    @contextmanager
    def refuses_connections(self) -> Iterator[None]:
        """The port is closed for a while."""
        self.close()
        try:
            yield
        finally:
            self._open()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _open(self) -> None:
        self._released.clear()
        self._server = _Server(self._place, _Handler)
        self._server.proxy = self
        self._place = self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: FaultyProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that closes its connection is no error of a test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        proxy = self.server.proxy
        if proxy._released.is_set():  # the port is closed, and so are its connections
            self._cut()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.requests[self.command] += 1
        fault = proxy.fault(self.command, self.path)
        if fault == "reset":
            self._cut()
        elif fault == "hang":
            proxy._released.wait(60)
            self._cut()
        elif fault in ("500", "503", "403"):
            self._send(int(fault), {"Content-Type": "application/xml"}, _error(fault), len(_error(fault)))
        else:
            self._forward(body, fault)

    def _forward(self, body: bytes, fault: str) -> None:
        there = http.client.HTTPConnection(self.server.proxy.target, timeout=60)
        there.request(self.command, self.path, body, {**dict(self.headers.items()), "Connection": "close"})
        answer = there.getresponse()
        data, headers = answer.read(), dict(answer.getheaders())
        there.close()
        size = len(data) if data or "Content-Length" not in headers else int(headers["Content-Length"])
        if fault == "lost":
            self._cut()
        elif fault == "truncated":
            self._send(answer.status, headers, data[: len(data) // 2], size)
            self._cut()
        else:
            self._send(answer.status, headers, data, size)

    def _send(self, status: int, headers: dict[str, str], data: bytes, size: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _cut(self) -> None:
        """Close the connection without an answer, as a process that is killed does."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def _error(code: str) -> bytes:
    name = {"500": "InternalError", "503": "ServiceUnavailable", "403": "AccessDenied"}[code]
    return f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>{name}</Message></Error>".encode()
