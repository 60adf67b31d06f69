"""A real HTTP server on loopback that serves files and misbehaves as asked."""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from stages.media.remote.http import public_url


@dataclass
class FileServer:
    """A server of files by path, such as "/films/a.mp4".

    Attributes:
        files: Content by path; a path that ends with / is an index page of the paths below it.
        url: URL of the server, without the last slash.
        has_ranges: Whether range requests are answered.
        has_length: Whether Content-Length is sent; otherwise the body is chunked.
        has_stamp: Whether an ETag is sent.
        token: Value that the query must have; "" for none.
        statuses: Error codes of the next answers.
        redirects: Location by path.
        resets: Number of the next bodies that break off after `reset_after` bytes.
        requests: Path with its query, and value of the header Range, of all requests.
        sent_bytes: Bytes of all bodies.
    """

    files: dict[str, bytes]
    url: str = ""
    has_ranges: bool = True
    has_length: bool = True
    has_stamp: bool = True
    token: str = ""
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    resets: int = 0
    reset_after: int = 1000
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent_bytes: int = 0


@contextmanager
def serve(
    files: dict[str, bytes], certificate: Path | None = None, **options: object
) -> Iterator[FileServer]:
    """Serve files until the context ends.

    Args:
        files: Content by path.
        certificate: PEM file with a key and a certificate, for HTTPS.
        **options: Attributes of the `FileServer`.
    """
    state = FileServer(files, **options)  # type: ignore[arg-type]

    class Handler(_Handler):
        server_state = state

    server = _Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Print nothing when a client closes its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        state, (path, _, query) = self.server_state, self.path.partition("?")
        state.requests.append((self.path, self.headers.get("Range", "")))
        if state.statuses:
            self._answer(state.statuses.pop(0), b"busy")
        elif state.token and query != state.token:
            self._answer(403, b"refused")
        elif path in state.redirects:
            self._answer(302, b"", Location=state.redirects[path])
        elif path.startswith("/moved/"):
            self._answer(302, b"", Location=f"/{path.removeprefix('/moved/')}?{query or state.token}")
        elif path.endswith("/") and any(name.startswith(unquote(path)) for name in state.files):
            self._answer(200, self._index(unquote(path)), **{"Content-Type": "text/html; charset=utf-8"})
        elif unquote(path) in state.files:
            self._file(state.files[unquote(path)])
        else:
            self._answer(404, b"<html>no such file</html>")

    def _index(self, folder: str) -> bytes:
        names = {
            name[len(folder) :].partition("/") for name in self.server_state.files if name.startswith(folder)
        }
        links = [f'<a href="{quote(name + slash)}">x</a>' for name, slash, _ in sorted(names)]
        return f'<a href="?C=M;O=D">sort</a><a href="../">up</a>{"".join(sorted(set(links)))}'.encode()

    def _file(self, data: bytes) -> None:
        state = self.server_state
        headers = {"ETag": f'"{hash(data)}"'} if state.has_stamp else {}
        found = (
            re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if state.has_ranges else None
        )
        if not found:
            self._answer(200, data, **headers)
        elif int(found[1]) >= len(data):
            self._answer(416, b"", **{"Content-Range": f"bytes */{len(data)}"})
        else:
            start, end = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
            span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            self._answer(206, data[start : end + 1], **headers, **span)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        state = self.server_state
        is_chunked = not state.has_length and status == 200
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        name, value = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(len(body)))
        self.send_header(name, value)
        self.end_headers()
        breaks_off = status in (200, 206) and state.resets > 0 and len(body) > state.reset_after
        body = body[: state.reset_after] if breaks_off else body
        state.sent_bytes += len(body)
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if is_chunked and body else body)
            if is_chunked and not breaks_off:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client needs no more
            self.close_connection = True
        if breaks_off:
            state.resets -= 1
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True


def secrets_of(url: str) -> str:
    """The part of a URL that no record may hold."""
    return url.removeprefix(public_url(url)).lstrip("?")
