"""Computes a digest of samples of a file, which identifies its content and detects changes at low cost."""

import hashlib
import os
from functools import lru_cache
from typing import Any

from stages.media.uri import local_path, open_uri

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

    Results for local files are cached in this process until the modification time, size or inode changes.
    Remote files are read each time.

    Raises:
        FileNotFoundError: The file does not exist.
    """
    path = local_path(uri)
    if path is None:
        return _read_fingerprint(uri)
    status = os.stat(path)
    return _cached_fingerprint(uri, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=256)
def _cached_fingerprint(uri: str, stamp: tuple[int, int, int]) -> tuple[int, str]:
    return _read_fingerprint(uri)


def _read_fingerprint(uri: str) -> tuple[int, str]:
    with open_for_sampling(uri) as file:
        size_bytes = file.seek(0, 2)
        return size_bytes, sample_digest(file, size_bytes)


def open_for_sampling(uri: str) -> Any:
    """Open a file like `open_uri`, but fetch only the requested bytes of a remote file."""
    if local_path(uri) is not None:
        return open_uri(uri)
    import fsspec

    return fsspec.open(uri, "rb", cache_type="none", block_size=SAMPLE_BYTES).open()
