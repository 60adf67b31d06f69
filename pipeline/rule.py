"""A rule (`keep`): its predicate, its reason, and whether it decides rows alone or in groups."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import UnknownColumn
from manifests.predicate import evaluate_all, names_in, parse
from pipeline.column_authors import missing_column_remedy
from pipeline.errors import PlanError

ALL, ANY = "all", "any"
_NO_VERDICT = pa.nulls(1, pa.bool_())[0]  # pa.scalar loads pandas


@dataclass(frozen=True)
class Keep:
    """A rule: keep the rows for which the predicate `where` is true; drop the others, with a reason.

    Attributes:
        where: The predicate.
        because: The reason of a drop.
        across: A column. Rows with the same value in it are kept or dropped together, for example the clips
            of all cameras. "" decides each row alone.
        when: With `across`: "all" keeps a group if the predicate is true for each of its rows, "any" if it is
            true for at least one.
    """

    where: str
    because: str
    across: str = ""
    when: str = ALL

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule reads."""
        return tuple(dict.fromkeys((*names_in(self.where), *filter(None, [self.across]))))

    def __str__(self) -> str:
        rows = {ALL: "all rows", ANY: "any row"}.get(self.when, self.when)
        return f"{self.where} in {rows} of a {self.across}" if self.across else self.where


def check_rule(rule: Keep, available: pa.Schema, groups: Collection[str]) -> None:
    """Check that a rule can be evaluated on rows with these columns.

    Args:
        rule: The rule.
        available: The columns of the rows.
        groups: The columns whose equal values are in one part.

    Raises:
        PlanError: It has no reason, reads no column, or `across` or `when` is wrong.
        ManifestError: The predicate is wrong.
    """
    if not rule.because.strip():
        raise PlanError(f"the rule {rule.where!r} has no reason", remedy='add because="…"')
    if not names_in(rule.where):
        raise PlanError(f"the rule {rule.where!r} reads no column, so it keeps all rows or none")
    try:
        parse(rule.where, available)
    except UnknownColumn as error:
        unknown = next(name for name in names_in(rule.where) if name not in available.names)
        remedy = missing_column_remedy(unknown, available.names)
        raise UnknownColumn(error.what, where=error.where, remedy=remedy) from error
    if rule.when not in (ALL, ANY):
        raise PlanError(f"`when` of the rule {rule.where!r} is {rule.when!r}", remedy="set it to all or any")
    check_group(rule.across, groups, f"the rule {rule.where!r}")


def check_group(column: str, groups: Collection[str], what: str) -> None:
    """Check that all rows with the same value in a column are in one part; "" names no column.

    Raises:
        PlanError: They may be in different parts.
    """
    if column and column not in groups:
        raise PlanError(
            f"{what} cannot group rows by {column!r}: rows with the same value may be in different parts",
            remedy=f"columns that group rows: {', '.join(groups) or 'none here'}; `column(…, group=True)` "
            "declares that all rows with the same value descend from one row of the source",
        )


def decide(rules: Sequence[Keep], rows: pa.Table) -> list[pa.BooleanArray]:
    """The verdict of each rule for each row: true, false, or null where a value is missing.

    Each rule sees only the rows that all earlier rules keep; its verdicts for other rows have no meaning.
    """
    verdicts = evaluate_all([rule.where for rule in rules], rows)
    among = pa.repeat(True, rows.num_rows)
    decided = []
    for rule, verdict in zip(rules, verdicts, strict=True):
        if rule.across:
            verdict = group_verdicts(rule, verdict, rows.column(rule.across), among)
        decided.append(verdict)
        among = pc.and_(among, pc.fill_null(verdict, False))
    return decided


def group_verdicts(
    rule: Keep, verdict: pa.BooleanArray, groups: pa.ChunkedArray | pa.Array, among: pa.BooleanArray
) -> pa.BooleanArray:
    """The verdict of the group of each row, of the rows `among`.

    With "all": false if it is false for a row, else null if it is null for one. With "any": true if it is
    true for a row, else null if it is null for one.
    """
    decisive = rule.when == ANY
    is_decided = group_has(pc.and_(among, pc.fill_null(pc.equal(verdict, decisive), False)), groups)
    is_open = group_has(pc.and_(among, pc.is_null(verdict)), groups)
    return pc.if_else(is_decided, decisive, pc.if_else(is_open, _NO_VERDICT, not decisive))


def decide_groups(
    rule: Keep, verdict: pa.BooleanArray, is_unknown: pa.BooleanArray, groups: pa.Array
) -> tuple[pa.BooleanArray, pa.BooleanArray]:
    """The verdict of the group of each row where values may be unknown, and whether it is unknown.

    Args:
        rule: The rule.
        verdict: The verdict of each row alone.
        is_unknown: Whether a value that the row's verdict depends on is not known yet.
        groups: The group of each row; null where it is not known.
    """
    known = pc.if_else(is_unknown, _NO_VERDICT, verdict)
    verdict = group_verdicts(rule, known, groups, pa.repeat(True, len(known)))
    verdict = pc.if_else(pc.is_null(groups), _NO_VERDICT, verdict)
    is_open = pc.and_(group_has(is_unknown, groups), pc.is_null(verdict))
    return verdict, pc.or_(is_open, pc.is_null(groups))


def group_has(mask: pa.BooleanArray, groups: pa.ChunkedArray | pa.Array) -> pa.BooleanArray:
    """For each row, whether `mask` is true for a row of its group."""
    array = groups.combine_chunks() if isinstance(groups, pa.ChunkedArray) else groups
    return pc.is_in(array, value_set=pc.unique(array.filter(mask)))
