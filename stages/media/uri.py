"""File locations: an absolute path, a file:// URL for a path that is not UTF-8, or a URL.

A URL may hold a secret: the signature in its query, or a user and a password. Such a URL stays in the list
file that names it. Its `uri` in tables is the public part of the URL, followed by `#list=LIST&line=N`.

A URL that may reach private addresses ends with `#private`; see `stages.media.remote.addresses`.

A member of a tar has the `uri` of the tar, followed by `#member=NAME&offset=BYTE&size=BYTES`. The name is for
people; the numbers say where it is.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, quote_from_bytes, unquote_to_bytes

from stages.media.remote.addresses import without_mark
from stages.media.remote.http import public_url

_FILE = "file://"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_MEMBER = re.compile(r"#member=([^#&]*)&offset=([0-9]{1,18})&size=([0-9]{1,18})$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_SECRET = re.compile(  # a parameter of a query that holds a signature or a token, by its name
    r"[?&;](sig|auth|key|[^=&;]*(signature|token|secret|passw|credential|api_?key|access_?key)[^=&;]*)=", re.I
)
_REFERENCE = re.compile(r"#list=[^#&]+&line=[0-9]{1,18}$")


class ListedUrl(NamedTuple):
    """A reference to a URL with a secret: its public part, and the line of the list that holds it."""

    url: str
    list_uri: str
    line: int


class TarMember(NamedTuple):
    """A reference to a member of a tar: `size` bytes of the file `archive_uri` from byte `offset`."""

    archive_uri: str
    offset: int
    size: int


def path_to_uri(path: Path | str) -> str:
    """Return the absolute path, or its percent-encoded file:// URL if the name is not valid UTF-8.

    A name that looks like a member of a tar also gets a URL.
    """
    name = os.path.abspath(path)
    try:
        name.encode()
        is_plain = not _MEMBER.search(name)
    except UnicodeEncodeError:
        is_plain = False
    if not is_plain:
        return _FILE + quote_from_bytes(os.fsencode(name))
    return name


def local_path(uri: str) -> str | None:
    """Return the path on this machine, or None if `uri` is a remote URL or a member of a tar."""
    if _MEMBER.search(uri):
        return None
    if uri.startswith(_FILE):
        return os.fsdecode(unquote_to_bytes(os.fsencode(uri[len(_FILE) :])))
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


def hide_secrets(text: str) -> str:
    """Return a text in which URLs with a user, a signature or a token have neither user nor query."""
    return _URL.sub(lambda found: _hide_secret(found[0]), text) if "://" in text else text


def _hide_secret(url: str) -> str:
    has_user = "@" in re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    return public_url(url) if has_user or _SECRET.search(url.replace("-", "_")) else url


def refer_to_list(url: str, list_uri: str, line: int) -> str:
    """Return the `uri` for tables of a URL with a secret. See `ListedUrl`."""
    return f"{public_url(url)}#list={quote(list_uri, safe='/:')}&line={line}"


def listed_url(uri: str) -> ListedUrl | None:
    """Return the reference that `refer_to_list` made, or None for other locations."""
    uri = without_mark(uri)
    if not is_http(uri) or not _REFERENCE.search(uri):
        return None
    url, _, reference = uri.rpartition("#")
    fields = dict(parse_qsl(reference))
    return ListedUrl(url, fields["list"], int(fields["line"]))


def refer_to_member(archive_uri: str, name: bytes, offset: int, size: int) -> str:
    """Return the `uri` for tables of a member of a tar. See `TarMember`."""
    return f"{archive_uri}#member={quote_from_bytes(name)}&offset={offset}&size={size}"


def tar_member(uri: str) -> TarMember | None:
    """Return the reference that `refer_to_member` made, or None for other locations."""
    found = _MEMBER.search(uri)
    return TarMember(uri[: found.start()], int(found[2]), int(found[3])) if found else None


def name_ending(uri: str) -> str:
    """Return the ending of the name of a file or of a member of a tar, in lower case with its dot."""
    member = _MEMBER.search(uri)
    name = member[1] if member else uri
    if not member and is_http(uri):
        name = public_url(uri)
    return PurePosixPath(name).suffix.lower()


def escape_non_utf8(name: str) -> str:
    """Return a file name as valid UTF-8: an invalid byte becomes `\\xff`, a backslash two. Reversible."""
    doubled = name.replace("\\", "\\\\")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in doubled)
