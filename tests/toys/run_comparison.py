"""Runs a Compare stage without the engine: all its phases, on a table that is split into parts."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import schema_of
from pipeline import Compare


def run_comparison(stage: Compare[Any, Any], rows: pa.Table, parts: int = 1) -> pa.Table:
    """`rows` with the columns that the stage adds, in the same order. The stage gets the columns it reads."""
    missing = stage.reads.optional_names() - set(rows.column_names)
    names = [name for name in stage.reads.names() if name != "id" and name not in missing]
    whole, rows = rows, rows.select(["id", *names])
    split = [rows.take(pa.array(range(n, rows.num_rows, parts), pa.int64())) for n in range(parts)]
    fitted = stage.fit(rows.sort_by("id").slice(0, stage.sample), rows.num_rows)
    members = [stage.assign(part, fitted) for part in split]
    members += [stage.assign(stage.external_table(n), fitted) for n in range(stage.num_external_tables())]
    all_members = pa.concat_tables([part for part in members if part.num_rows] or members[:1])
    findings = []
    for group in sorted(pc.unique(all_members["group"]).to_pylist()):
        own = all_members.filter(pc.equal(all_members["group"], group)).drop_columns(["group"]).sort_by("id")
        found = stage.settle(group, own.combine_chunks(), fitted)
        findings += [found] if found.num_rows else []
    results = []
    for part in split:
        about = [f.filter(pc.is_in(f["id"], value_set=part["id"].combine_chunks())) for f in findings]
        about = [table for table in about if table.num_rows]
        columns = stage.conclude(part, pa.concat_tables(about) if about else None, fitted)
        schema = schema_of(stage.adds)
        columns = pa.Table.from_arrays([columns[f.name].cast(f.type) for f in schema], schema=schema)
        assert columns.num_rows == part.num_rows
        results.append(columns.append_column("id", part["id"]))
    columns = pa.concat_tables(results)
    columns = columns.take(pc.index_in(rows["id"], value_set=columns["id"].combine_chunks())).combine_chunks()
    for name in schema_of(stage.adds).names:
        whole = whole.append_column(name, columns[name])
    return whole
