"""clipmill table: all clips of a run with everything that is known of them, as CSV, Parquet or JSON lines."""

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from manifests.column import Range
from pipeline.recipes.request import add_store_argument, store_from_args

if TYPE_CHECKING:
    import pyarrow as pa

    from manifests.runs.rows import RowReader

FORMATS = ("csv", "parquet", "json")
_STDOUT = "-"
_SHOWN_ROWS, _SHOWN_CHARACTERS = 20, 40  # of the table on a terminal, and of one value there
_SHOWN = ("id", "source", "start_s", "end_s", "clips", "clips_kept", "outcome", "reason", "detail")


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "table",
        description="Write all clips of a run, kept or not: one row per clip, with the columns of its video, "
        "all measurements, the caption, the outcome with its reason, and the shard with the key. On a "
        "terminal, the first rows are printed as a table; a pipe gets CSV.",
        epilog="example:\n  clipmill table store=/data/store --where \"outcome == 'kept'\" --csv clips.csv",
    )
    add_store_argument(parser)
    parser.add_argument("--run", default="", metavar="RUN", help="a run (default: the last run)")
    parser.add_argument(
        "--of",
        default="clips",
        metavar="ROWS",
        help="clips (default), videos (with the number of their clips by outcome), or a step that makes rows",
    )
    parser.add_argument(
        "--columns",
        metavar="A,B",
        help="columns, separated by commas (default: all except vectors, lists and bytes)",
    )
    parser.add_argument(
        "--where", metavar="PREDICATE", help="only rows for which this is true, written as in rules"
    )
    parser.add_argument(
        "--limit",
        type=Range(0).argument(),
        metavar="N",
        help=f"maximum number of rows; 0 is all (default: all; {_SHOWN_ROWS} on a terminal)",
    )
    parser.add_argument("--list-columns", action="store_true", help="print the columns with their meaning")
    _add_formats(parser)
    parser.set_defaults(func=table)


def _add_formats(parser: ArgumentParser) -> None:
    formats = parser.add_mutually_exclusive_group()
    for name, text in zip(FORMATS, ("CSV", "Parquet", "JSON lines"), strict=True):
        formats.add_argument(
            f"--{name}", nargs="?", const=_STDOUT, metavar="FILE", help=f"write {text} to FILE, or to stdout"
        )


def table(args: Namespace) -> None:
    from manifests.runs.clips import open_rows, read_clips

    form, target = _target(args)
    reader = open_rows(store_from_args(args), args.run, args.of)
    if args.list_columns:
        print("\n".join(_column_lines(reader)))
        return
    columns = [name.strip() for name in args.columns.split(",")] if args.columns else None
    if form:
        schema, parts = read_clips(reader, columns, args.where)
        _write(form, target, schema, _first_rows(parts, args.limit or 0))
        return
    limit = _SHOWN_ROWS if args.limit is None else args.limit
    shown = columns or [name for name in _SHOWN if name in reader.columns]
    _, parts = read_clips(reader, shown, args.where)
    print("\n".join(_lines(_first_rows(parts, limit + 1 if limit else 0), shown, limit, reader, args.where)))


def _target(args: Namespace) -> tuple[str, str]:
    """The format and the file; no format for a table on a terminal."""
    for name in FORMATS:
        file = getattr(args, name)
        if file is not None and file.startswith("store="):  # --csv store=DIR names no file
            args.assignments.append(file)
            file = _STDOUT
        if file is not None:
            return name, file
    return ("" if sys.stdout.isatty() or args.list_columns else "csv"), _STDOUT


def _first_rows(parts: "Iterable[pa.Table]", limit: int) -> "Iterator[pa.Table]":
    """At most `limit` rows; 0 is all."""
    left = limit
    for part in parts:
        yield part.slice(0, left) if limit else part
        left -= len(part)
        if limit and left <= 0:
            return


def _write(form: str, target: str, schema: "pa.Schema", parts: "Iterable[pa.Table]") -> None:
    """Write to a file, which appears when it is complete, or to stdout."""
    from manifests.runs.files import WRITERS

    if target == _STDOUT:
        if form == "parquet" and sys.stdout.isatty():
            from pipeline.errors import RecipeError

            raise RecipeError("Parquet is not printed on a terminal", remedy="name a file: --parquet FILE")
        WRITERS[form](sys.stdout.buffer, schema, parts)
        sys.stdout.buffer.flush()
        return
    partial = Path(f"{target}.partial")
    try:
        with partial.open("wb") as file:
            sink: BinaryIO = file
            rows = WRITERS[form](sink, schema, parts)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{target}: {rows:,} rows, {len(schema.names)} columns")


def _lines(
    parts: "Iterable[pa.Table]", names: list[str], limit: int, reader: "RowReader", where: str | None
) -> Iterator[str]:
    rows = [tuple(map(_cell, row.values())) for part in parts for row in part.to_pylist()]
    shown = rows[:limit] if limit else rows
    is_number = [not _is_text(reader.columns[name].field.type) for name in names]
    widths = [max(map(len, column)) for column in zip(names, *shown, strict=True)]
    screen = shutil.get_terminal_size().columns
    for row in (tuple(names), *shown):
        cells = zip(row, widths, is_number, strict=True)
        line = "  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in cells)
        yield f"{line[: screen - 1]}…" if len(line.rstrip()) > screen else line.rstrip()
    more = f"the first {len(shown):,}" if len(rows) > len(shown) else f"{len(shown):,}"
    more += f" rows of {reader.base.name}" if where else f" of {reader.rows:,} rows of {reader.base.name}"
    yield f"\n{more}; --csv FILE writes all {len(reader.columns)} columns, and --list-columns explains them"


def _cell(value: Any) -> str:
    from pipeline.history.formatting import format_value, printable, round_fractions

    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else printable(round_fractions(format_value(value)), _SHOWN_CHARACTERS)


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_list(kind) or types.is_binary(kind))


def _column_lines(reader: "RowReader") -> Iterator[str]:
    from pipeline.verbs.help_text import definition_lines

    pairs = []
    for name, column in reader.columns.items():
        note = {key.decode(): value.decode() for key, value in (column.field.metadata or {}).items()}
        unit = note.get("unit", "")
        kind = f"{column.field.type}{f', in {unit}' if unit not in ('', '1') else ''}"
        step = column.step.name if column.step else "of the run"
        large = "; only if it is named" if column.is_large else ""
        pairs.append((name, f"{note.get('meaning', '') or 'id of the row'} ({kind}; {step}{large})"))
    yield from definition_lines(pairs)
