"""A digest of samples of a file: tells it from others, and from itself after a change, at a small price."""

import hashlib
import os
from functools import lru_cache
from typing import Any

from stages.media.uri import local_path, open_uri

SAMPLES, SAMPLE_BYTES = 16, 1 << 16


def sampled(opened: Any, size_bytes: int) -> str:
    """SHA-256 of 16 samples of 64 KiB at even distances, the first and the last bytes among them.

    Of a file of up to 1 MiB: of all of it.
    """
    seen = hashlib.sha256()
    whole = size_bytes <= SAMPLES * SAMPLE_BYTES
    step = 0 if whole else (size_bytes - SAMPLE_BYTES) / (SAMPLES - 1)
    for k in range(1 if whole else SAMPLES):
        opened.seek(round(k * step))
        seen.update(opened.read(size_bytes if whole else SAMPLE_BYTES))
    return seen.hexdigest()


def fingerprint(uri: str) -> tuple[int, str]:
    """Size in bytes, and `sampled`, of what stands at a path or URL now.

    What this process has looked at is looked at again only where its time of change, size or inode differ;
    what is elsewhere is looked at each time.

    Raises:
        FileNotFoundError: nothing is there.
    """
    path = local_path(uri)
    if path is None:
        return _looked_at(uri)
    about = os.stat(path)
    return _remembered(uri, (about.st_size, about.st_mtime_ns, about.st_ino))


@lru_cache(maxsize=256)
def _remembered(uri: str, stamp: tuple[int, int, int]) -> tuple[int, str]:
    return _looked_at(uri)


def _looked_at(uri: str) -> tuple[int, str]:
    with open_for_samples(uri) as opened:
        size_bytes = opened.seek(0, 2)
        return size_bytes, sampled(opened, size_bytes)


def open_for_samples(uri: str) -> Any:
    """As `open_uri`, but of what is elsewhere no more is fetched than is asked for."""
    if local_path(uri) is not None:
        return open_uri(uri)
    import fsspec

    return fsspec.open(uri, "rb", cache_type="none", block_size=SAMPLE_BYTES).open()
