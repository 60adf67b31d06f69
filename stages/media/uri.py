"""Where a file lies: an absolute path, a file:// URL where that is not UTF-8, or a URL that fsspec opens."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

_FILE = "file://"


def uri_of(path: Path) -> str:
    """The absolute path itself, or its percent-encoded file:// URL where the name is not valid UTF-8."""
    name = os.path.abspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        return _FILE + quote_from_bytes(os.fsencode(name))
    return name


def local_path(uri: str) -> str | None:
    """The path on this machine, or None where `uri` is the URL of something elsewhere."""
    if uri.startswith(_FILE):
        return os.fsdecode(unquote_to_bytes(uri[len(_FILE) :]))
    return None if "://" in uri and not uri.startswith("/") else uri


def open_uri(uri: str) -> Any:
    """A seekable binary file; to be closed by the caller.

    Raises:
        FileNotFoundError: nothing is there.
    """
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    import fsspec

    return fsspec.open(uri, "rb").open()


def printable(name: str) -> str:
    """A file name as valid UTF-8: a byte that is not becomes `\\xff`, a backslash two. Reversible."""
    doubled = name.replace("\\", "\\\\")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in doubled)
