"""Output of the `clipmill manifest` verbs: tables, checks and differences as text and as JSON values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from manifests.catalog import Table
from manifests.schema import ARTIFACT
from manifests.table import RowCounts, part_name, read_part, read_row_counts
from manifests.verbs.comparison import Change, Difference
from manifests.verbs.validation import CheckResult

_CELL_WIDTH = 40  # characters of one cell
_MAX_FAULTS = 100  # faults that the text lists


def tables_json(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """A summary of each table of a store."""
    return [_summary(table) for table in tables]


def tables_text(url: str, tables: Iterable[Table]) -> str:
    head = ("table", "kind", "rows", "parts", "rejected", "dropped", "")
    lines = [
        (s["folder"], s["kind"], *(f"{s[n]:,}" for n in head[2:6]), "" if s["complete"] else "not finished")
        for s in tables_json(tables)
    ]
    return f"{url}\n{_grid([head, *lines])}"


def table_json(table: Table, rows: int) -> dict[str, Any]:
    """The manifest of one table, a summary, and its first rows."""
    summary = _summary(table)
    first_rows = [_json_row(row) for row in _first(table, rows)]
    return {**summary, **asdict(table.manifest), "parts": summary["parts"], "first_rows": first_rows}


def table_text(table: Table, rows: int) -> str:
    manifest, summary = table.manifest, _summary(table)
    first = _first(table, rows)
    names = [column["name"] for column in manifest.columns]
    properties = [
        ("step", manifest.node),
        ("kind", manifest.kind),
        ("state", "complete" if summary["complete"] else "not finished"),
        ("rows", f"{summary['rows']:,} in {summary['parts']:,} parts"),
        ("rejected", f"{summary['rejected']:,}"),
        ("dropped", f"{summary['dropped']:,}"),
        ("adds columns to", manifest.base or "no table: it has its own rows"),
        ("inputs", ", ".join(manifest.inputs) or "none: a source"),
        *((k, _cell(v, 200)) for k, v in _origin(manifest.made_by)),
        *((f"{name} key", key) for name, key in manifest.keys.items()),
    ]
    columns = [(c["name"], _kind(c), c["unit"], c["meaning"]) for c in manifest.columns]
    blocks = [f"{table.store.url}/{table.folder}", _grid(properties)]
    blocks.append(_grid([("column", "type", "unit", "meaning"), *columns]))
    if first:
        blocks.append(_grid([names, *([_cell(row[n], _CELL_WIDTH) for n in names] for row in first)]))
    return "\n\n".join(blocks)


def check_json(result: CheckResult) -> dict[str, Any]:
    return {**asdict(result), "artifacts": len(result.artifacts), "valid": not result.faults}


def check_text(url: str, result: CheckResult) -> str:
    counts = f"{result.tables:,} tables, {result.parts:,} parts, {result.rows:,} rows"
    lines = [f"{url}: checked {counts}, {len(result.artifacts):,} artifacts"]
    lines += [f"note: {_safe(note)}" for note in result.notes]
    for fault in result.faults[:_MAX_FAULTS]:
        lines.append(f"fault: {_safe(fault.what)}\n  where:  {_safe(fault.where)}\n  remedy: {fault.remedy}")
    if len(result.faults) > _MAX_FAULTS:
        lines.append(f"… and {len(result.faults) - _MAX_FAULTS:,} more: --json lists them all")
    lines.append(f"{len(result.faults):,} faults" if result.faults else "valid: no faults")
    return "\n".join(lines)


def difference_json(difference: Difference) -> dict[str, Any]:
    changed = {
        name: {"rows": c.rows, "examples": [[i, _json_value(a), _json_value(b)] for i, a, b in c.examples]}
        for name, c in difference.changed.items()
    }
    return {**asdict(difference), "changed": changed, "equal": difference.is_equal}


def difference_text(difference: Difference) -> str:
    node, here, there = difference.node, difference.here, difference.there
    if not here or not there:
        return f"{node}: only {'there' if there else 'here'} ({here or there})"
    if difference.is_equal:
        lines = [f"{node}: equal, {difference.rows_in_both:,} rows"]
    else:
        rows = "rows dropped" if difference.kind == "drops" else "rows"
        lines = [
            f"{node}: {difference.rows_in_both:,} {rows} in both,"
            f" {difference.only_here:,} only here, {difference.only_there:,} only there"
        ]
    if here != there:
        lines.append(f"  here:  {here}\n  there: {there}")
    lines += [
        f"  {k}: {_cell(a, 60)} here, {_cell(b, 60)} there" for k, (a, b) in difference.settings.items()
    ]
    for word, ids in difference.examples.items():
        more = (difference.only_here if word == "only_here" else difference.only_there) - len(ids)
        if ids:
            lines.append(
                f"  {word.replace('_', ' ')}: {', '.join(map(_safe, ids))}"
                + (f" and {more:,} more" * (more > 0))
            )
    lines += [f"  column only here: {name}" for name in difference.columns_only_here]
    lines += [f"  column only there: {name}" for name in difference.columns_only_there]
    lines += [_changed(name, change) for name, change in difference.changed.items()]
    return "\n".join(lines)


def _changed(name: str, change: Change) -> str:
    shown = [
        f"    {_safe(i)}: {_cell(a, _CELL_WIDTH)} → {_cell(b, _CELL_WIDTH)}" for i, a, b in change.examples
    ]
    return "\n".join([f"  {name} differs in {change.rows:,} rows", *shown])


def _summary(table: Table) -> dict[str, Any]:
    if table.complete_manifest:
        row_counts = table.complete_manifest.row_counts
    else:
        each = (read_row_counts(table.store, f"{table.folder}/{part_name(n)}") for n in table.part_numbers)
        row_counts = sum(each, RowCounts())
    return {
        "folder": table.folder,
        "kind": table.manifest.kind,
        "rows": row_counts.rows_out,
        "parts": len(table.part_numbers),
        "rejected": row_counts.rejected,
        "dropped": row_counts.dropped,
        "complete": table.complete_manifest is not None,
    }


def _first(table: Table, rows: int) -> list[dict[str, Any]]:
    """The first rows of a table. Reads only as many parts as necessary."""
    first: list[dict[str, Any]] = []
    for number in table.part_numbers:
        if len(first) < rows:
            part = read_part(table.store, f"{table.folder}/{part_name(number)}")
            first += part.slice(0, rows - len(first)).to_pylist()
    return first


def _origin(made_by: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What made a table: the stage or the rule, its version and its settings."""
    origin: list[tuple[str, Any]] = []
    for key, value in sorted(made_by.items(), key=lambda item: item[0] != "stage"):
        if key == "settings":
            origin += [(f"setting {name}", setting) for name, setting in value.items()]
        elif value != "":
            origin.append((key, value))
    return origin


def _kind(column: Mapping[str, Any]) -> str:
    kind = "artifact" if column["type"] == str(ARTIFACT) else str(column["type"])
    return f"{kind} or missing" if column["nullable"] else kind


def _json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _json_value(value) for name, value in row.items()}


def _json_value(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _cell(value: Any, width: int) -> str:
    if isinstance(value, dict) and "sha256" in value:
        value = f"{value['path']} ({value['size_bytes']:,} bytes)"
    if isinstance(value, list | tuple) and len(value) > 4:
        value = f"[{', '.join(_cell(v, 10) for v in value[:3])}, … {len(value)} values]"
    if isinstance(value, float):
        value = f"{value:.6g}"
    text = _safe("missing" if value is None else str(value))
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _safe(text: str) -> str:
    """Escape control characters, because names come from files and must not control the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _grid(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
