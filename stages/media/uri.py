"""File locations: an absolute path, a file:// URL for a path that is not UTF-8, or an fsspec URL."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

_FILE = "file://"


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
    return None if "://" in uri and not uri.startswith("/") else uri


def open_uri(uri: str) -> Any:
    """Open a seekable binary file, which the caller must close.

    Raises:
        FileNotFoundError: The file does not exist.
    """
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    import fsspec

    return fsspec.open(uri, "rb").open()


def escape_non_utf8(name: str) -> str:
    """Return a file name as valid UTF-8: an invalid byte becomes `\\xff`, a backslash two. Reversible."""
    doubled = name.replace("\\", "\\\\")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in doubled)
