"""Files of HTTP servers: by range requests, or downloaded once if the server does not answer them.

Signed URLs are secrets: messages, and the log lines of the HTTP client, hold a URL without its user, query
and fragment.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from stages.media.errors import UnreadableFile
from stages.media.remote.addresses import check_literal, checked_backend, may_be_private, without_mark
from stages.media.remote.errors import MAX_FAILURES, RemoteReadError, wait_before_retry

if TYPE_CHECKING:
    import httpx2

Found = TypeVar("Found")
_TIMEOUT_S = 60.0  # without a byte
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_MISSING = {404, 410}
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]+|\*)/([0-9]{1,18})")
_MAX_DIGITS = 18  # of a size in a header
# By process id, because a forked child opens its own connections, and by whether addresses may be private.
_clients: dict[tuple[int, bool], "httpx2.Client"] = {}


@dataclass(frozen=True)
class HttpHead:
    """What a server says about a file.

    Attributes:
        url: The URL after redirects.
        size_bytes: Size of the file; None if the server does not say it.
        stamp: ETag or modification time; "" if the server gives neither.
        has_ranges: Whether the server answers range requests.
        content_type: Media type, for example text/html.
    """

    url: str
    size_bytes: int | None
    stamp: str
    has_ranges: bool
    content_type: str


class HttpRanges:
    """The ranges of one file. A read that breaks off continues with the next byte."""

    def __init__(self, url: str, head: HttpHead) -> None:
        self.size_bytes, self._url, self._stamp = head.size_bytes or 0, url, head.stamp

    def read(self, start: int, end: int) -> bytes:
        """See `Ranges.read`.

        Raises:
            UnreadableFile: The file has changed since it was opened.
            RemoteReadError: The server failed in several consecutive attempts.
        """
        data = bytearray()

        def consume(response: "httpx2.Response") -> bool | None:
            first, size_bytes = _content_range(response)
            if response.status_code != 206 or first != start + len(data):
                return None
            if size_bytes != self.size_bytes or _stamp_of(response) != self._stamp:
                raise UnreadableFile("the file on the server changed while it was read")
            for chunk in response.iter_raw():
                data.extend(chunk)
            return True if len(data) >= end - start else None

        def headers() -> Mapping[str, str]:
            return {"Range": f"bytes={start + len(data)}-{end - 1}"}

        request(self._url, consume, headers, lambda: len(data))
        return bytes(data[: end - start])


def public_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, which may be secrets."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def read_head(url: str) -> HttpHead:
    """Ask for the first byte of a file: servers refuse HEAD for a URL that is signed for GET.

    Raises:
        FileNotFoundError: The server has no such file.
        RemoteReadError: The server cannot be reached, or refuses the request.
    """
    return request(url, _head_of, lambda: {"Range": "bytes=0-0"})


def read_small(url: str, max_bytes: int) -> bytes:
    """Return the content of a file of at most `max_bytes`, for example a list or an index page."""

    def consume(response: "httpx2.Response") -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data.extend(chunk)
            if len(data) > max_bytes:
                raise RemoteReadError(f"{public_url(url)} is larger than {max_bytes:,} bytes")
        return bytes(data)

    return request(url, consume)


def request(
    url: str,
    consume: "Callable[[httpx2.Response], Found | None]",
    headers: Callable[[], Mapping[str, str]] = dict,
    progress: Callable[[], int] = lambda: 0,
) -> Found:
    """Send GET requests until `consume` returns a result.

    Args:
        url: URL of the file.
        consume: Reads a response; None if the response is not the expected one, and the request is repeated.
        headers: Returns the headers of the next request.
        progress: Returns the number of bytes received. An attempt that received some is not a failure.

    Raises:
        FileNotFoundError: The server has no such file.
        RemoteReadError: Several consecutive attempts failed, or the server refuses the request.
        RefusedAddress: The URL, or one that it redirects to, has an address that it may not reach.
    """
    import httpx2

    failures, client = 0, _client(is_private_allowed=may_be_private(url))
    while True:
        before, retry_after = progress(), ""
        try:
            sent = {"Accept-Encoding": "identity", **headers()}
            with client.stream("GET", without_mark(url), headers=sent) as response:
                if response.status_code in _TRANSIENT:
                    reason = f"HTTP {response.status_code}"
                    retry_after = response.headers.get("retry-after", "")
                else:
                    _check_status(response.status_code, url)
                    found = consume(response)
                    if found is not None:
                        return found
                    reason = f"an incomplete or unexpected answer, HTTP {response.status_code}"
        except (httpx2.RequestError, httpx2.InvalidURL, UnicodeError) as error:
            reason = _describe(error)
            if not _is_transient(error, reason):
                raise RemoteReadError(f"{public_url(url)} cannot be read: {reason}") from None
        failures = 1 if progress() > before else failures + 1
        if failures >= MAX_FAILURES:
            raise RemoteReadError(f"{public_url(url)} cannot be read, after {failures} attempts: {reason}")
        wait_before_retry(failures, retry_after)


def _check_status(status: int, url: str) -> None:
    if status in (200, 206, 416):
        return
    if status in _MISSING:
        hint = "; write # in a name as %23" if "#" in without_mark(url) else ""
        raise FileNotFoundError(f"{public_url(url)} does not exist: HTTP {status}{hint}")
    hint = ": a signed URL may have expired" if status in (401, 403) else ""
    raise RemoteReadError(f"the server refuses {public_url(url)}: HTTP {status}{hint}")


def _head_of(response: "httpx2.Response") -> HttpHead:
    first, size_bytes = _content_range(response)
    is_range = response.status_code == 206 and first == 0 and size_bytes is not None
    if response.status_code == 416:  # an empty file has no first byte
        is_range, size_bytes = True, 0
    elif not is_range:
        length = response.headers.get("content-length", "")
        is_encoded = response.headers.get("content-encoding", "identity") != "identity"
        size_bytes = (
            int(length) if _is_size(length) and response.status_code == 200 and not is_encoded else None
        )
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return HttpHead(str(response.url), size_bytes, _stamp_of(response), is_range, kind)


def _is_size(text: str) -> bool:
    """Whether a header is a number of bytes. `isdigit` alone accepts a superscript two."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _content_range(response: "httpx2.Response") -> tuple[int | None, int | None]:
    """Return the first byte and the size of the file in the header Content-Range; None where it has none."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    return (int(found[1]) if found and found[1] else None), (int(found[2]) if found else None)


def _stamp_of(response: "httpx2.Response") -> str:
    stamp: str = response.headers.get("etag") or response.headers.get("last-modified") or ""
    return stamp


def _is_transient(error: Exception, reason: str) -> bool:
    import httpx2

    if isinstance(error, httpx2.UnsupportedProtocol) or "CERTIFICATE_VERIFY_FAILED" in reason:
        return False
    return isinstance(error, httpx2.TransportError | httpx2.DecodingError)


def _describe(error: Exception) -> str:
    """Describe an error of the connection. Other errors may repeat the URL, so only their kind is given."""
    import httpx2

    kinds = httpx2.NetworkError | httpx2.TimeoutException | httpx2.ProtocolError
    text = str(error) if isinstance(error, kinds) else ""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        text += "; the variable SSL_CERT_FILE can name a file of trusted certificates"
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def _client(*, is_private_allowed: bool) -> "httpx2.Client":
    """Return the client of this process that reaches allowed addresses only.

    A proxy of the environment resolves names itself, so of its requests only literal addresses are checked.
    The client has no setting for the backend that opens its connections, so the one of its pool is replaced.
    """
    import httpx2

    key = os.getpid(), is_private_allowed
    if key not in _clients:

        def check(request: httpx2.Request) -> None:
            check_literal(request.url.host, is_private_allowed=is_private_allowed)

        logging.getLogger("httpx2").addFilter(_redact)
        client = httpx2.Client(follow_redirects=True, timeout=_TIMEOUT_S, event_hooks={"request": [check]})
        pool: Any = client._transport._pool  # type: ignore[attr-defined]
        backend = checked_backend(pool._network_backend, is_private_allowed=is_private_allowed)
        pool._network_backend = backend
        _clients[key] = client
    return _clients[key]


def _redact(record: logging.LogRecord) -> bool:
    """Remove secrets from the URLs of a log record, and keep the record."""
    record.args = tuple(public_url(str(a)) if "://" in str(a) else a for a in record.args or ())
    return True
