"""Conditional writes on an object store: create-if-absent, and replace-if-unchanged.

If the answer to a write is lost, the library repeats the request, and the server refuses the second one: the
name exists, or the file has changed. Therefore a refusal is not believed before the file is read back. A new
file carries a token of its writer in its metadata; equal bytes of another writer are not taken for our own.
"""

import inspect
import time
import uuid
from collections.abc import Callable
from typing import Any

import fsspec

from manifests.stores.file_systems import protocol_of
from manifests.stores.remote_errors import code_of

_TOKEN = "clipmill-writer"  # key of the metadata of a file
_REFUSED = {"PreconditionFailed", "412"}
_CONFLICT = {"ConditionalRequestConflict", "OperationAborted", "409"}  # two concurrent writers: try again
_NOT_SUPPORTED = {"NotImplemented", "501"}
_MAX_ATTEMPTS = 6


class NewFile:
    """A file that is created if it is absent. Its token is the same in all attempts."""

    def __init__(self, files: Any, path: str) -> None:
        self.files, self.path = files, path
        self.token = uuid.uuid4().hex

    def write(self, put: Callable[..., object]) -> bool:
        """Create the file. Returns whether this call, or an earlier attempt, wrote it.

        Args:
            put: Makes the conditional write, with the given options.
        """
        options = self._options()
        for attempt in range(_MAX_ATTEMPTS):
            try:
                put(**options)
                return True
            except FileExistsError:
                return self._is_written()
            except OSError as error:
                if code_of(error) in _REFUSED:
                    return self._is_written()
                if code_of(error) == "NoSuchUpload" and self.files.exists(self.path):
                    return self._is_written()  # the first request to join the parts succeeded
                if code_of(error) not in _CONFLICT or attempt == _MAX_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt either returns or raises")

    def _options(self) -> dict[str, Any]:
        """The options of a write that store the token; none where the file system has no metadata."""
        if protocol_of(self.files) == "s3":
            given = (self.files.s3_additional_kwargs or {}).get("Metadata", {})
            return {"Metadata": {**given, _TOKEN: self.token}}
        return {"metadata": {_TOKEN: self.token}} if protocol_of(self.files) == "gs" else {}

    def _is_written(self) -> bool:
        """Whether the file that exists is ours: the answer to an earlier request was lost."""
        try:
            if protocol_of(self.files) == "s3":
                return bool(self.files.metadata(self.path).get(_TOKEN) == self.token)
            return (self.files.info(self.path).get("metadata") or {}).get(_TOKEN) == self.token
        except FileNotFoundError:
            return False  # deleted since


def replace_if_unchanged(files: Any, path: str, expected: bytes, data: bytes) -> bool:
    """Replace a file if its content is `expected`. Returns whether it has the content `data` now.

    On S3 the server compares (`If-Match`); elsewhere another writer may come between reading and writing.
    """
    for attempt in range(_MAX_ATTEMPTS):
        try:
            condition = {"IfMatch": files.info(path)["ETag"]} if protocol_of(files) == "s3" else {}
            found = bytes(files.cat_file(path))
            if found != expected:
                return found == data  # an earlier request wrote it, and its answer was lost
            files.pipe_file(path, data, **condition)
            return True
        except FileNotFoundError:
            return False
        except OSError as error:
            code = code_of(error)
            if code in _NOT_SUPPORTED:
                files.pipe_file(path, data)
                return True
            if code not in _REFUSED | _CONFLICT or attempt == _MAX_ATTEMPTS - 1:
                raise
            time.sleep(0.05 * 2**attempt)  # the next attempt compares again
    raise AssertionError("the last attempt either returns or raises")


def supports_mode(files: Any, method: str) -> bool:
    """Whether a file system has its own conditional write. The generic one of fsspec is not atomic."""
    own = getattr(type(files), f"_{method}", None) or getattr(type(files), method)
    general = getattr(fsspec.AbstractFileSystem, method)
    return own is not general and ("mode" in inspect.signature(own).parameters)


def is_created_twice(files: Any, path: str) -> bool:
    """Whether the server accepts a second conditional write of one name. Leaves an empty file."""
    return all(_creates(files, path) for _ in range(2))


def _creates(files: Any, path: str) -> bool:
    try:
        files.pipe_file(path, b"", mode="create")
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if code_of(error) in _REFUSED | _CONFLICT:
            return False
        raise
