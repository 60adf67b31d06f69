"""Finds the rows of a plan whose artifacts were deleted.

Each folder is listed once per run and process, and the paths are read from the artifact columns of the parts:
on an object store, a listing returns a thousand names for the price of one question about a file. Complete
tables with more than 200,000 rows are not searched, because listing their files takes longer than all else
that a plan reads; `clipmill manifest check` finds what is missing there.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from manifests.manifest import read_manifest
from manifests.schema import ARTIFACT
from manifests.store import Store
from manifests.table import part_name, parts_of, read_part
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Source

MAX_SEARCHED_ROWS = 200_000


def missing_files(plan: Plan) -> dict[str, Mapping[int, int]]:
    """The rows that lack a file: for each step with such rows, their number by part.

    Complete tables with more than `MAX_SEARCHED_ROWS` rows are left out.
    """
    found = {}
    for step in plan:
        columns = artifact_columns(step)
        if columns and not isinstance(step.node.work, Source | Compare):
            found[step.name] = _missing_in_table(plan.store, plan.run, step.folder, tuple(columns))
    return {name: parts for name, parts in found.items() if parts}


def artifact_columns(step: Step) -> list[str]:
    """The names of the columns of a step that name files."""
    return [field.name for field in step.schema if field.type == ARTIFACT]


def lacks_file(store: Store, run: str, rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """For each row, whether a file that it names was missing when its folder was listed."""
    lacking = pa.repeat(False, rows.num_rows)
    for column in columns:
        paths = pc.struct_field(rows.column(column), "path")  # null where the artifact is
        missing = [p for p in pc.unique(paths).to_pylist() if p and p not in _files_of(store, run, p)]
        if missing:
            lacking = pc.or_(lacking, pc.is_in(paths, value_set=pa.array(missing, pa.string())))
    return lacking if isinstance(lacking, pa.Array) else lacking.combine_chunks()


def read_paths(store: Store, name: str, columns: Sequence[str], *others: str) -> pa.Table:
    """Read of a part the paths of its artifact columns, as structs with one field, and other columns."""
    return read_part(store, name, [*others, *(f"{column}.path" for column in columns)])


@lru_cache(maxsize=256)
def _missing_in_table(store: Store, run: str, folder: str, columns: tuple[str, ...]) -> Mapping[int, int]:
    """The number of rows that lack a file, by part."""
    manifest = read_manifest(store, folder)
    if manifest and manifest.row_counts.rows_out > MAX_SEARCHED_ROWS:
        return {}
    found = {}
    for number in parts_of(store, folder):
        rows = read_paths(store, f"{folder}/{part_name(number)}", columns)
        count = pc.sum(lacks_file(store, run, rows, columns)).as_py() or 0
        if count:
            found[number] = count
    return found


def _files_of(store: Store, run: str, path: str) -> frozenset[str]:
    """The files in the folder of the table that holds `path`."""
    return _files_in(store, run, path.partition("/")[0])


@lru_cache(maxsize=16)
def _files_in(store: Store, run: str, folder: str) -> frozenset[str]:
    return frozenset(store.walk(folder))
