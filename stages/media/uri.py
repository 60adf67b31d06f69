"""File locations: an absolute path, a file:// URL for a path that is not UTF-8, or a URL.

A URL may hold a secret: the signature in its query, or a user and a password. Such a URL stays in the list
file that names it. Its `uri` in tables is the public part of the URL, followed by `#list=LIST&line=N`.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, quote_from_bytes, unquote_to_bytes

from stages.media.remote.http import public_url

_FILE = "file://"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_REFERENCE = re.compile(r"#list=[^#&]+&line=\d+$")


class ListedUrl(NamedTuple):
    """A reference to a URL with a secret: its public part, and the line of the list that holds it."""

    url: str
    list_uri: str
    line: int


def path_to_uri(path: Path | str) -> str:
    """Return the absolute path, or its percent-encoded file:// URL if the name is not valid UTF-8."""
    name = os.path.abspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        return _FILE + quote_from_bytes(os.fsencode(name))
    return name


def local_path(uri: str) -> str | None:
    """Return the path on this machine, or None if `uri` is a remote URL."""
    if uri.startswith(_FILE):
        return os.fsdecode(unquote_to_bytes(uri[len(_FILE) :]))
    return None if _SCHEME.match(uri) else uri


def is_http(uri: str) -> bool:
    """Return whether a URL begins with http:// or https://."""
    return uri.lower().startswith(("http://", "https://"))


def has_secret(uri: str) -> bool:
    """Return whether a URL has a user, or a query of HTTP, which may be a signature or a token."""
    if local_path(uri) is not None:
        return False
    host, _, path = uri.partition("://")[2].partition("/")
    return "@" in host or (is_http(uri) and "?" in f"{host}/{path}".partition("#")[0])


def refer_to_list(url: str, list_uri: str, line: int) -> str:
    """Return the `uri` for tables of a URL with a secret. See `ListedUrl`."""
    return f"{public_url(url)}#list={quote(list_uri, safe='/:')}&line={line}"


def listed_url(uri: str) -> ListedUrl | None:
    """Return the reference that `refer_to_list` made, or None for other locations."""
    if not is_http(uri) or not _REFERENCE.search(uri):
        return None
    url, _, reference = uri.rpartition("#")
    fields = dict(parse_qsl(reference))
    return ListedUrl(url, fields["list"], int(fields["line"]))


def escape_non_utf8(name: str) -> str:
    """Return a file name as valid UTF-8: an invalid byte becomes `\\xff`, a backslash two. Reversible."""
    doubled = name.replace("\\", "\\\\")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in doubled)
