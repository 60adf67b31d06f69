"""Errors for users: each states what is wrong, where, and the remedy.

ClipmillError               what · where · remedy, printed on one screen
├── InvalidSetting          a setting or an argument has a value that is not allowed
└── ManifestError           the tables and the store
    ├── StoreUnusable       the store cannot be a folder: it is a file, or it cannot be created or written
    ├── UnknownColumn       a predicate or a view names a column that no step adds
    ├── UnknownName         there is no store, no run, or no rows of the name that a command gives
    ├── InvalidPredicate    the text of a predicate cannot be read, or its types do not fit
    ├── SchemaMismatch      rows do not fit the declared columns, or two parts disagree
    ├── StoreUnavailable    an object store did not answer for as long as its patience
    ├── StoreFull           the disk or the quota of the store is full
    ├── OlderFormat         an older clipmill wrote the store
    ├── NewerFormat         a newer clipmill wrote the store
    └── Damaged             a file does not match its digest, or cannot be read
"""

import errno
from typing import ClassVar

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}  # ENOENT: of its root


class ClipmillError(Exception):
    """Base of every error that is written for users.

    Args:
        what: One sentence that states what is wrong.
        where: The file, node, column or line; empty if `what` states it.
        remedy: What the user can do; empty if `what` is enough.

    Attributes:
        exit_code: The exit code of a command that ends with this error: 1 failed, 2 wrong usage.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  where:  {self.where}"] if self.where else []
        lines += [f"  remedy: {self.remedy}"] if self.remedy else []
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[ClipmillError], what: str, where: str, remedy: str) -> ClipmillError:
    """Rebuild an error in another process, from its pickle."""
    return kind(what, where=where, remedy=remedy)


class InvalidSetting(ClipmillError):
    """A setting or an argument has a value that is not allowed."""

    exit_code = 2


class ManifestError(ClipmillError):
    """An error of the tables or the store."""


class StoreUnusable(ManifestError):
    """The store cannot be a folder: it is a file, or it cannot be created or written."""


class UnknownColumn(ManifestError):
    """A predicate or a view names a column that no step adds."""

    exit_code = 2


class UnknownName(ManifestError):
    """There is no store, no run, or no rows of the name that a command gives."""

    exit_code = 2


class InvalidPredicate(ManifestError):
    """The text of a predicate cannot be read, or its types do not fit."""

    exit_code = 2


class SchemaMismatch(ManifestError):
    """Rows do not fit the declared columns, or two parts of a table disagree."""


class StoreUnavailable(ManifestError):
    """An object store did not answer for as long as its patience (`CLIPMILL_STORE_PATIENCE`)."""


class StoreFull(ManifestError):
    """The disk or the quota of the store is full."""


class OlderFormat(ManifestError):
    """An older version of clipmill wrote the store."""


class NewerFormat(ManifestError):
    """A newer version of clipmill wrote the store."""


class Damaged(ManifestError):
    """A file does not match its digest, or cannot be read."""


def disk_full_error(error: OSError, where: str) -> Exception:
    """Return `StoreFull` if the error means that the disk is full, else the error itself."""
    if error.errno not in _DISK_FULL:
        return error
    return StoreFull(
        "no space left to write",
        where=where,
        remedy="free some disk space and run the same command again; all finished work is kept",
    )


def unusable_store_error(error: OSError, where: str) -> Exception:
    """Return why a file of a store cannot be written, or the error itself if the store is not at fault."""
    if error.errno in _NOT_A_FOLDER:
        return StoreUnusable(
            "the store is not a folder: a part of its path is a file",
            where=where,
            remedy="choose another folder as the store",
        )
    if error.errno in _NOT_WRITABLE:
        return StoreUnusable(
            f"the store cannot be written: {error.strerror}",
            where=where,
            remedy="choose a folder that you may write, or change its permissions",
        )
    return disk_full_error(error, where)
