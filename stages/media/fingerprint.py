"""Computes a digest of samples of a file, which identifies its content and detects changes at low cost."""

import hashlib
import os
from functools import lru_cache
from typing import Any

from stages.media.files import FileStatus, file_status, open_uri
from stages.media.uri import local_path

SAMPLES, SAMPLE_BYTES = 16, 1 << 16


def sample_digest(file: Any, size_bytes: int) -> str:
    """Return the SHA-256 of 16 samples of 64 KiB at even distances, including the first and the last bytes.

    Files of up to 1 MiB are hashed completely.
    """
    digest = hashlib.sha256()
    is_small = size_bytes <= SAMPLES * SAMPLE_BYTES
    step = 0 if is_small else (size_bytes - SAMPLE_BYTES) / (SAMPLES - 1)
    for k in range(1 if is_small else SAMPLES):
        file.seek(round(k * step))
        digest.update(file.read(size_bytes if is_small else SAMPLE_BYTES))
    return digest.hexdigest()


def fingerprint(uri: str) -> tuple[int, str]:
    """Return the size in bytes and the `sample_digest` of the file at a path or URL.

    Results are cached in this process until size, stamp or inode change; see `file_status`. A remote file
    whose server gives no stamp is read each time.

    Raises:
        FileNotFoundError: The file does not exist.
        UnreadableFile: It is not a regular file.
        RemoteReadError: The server fails or refuses access.
    """
    status, path = file_status(uri), local_path(uri)
    inode = os.stat(path).st_ino if path is not None else 0
    return _cached_fingerprint(uri, status, inode) if status.stamp else _read_fingerprint(uri)


@lru_cache(maxsize=256)
def _cached_fingerprint(uri: str, status: FileStatus, inode: int) -> tuple[int, str]:
    return _read_fingerprint(uri)


def _read_fingerprint(uri: str) -> tuple[int, str]:
    with open_uri(uri, read_ahead=False) as file:
        size_bytes = file.seek(0, 2)
        return size_bytes, sample_digest(file, size_bytes)
