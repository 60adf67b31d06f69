"""Conversion of errors of an object store or its library to errors for users."""

import errno
import re
from typing import Any
from urllib.parse import urlsplit

from manifests.errors import ClipmillError, ManifestError, StoreFull

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "507"}
_NO_ANSWER_CODES = {"SlowDown", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"}
_NO_ANSWER_STATUS = {408, 429, 500, 502, 503, 504}
_NO_ANSWER_ERRORS = {  # by name: the libraries are installed only for the stores that need them
    *("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseParserError"),
    *("ClientConnectionError", "ClientPayloadError", "FSTimeoutError", "TimeoutError"),
    *("FlexibleChecksumError", "ChecksumError"),
}
_NO_ANSWER_EXCEPT = {"SSLError", "ClientSSLError"}  # for example a certificate that is not trusted
_QUERY = r"\?[^\s\"']*"  # of the URL in a message
_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google")
_CREDENTIALS = (
    "set the credentials in the environment, not in the URL: AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (Google: GOOGLE_APPLICATION_CREDENTIALS);"
    " they need the permissions to list, read and write"
)


def code_of(error: BaseException) -> str:
    """The error code of the server, such as "NoSuchBucket", or ""."""
    return str(_answer_of(error).get("Error", {}).get("Code", ""))


def no_answer_reason(error: Exception) -> str:
    """Why a store did not answer, if a later attempt may succeed; "" if the error is an answer."""
    answer, code = _answer_of(error), code_of(error)
    if answer:
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if (status in _NO_ANSWER_STATUS or code in _NO_ANSWER_CODES) and code not in _FULL:
            reported = answer.get("Error", {}).get("Message", "")
            return " ".join(dict.fromkeys(text for text in (str(status), code, reported) if text))
        return ""
    if getattr(error, "code", None) in _NO_ANSWER_STATUS:  # gcsfs
        return f"{type(error).__name__}: {error}"
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _NO_ANSWER_ERRORS and not names & _NO_ANSWER_EXCEPT:
        return f"{type(error).__name__}: {re.sub(_QUERY, '', str(error))}"
    return ""


def _answer_of(error: BaseException) -> dict[str, Any]:
    """What botocore read of the answer to a refused request, or {}."""
    answer = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    return answer if isinstance(answer, dict) else {}


def is_library_error(error: BaseException) -> bool:
    """Whether a library of an object store raised the error, for example because of the connection."""
    return type(error).__module__.split(".")[0] in _LIBRARIES


def readable_error(error: Exception, url: str, name: str) -> Exception:
    """The error for the user; `error` itself if it is a `ClipmillError`, a missing file, or unknown."""
    scheme, place = urlsplit(url).scheme, f"{url}/{name}".rstrip("/")
    code = code_of(error)
    if isinstance(error, ClipmillError):
        return error
    if code == "NoSuchBucket":
        return ManifestError(
            f"there is no bucket {urlsplit(url).netloc!r}",
            where=place,
            remedy="create the bucket, or correct its name or the endpoint (AWS_ENDPOINT_URL)",
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
            f"no space left for {name}: {error}",
            where=place,
            remedy="free some space there, or on the local disk for downloads (TMPDIR), and run again",
        )
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return ManifestError(f"the store refused access: {error}", where=place, remedy=_CREDENTIALS)
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return ManifestError(
            f"{scheme}:// is not a supported kind of store",
            where=place,
            remedy="use a folder, s3:// or gs://",
        )
    if isinstance(error, OSError) or is_library_error(error):
        return ManifestError(
            f"the request to the store failed: {type(error).__name__}: {error}",
            where=place,
            remedy="check that the store is reachable, and run the same command again; finished work is kept",
        )
    return error
