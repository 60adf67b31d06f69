"""Errors that say what is wrong, where, and what to do about it.

ClipmillError               what · where · remedy, printed on one screen
└── ManifestError           the tables and the store
    ├── UnknownColumn       a predicate or a view names a column that no step adds
    ├── SchemaMismatch      rows do not fit the declared columns, or two parts disagree
    ├── StoreFull           the disk or the quota under the store is full
    ├── NewerFormat         the store was written by a newer clipmill
    └── Damaged             a file is not what its digest says, or is not readable
"""

import errno

_FULL = {errno.ENOSPC, errno.EDQUOT}


class ClipmillError(Exception):
    """Base of every error that is meant for a user's eyes.

    Args:
        what: one sentence saying what is wrong.
        where: the file, node, column or line it was found in; empty where `what` says it already.
        remedy: what the user can do; empty where nothing but reading `what` helps.
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
        return _again, (type(self), self.what, self.where, self.remedy)


def _again(kind: type[ClipmillError], what: str, where: str, remedy: str) -> ClipmillError:
    """Rebuild an error on the other side of a process border."""
    return kind(what, where=where, remedy=remedy)


class ManifestError(ClipmillError):
    """The tables or the store are at fault."""


class UnknownColumn(ManifestError):
    """A predicate or a view names a column that no step adds."""


class SchemaMismatch(ManifestError):
    """Rows do not fit the declared columns, or two parts of a table disagree."""


class StoreFull(ManifestError):
    """The disk or the quota under the store is full."""


class NewerFormat(ManifestError):
    """The store was written by a newer clipmill."""


class Damaged(ManifestError):
    """A file is not what its digest says, or cannot be read."""


def told_if_full(error: OSError, where: str) -> Exception:
    """The error itself, or a `StoreFull` that says what to do if it means that no room is left."""
    if error.errno not in _FULL:
        return error
    return StoreFull(
        "no room left to write",
        where=where,
        remedy="free some room and run the same command again; everything finished is kept",
    )
