"""Files of object stores and of other file systems that fsspec supports.

URLs are taken literally: `::`, `?`, `#`, `*` and `%` are parts of names. fsspec would read `::` as a chain of
file systems.
"""

from typing import Any

from manifests import ClipmillError
from manifests.stores.remote_errors import code_of, is_library_error, readable_error
from stages.media.errors import UnreadableFile
from stages.media.remote.errors import RemoteReadError, wait_before_retry

_MAX_ATTEMPTS = 3  # on top of those of the library


class ObjectRanges:
    """The ranges of one object."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._files, self._path = open_file_system(url)
        self.info: dict[str, Any] = call(url, self._files.info, self._path)
        if self.info.get("type") == "directory":
            raise UnreadableFile("this is a folder, not a file")
        self.size_bytes = int(self.info.get("size") or 0)

    def read(self, start: int, end: int) -> bytes:
        """See `Ranges.read`."""
        return bytes(call(self._url, self._files.cat_file, self._path, start=start, end=end))


def open_file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        ClipmillError: The type of URL is unknown, or its package is not installed.
    """
    import fsspec

    protocol = url.partition("://")[0]
    try:
        kind = fsspec.get_filesystem_class(protocol)
        return kind(**kind._get_kwargs_from_urls(url), use_listings_cache=False), kind._strip_protocol(url)
    except ValueError as error:
        raise ClipmillError(
            f"cannot open this type of URL: {protocol}://",
            where=url,
            remedy="use a folder, or a URL that begins with https://, http://, s3:// or gs://",
        ) from error
    except ImportError as error:
        raise readable_error(error, url, "") from error
    except (TypeError, AttributeError, KeyError, OSError) as error:  # it needs more than a URL
        remedy = "copy the files to a folder or a bucket"
        raise ClipmillError(f"cannot open this URL: {error}", where=url, remedy=remedy) from error


def stamp_of(info: dict[str, Any]) -> str:
    """Return a value that changes when an object changes; "" if the file system gives none."""
    return str(info.get("ETag") or info.get("LastModified") or info.get("mtime") or "")


def call(url: str, function: Any, *args: Any, **options: Any) -> Any:
    """Call a function of a file system, and repeat it after failures of the connection.

    Raises:
        FileNotFoundError: The object or its bucket does not exist.
        RemoteReadError: The service cannot be reached, or refuses access.
    """
    failures = 0
    while True:
        try:
            return function(*args, **options)
        except Exception as error:
            if code_of(error) == "NoSuchBucket":
                raise FileNotFoundError(f"{url}: there is no such bucket") from error
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(f"{url} does not exist") from error
            is_refused = isinstance(error, PermissionError) or "Credentials" in type(error).__name__
            if not (is_refused or isinstance(error, OSError) or is_library_error(error)):
                raise
            failures += 1
            if is_refused or failures >= _MAX_ATTEMPTS:
                what = "access is refused" if is_refused else f"failed in {failures} attempts"
                raise RemoteReadError(f"{url}: {what}: {type(error).__name__}: {error}") from error
        wait_before_retry(failures)
