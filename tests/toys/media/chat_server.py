"""A real HTTP server on loopback with the chat completions API, whose replies a test controls."""

import base64
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True)
class Request:
    """One request that the server received."""

    number: int  # of requests before this one
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]

    @property
    def jpegs(self) -> list[bytes]:
        """The JPEGs of all messages."""
        parts = [p for m in self.body["messages"] for p in m["content"] if isinstance(m["content"], list)]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
        return [base64.b64decode(url.partition(",")[2], validate=True) for url in urls]

    @property
    def images(self) -> list[np.ndarray]:
        """The decoded JPEGs: uint8 RGB [h w 3]."""
        return [cv2.imdecode(np.frombuffer(j, np.uint8), cv2.IMREAD_COLOR_RGB) for j in self.jpegs]


@dataclass(frozen=True)
class Reply:
    """What the server does.

    Attributes:
        delay_s: Seconds before anything is sent.
        disconnect: Close the connection without a response.
        stall_s: Seconds between the headers and the body.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    disconnect: bool = False
    stall_s: float = 0.0


def completion(text: Any, finish_reason: Any = "stop", **settings: Any) -> Reply:
    """Return a valid chat completion."""
    message = {"role": "assistant", "content": text}
    body = {
        "model": "toy-1",
        "system_fingerprint": "fp_7",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5},
    }
    return Reply(json.dumps(body).encode(), **settings)


class ChatServer:
    """Sends for each request the reply that the function `reply` returns. Use it with `with`."""

    def __init__(self, reply: Callable[[Request], Reply], port: int = 0) -> None:
        self.requests: list[Request] = []
        self.max_concurrent = self._concurrent = 0
        self._lock, self._reply, self._stop = threading.Lock(), reply, threading.Event()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    request = Request(len(server.requests), self.path, headers, body)
                    server.requests.append(request)
                    server._concurrent += 1
                    server.max_concurrent = max(server.max_concurrent, server._concurrent)
                try:
                    self._send(server._reply(request))
                finally:
                    with server._lock:
                        server._concurrent -= 1

            def _send(self, reply: Reply) -> None:
                server._stop.wait(reply.delay_s)
                if reply.disconnect:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if reply.stall_s:
                    server._stop.wait(reply.stall_s)
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                """Write no log."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Ignore clients that closed their connection."""


def closed_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
