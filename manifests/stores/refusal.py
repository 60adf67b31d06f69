"""What an object store or its library refused, told on one screen with its remedy."""

import errno
from typing import Any
from urllib.parse import urlsplit

from manifests.errors import ClipmillError, ManifestError, StoreFull

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "507"}
_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google")
_CREDENTIALS = (
    "credentials come from the environment, never from the URL: set AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (Google: GOOGLE_APPLICATION_CREDENTIALS);"
    " they need to list, read and write there"
)


def code_of(error: BaseException) -> str:
    """The server's own word for an error ("NoSuchBucket"), or ""."""
    answer: Any = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def refusal(error: Exception, url: str, name: str) -> Exception:
    """The error that the user sees: `error` itself where it is one of ours or a missing file."""
    scheme, place = urlsplit(url).scheme, f"{url}/{name}".rstrip("/")
    code = code_of(error)
    if isinstance(error, ClipmillError):
        return error
    if code == "NoSuchBucket":
        return ManifestError(
            f"there is no bucket {urlsplit(url).netloc!r}",
            where=place,
            remedy="make it first, or correct the name or the endpoint (AWS_ENDPOINT_URL)",
        )
    if isinstance(error, FileNotFoundError):
        return error
    if isinstance(error, ImportError):
        extra = _EXTRAS.get(scheme)
        return ManifestError(
            f"{scheme}:// needs a package that is not installed: {error}",
            where=place,
            remedy=f"pip install 'clipmill[{extra}]'" if extra else "install the fsspec package for it",
        )
    if code in _FULL or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return StoreFull(
            f"no room left for {name}: {error}",
            where=place,
            remedy="free some room there, or on this machine's disk for downloads (TMPDIR), and run again",
        )
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return ManifestError(f"the store refuses access: {error}", where=place, remedy=_CREDENTIALS)
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return ManifestError(
            f"{scheme}:// is no kind of store", where=place, remedy="use a folder, s3:// or gs://"
        )
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in _LIBRARIES:
        return ManifestError(
            f"the store did not do what was asked: {type(error).__name__}: {error}",
            where=place,
            remedy="see that it is reachable, and run the same command again; everything finished is kept",
        )
    return error
