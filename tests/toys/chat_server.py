"""A real HTTP server on loopback that speaks chat completions as a test wants: in its own time, or badly."""

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
class Asked:
    """One request, as it came."""

    number: int  # of requests before it
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The words of the last message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]

    @property
    def jpegs(self) -> list[bytes]:
        """The pictures of all messages."""
        parts = [p for m in self.body["messages"] for p in m["content"] if isinstance(m["content"], list)]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
        return [base64.b64decode(url.partition(",")[2], validate=True) for url in urls]

    @property
    def pictures(self) -> list[np.ndarray]:
        """The pictures, decoded: uint8 RGB [h w 3]."""
        return [cv2.imdecode(np.frombuffer(j, np.uint8), cv2.IMREAD_COLOR_RGB) for j in self.jpegs]


@dataclass(frozen=True)
class Reply:
    """What the server does: sends this, after a while; or hangs up, or sends only a beginning and waits."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    drop: bool = False
    stall_s: float = 0.0


def said(text: Any, finish: Any = "stop", **more: Any) -> Reply:
    """A good answer."""
    message = {"role": "assistant", "content": text}
    body = {
        "model": "toy-1",
        "system_fingerprint": "fp_7",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5},
    }
    return Reply(json.dumps(body).encode(), **more)


class ChatServer:
    """Answers each request with what `reply` makes of it; to be entered with `with`."""

    def __init__(self, reply: Callable[[Asked], Reply], port: int = 0) -> None:
        self.seen: list[Asked] = []
        self.most_at_once = self._at_once = 0
        self._lock, self._reply, self._over = threading.Lock(), reply, threading.Event()
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
        self._over.set()
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
                    asked = Asked(len(server.seen), self.path, headers, body)
                    server.seen.append(asked)
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)
                try:
                    self._send(server._reply(asked))
                finally:
                    with server._lock:
                        server._at_once -= 1

            def _send(self, reply: Reply) -> None:
                server._over.wait(reply.after_s)
                if reply.drop:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if reply.stall_s:
                    server._over.wait(reply.stall_s)
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that hung up is none of ours."""


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
