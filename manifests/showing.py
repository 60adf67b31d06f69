"""Tables, checks and differences as text for a terminal, and as plain values for JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from manifests.catalogue import Table
from manifests.checking import Checked
from manifests.comparing import Change, Difference
from manifests.schema import ARTIFACT
from manifests.table import part_name, read_part, read_row_counts

_WIDEST = 40  # characters of one cell
_FAULTS = 100  # faults listed as text


def tables_plain(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """One line per table of a store."""
    return [_summary(table) for table in tables]


def tables_text(url: str, tables: Iterable[Table]) -> str:
    head = ("table", "kind", "rows", "parts", "rejected", "dropped", "")
    lines = [
        (s["folder"], s["kind"], *(f"{s[n]:,}" for n in head[2:6]), "" if s["whole"] else "not finished")
        for s in tables_plain(tables)
    ]
    return f"{url}\n{_grid([head, *lines])}"


def table_plain(table: Table, rows: int) -> dict[str, Any]:
    """All about one table, and its first rows."""
    manifest = table.manifest
    said = asdict(manifest)
    said["parts"] = _summary(table)["parts"]
    return {**_summary(table), **said, "first_rows": [_plain_row(row) for row in _first(table, rows)]}


def table_text(table: Table, rows: int) -> str:
    manifest, summary = table.manifest, _summary(table)
    first = _first(table, rows)
    names = [column["name"] for column in manifest.columns]
    about = [
        ("step", manifest.node),
        ("kind", manifest.kind),
        ("state", "whole" if summary["whole"] else "not finished"),
        ("rows", f"{summary['rows']:,} in {summary['parts']:,} parts"),
        ("rejected", f"{summary['rejected']:,}"),
        ("dropped", f"{summary['dropped']:,}"),
        ("belongs to", manifest.base or "its rows are its own"),
        ("made from", ", ".join(manifest.inputs) or "nothing: a source"),
        *(
            (f"made by, {k}" if k != "stage" else "made by", _cell(v, 200))
            for k, v in _made(manifest.made_by)
        ),
        *((f"{name} key", key) for name, key in manifest.keys.items()),
    ]
    columns = [(c["name"], _kind(c), c["unit"], c["meaning"]) for c in manifest.columns]
    parts = [f"{table.store.url}/{table.folder}", _grid(about)]
    parts.append(_grid([("column", "type", "unit", "meaning"), *columns]))
    if first:
        parts.append(_grid([names, *([_cell(row[n], _WIDEST) for n in names] for row in first)]))
    return "\n\n".join(parts)


def checked_plain(found: Checked) -> dict[str, Any]:
    said = asdict(found)
    return {**said, "artifacts": len(found.artifacts), "sound": not found.faults}


def checked_text(url: str, found: Checked) -> str:
    counts = f"{found.tables:,} tables, {found.parts:,} parts, {found.rows:,} rows"
    lines = [f"{url}: {counts}, {len(found.artifacts):,} artifacts looked at"]
    lines += [f"note: {_safe(note)}" for note in found.notes]
    for fault in found.faults[:_FAULTS]:
        lines.append(f"fault: {_safe(fault.what)}\n  where:  {_safe(fault.where)}\n  remedy: {fault.remedy}")
    if len(found.faults) > _FAULTS:
        lines.append(f"… and {len(found.faults) - _FAULTS:,} more: --json lists them all")
    lines.append(f"{len(found.faults):,} faults" if found.faults else "sound: every promise holds")
    return "\n".join(lines)


def difference_plain(found: Difference) -> dict[str, Any]:
    changed = {
        name: {"rows": c.rows, "examples": [[i, _plain(a), _plain(b)] for i, a, b in c.examples]}
        for name, c in found.changed.items()
    }
    return {**asdict(found), "changed": changed, "equal": found.equal}


def difference_text(found: Difference) -> str:
    if not found.here or not found.there:
        return f"{found.node}: only {'there' if found.there else 'here'} ({found.here or found.there})"
    if found.equal:
        lines = [f"{found.node}: equal, {found.both:,} rows"]
    else:
        rows = "rows dropped" if found.kind == "drops" else "rows"
        lines = [
            f"{found.node}: {found.both:,} {rows} in both,"
            f" {found.only_here:,} only here, {found.only_there:,} only there"
        ]
    if found.here != found.there:
        lines.append(f"  here:  {found.here}\n  there: {found.there}")
    lines += [f"  {k}: {_cell(a, 60)} here, {_cell(b, 60)} there" for k, (a, b) in found.made.items()]
    for word, ids in found.examples.items():
        more = (found.only_here if word == "only_here" else found.only_there) - len(ids)
        if ids:
            lines.append(
                f"  {word.replace('_', ' ')}: {', '.join(map(_safe, ids))}"
                + (f" and {more:,} more" * (more > 0))
            )
    lines += [f"  column only here: {name}" for name in found.lost]
    lines += [f"  column only there: {name}" for name in found.gained]
    lines += [_changed(name, change) for name, change in found.changed.items()]
    return "\n".join(lines)


def _changed(name: str, change: Change) -> str:
    shown = [f"    {_safe(i)}: {_cell(a, _WIDEST)} → {_cell(b, _WIDEST)}" for i, a, b in change.examples]
    return "\n".join([f"  {name} differs in {change.rows:,} rows", *shown])


def _summary(table: Table) -> dict[str, Any]:
    if table.closed:
        row_counts = table.closed.row_counts
        counts = row_counts.rows_out, row_counts.rejected, row_counts.dropped
    else:
        each = [read_row_counts(table.store, f"{table.folder}/{part_name(n)}") for n in table.numbers]
        counts = sum(b.rows_out for b in each), sum(b.rejected for b in each), sum(b.dropped for b in each)
    return {
        "folder": table.folder,
        "kind": table.manifest.kind,
        "rows": counts[0],
        "parts": len(table.numbers),
        "rejected": counts[1],
        "dropped": counts[2],
        "whole": table.closed is not None,
    }


def _first(table: Table, rows: int) -> list[dict[str, Any]]:
    """The first rows, reading no more parts than they need."""
    found: list[dict[str, Any]] = []
    for number in table.numbers:
        if len(found) < rows:
            part = read_part(table.store, f"{table.folder}/{part_name(number)}")
            found += part.slice(0, rows - len(found)).to_pylist()
    return found


def _made(made_by: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in sorted(made_by.items(), key=lambda item: item[0] != "stage"):
        found += list(value.items()) if key == "settings" else [(key, value)] if value != "" else []
    return found


def _kind(column: Mapping[str, Any]) -> str:
    kind = "artifact" if column["type"] == str(ARTIFACT) else str(column["type"])
    return f"{kind} or missing" if column["nullable"] else kind


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _cell(value: Any, widest: int) -> str:
    if isinstance(value, dict) and "sha256" in value:
        value = f"{value['path']} ({value['size_bytes']:,} bytes)"
    if isinstance(value, list | tuple) and len(value) > 4:
        value = f"[{', '.join(_cell(v, 10) for v in value[:3])}, … {len(value)} values]"
    if isinstance(value, float):
        value = f"{value:.6g}"
    text = _safe("missing" if value is None else str(value))
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def _safe(text: str) -> str:
    """Text that cannot steer a terminal: names come from files."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _grid(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
