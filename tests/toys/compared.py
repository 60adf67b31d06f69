"""A comparison without an engine: its phases in turn, on a table that is dealt over some parts."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import schema_of
from pipeline import Compare


def compared(stage: Compare[Any, Any], rows: pa.Table, parts: int = 1) -> pa.Table:
    """`rows` with the columns that the stage adds, in their order. The stage sees what it reads."""
    whole, rows = rows, rows.select(["id", *(name for name in stage.reads.names() if name != "id")])
    dealt = [rows.take(pa.array(range(n, rows.num_rows, parts), pa.int64())) for n in range(parts)]
    fitted = stage.fit(rows.sort_by("id").slice(0, stage.sample), rows.num_rows)
    members = [stage.assign(part, fitted) for part in dealt]
    members += [stage.assign(stage.beside(n), fitted) for n in range(stage.outside())]
    every = pa.concat_tables([part for part in members if part.num_rows] or members[:1])
    findings = []
    for group in sorted(pc.unique(every["group"]).to_pylist()):
        mine = every.filter(pc.equal(every["group"], group)).drop_columns(["group"]).sort_by("id")
        found = stage.settle(group, mine.combine_chunks(), fitted)
        findings += [found] if found.num_rows else []
    answers = []
    for part in dealt:
        about = [f.filter(pc.is_in(f["id"], value_set=part["id"].combine_chunks())) for f in findings]
        about = [table for table in about if table.num_rows]
        told = stage.conclude(part, pa.concat_tables(about) if about else None, fitted)
        schema = schema_of(stage.adds)
        told = pa.Table.from_arrays([told[f.name].cast(f.type) for f in schema], schema=schema)
        assert told.num_rows == part.num_rows
        answers.append(told.append_column("id", part["id"]))
    told = pa.concat_tables(answers)
    told = told.take(pc.index_in(rows["id"], value_set=told["id"].combine_chunks())).combine_chunks()
    for name in schema_of(stage.adds).names:
        whole = whole.append_column(name, told[name])
    return whole
