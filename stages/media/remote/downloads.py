"""Downloads files whose server does not answer range requests: once per process, up to a total size."""

import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.stores.process_folder import process_folder
from stages.media.errors import UnreadableFile
from stages.media.remote.http import HttpHead, public_url, request

if TYPE_CHECKING:
    import httpx2

MAX_BYTES = 32 << 30  # of all downloads of a process; the oldest are deleted first
_Key = tuple[int, str, int | None, str]  # process id, URL, size and stamp
_downloads: OrderedDict[_Key, Path] = OrderedDict()
_lock = threading.Lock()


def download(url: str, head: HttpHead) -> Path:
    """Return the path of a complete copy, which all readers of this process share. See `process_folder`.

    Raises:
        UnreadableFile: The file is larger than `MAX_BYTES`.
        RemoteReadError: The server failed in several attempts.
    """
    key = os.getpid(), url, head.size_bytes, head.stamp
    with _lock:
        path = _downloads.get(key)
        if path is None or not path.exists():
            path = _fetch(url, head.size_bytes)
        _downloads[key] = path
        _downloads.move_to_end(key)
        _delete_oldest()
        return path


def _fetch(url: str, size_bytes: int | None) -> Path:
    handle, name = tempfile.mkstemp(dir=process_folder())
    with os.fdopen(handle, "wb") as file:

        def consume(response: "httpx2.Response") -> bool | None:
            file.seek(0)
            file.truncate()
            if (size_bytes or 0) > MAX_BYTES:
                raise _too_large(url)
            for chunk in response.iter_bytes():
                if file.write(chunk) and file.tell() > MAX_BYTES:
                    raise _too_large(url)
            return True if size_bytes in (None, file.tell()) else None

        try:
            request(url, consume)
        except BaseException:
            os.unlink(name)
            raise
    return Path(name)


def _too_large(url: str) -> UnreadableFile:
    return UnreadableFile(
        f"the server of {public_url(url)} does not answer range requests, and the file is larger than the"
        f" limit of {MAX_BYTES >> 30} GiB for downloads: serve it with range requests, or copy it to S3"
    )


def _delete_oldest() -> None:
    sizes = {key: path.stat().st_size for key, path in _downloads.items() if path.exists()}
    for key in list(_downloads)[:-1]:
        if sum(sizes.values()) > MAX_BYTES:
            _downloads.pop(key).unlink(missing_ok=True)
            sizes.pop(key, None)
