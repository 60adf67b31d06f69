"""All clips of a run with everything that is known about them, as one Arrow table or part by part."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from manifests.runs.columns import RowColumn
    from manifests.runs.rows import RowReader


def clips(
    store: "str | Path",
    run: str | None = None,
    columns: Iterable[str] | None = None,
    where: str | None = None,
    *,
    of: str = "clips",
) -> "pa.Table":
    """Read all clips of a run, kept or not: one row per clip, with the columns of its video.

    `outcome` is kept, dropped, rejected, error or pending; `removed_by`, `reason` and `detail` say why.

    Args:
        store: Path or URL of the store.
        run: Name of the run; by default the newest.
        columns: Names of the columns. By default all except vectors, lists and bytes.
        where: A predicate as in rules, such as "outcome == 'dropped' and noise > 2". Rows for which it is
            false, or for which a value is missing, are left out.
        of: Other rows instead: "videos", or the name of a step that makes rows.

    Raises:
        ManifestError: there is no such store, run, column or table.
    """
    import pyarrow as pa

    schema, parts = read_clips(open_rows(store, run, of), columns, where)
    return pa.concat_tables([schema.empty_table(), *parts])


def open_rows(store: "str | Path", run: str | None = None, of: str = "clips") -> "RowReader":
    """Open the rows of a run; arguments and errors as in `clips`."""
    from manifests.format import open_checked_store
    from manifests.runs.rows import RowReader
    from manifests.runs.run_history import read_history

    return RowReader(read_history(open_checked_store(str(store)), run or ""), of)


def read_clips(
    reader: "RowReader", columns: Iterable[str] | None = None, where: str | None = None
) -> "tuple[pa.Schema, Iterator[pa.Table]]":
    """The schema of the chosen columns, and the rows part by part, so that one part is in memory at a time.

    Raises:
        ManifestError: a column does not exist, or the predicate is invalid.
    """
    import pyarrow as pa

    from manifests.predicate import names_in, parse
    from manifests.runs.columns import choose_columns

    where_columns = {}
    if where:
        parse(where, pa.schema([column.field for column in reader.columns.values()]))
        where_columns = {name: reader.columns[name] for name in names_in(where)}
    chosen = choose_columns(reader.columns, columns, reader.history.store.url)
    schema = pa.schema([column.field for column in chosen.values()])
    return schema, _parts(reader, where or "", where_columns | chosen, list(chosen))


def _parts(
    reader: "RowReader", where: str, read: "Mapping[str, RowColumn]", names: list[str]
) -> "Iterator[pa.Table]":
    from manifests.predicate import evaluate

    for number in reader.parts:
        table = reader.read(number, read)
        if where:
            table = table.filter(evaluate(where, table))
        if table.num_rows:
            yield table.select(names)
