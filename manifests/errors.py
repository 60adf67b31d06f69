"""Errors for users: each states what is wrong, where, and the remedy.

ClipmillError               what · where · remedy, printed on one screen
└── ManifestError           the tables and the store
    ├── UnknownColumn       a predicate or a view names a column that no step adds
    ├── SchemaMismatch      rows do not fit the declared columns, or two parts disagree
    ├── StoreFull           the disk or the quota of the store is full
    ├── OlderFormat         an older clipmill wrote the store
    ├── NewerFormat         a newer clipmill wrote the store
    └── Damaged             a file does not match its digest, or cannot be read
"""

import errno

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class ClipmillError(Exception):
    """Base of every error that is written for users.

    Args:
        what: One sentence that states what is wrong.
        where: The file, node, column or line; empty if `what` states it.
        remedy: What the user can do; empty if `what` is enough.
    """

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


class ManifestError(ClipmillError):
    """An error of the tables or the store."""


class UnknownColumn(ManifestError):
    """A predicate or a view names a column that no step adds."""


class SchemaMismatch(ManifestError):
    """Rows do not fit the declared columns, or two parts of a table disagree."""


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
