"""clipmill gc: delete the tables, artifacts and runs that the newest runs do not use."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from manifests.column import Range
from pipeline.recipes.request import add_store_argument, store_from_args

if TYPE_CHECKING:
    from pipeline.engine.garbage import Garbage


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "gc",
        description="Delete what the newest runs do not use: tables, artifacts, journals and run records. "
        "Without --delete, only print it. Files in older tables that a kept run uses are kept.",
        epilog="example:\n  clipmill gc store=/data/store --keep 2\n"
        "  clipmill gc store=/data/store --keep 2 --delete",
    )
    add_store_argument(parser)
    parser.add_argument(
        "--keep",
        type=Range(1).argument(),
        required=True,
        metavar="N",
        help="number of newest finished runs to keep, from 1; runs that started later are kept too",
    )
    parser.add_argument(
        "--keep-run",
        action="append",
        default=[],
        metavar="RUN",
        help="also keep this run; may be given several times",
    )
    parser.add_argument("--delete", action="store_true", help="delete; the default only prints")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=gc)


def gc(args: Namespace) -> None:
    from manifests.format import check_exists, open_checked_store
    from pipeline.engine.garbage import MAX_PATIENCE_S, delete_garbage, find_garbage

    store = open_checked_store(store_from_args(args), MAX_PATIENCE_S)
    check_exists(store)
    find = delete_garbage if args.delete else find_garbage
    garbage = find(store, args.keep, args.keep_run)
    if args.json:
        print(json.dumps(_plain(garbage, args.delete), indent=1))
    else:
        print("\n".join(_lines(garbage, args.delete)))


def _plain(garbage: "Garbage", deleted: bool) -> dict[str, Any]:
    """Return plain values for JSON."""
    return {
        "deleted": deleted,
        "freed_bytes": garbage.freed_bytes,
        "files": len(garbage.names),
        "runs": _runs(garbage),
        "tables": _tables(garbage),
    }


def _runs(garbage: "Garbage") -> list[dict[str, Any]]:
    """The sizes of all runs, oldest first: all files that each uses, and those that no other run uses."""
    use = garbage.use
    found = []
    for run in use.runs.values():
        others = frozenset[str]().union(*(r.files for r in use.runs.values() if r is not run))
        found.append(
            {
                "run": run.name,
                "state": run.state,
                "bytes": use.size_of(run.files | run.record),
                "bytes_alone": use.size_of((run.files - others) | run.record),
                "kept": garbage.kept.get(run.name, ""),
            }
        )
    return found


def _tables(garbage: "Garbage") -> list[dict[str, Any]]:
    """The sizes of all tables in topological order, and how many kept runs use each."""
    use, folders = garbage.use, garbage.use.table_folders()
    found = []
    for folder in (*use.tables, *sorted(f for f in folders if f not in use.tables)):
        deleted = [name for name in folders[folder] if name in garbage.names]
        found.append(
            {
                "table": folder,
                "bytes": use.size_of(folders[folder]),
                "freed_bytes": use.freed_by(deleted),
                "files": len(folders[folder]),
                "deleted_files": len(deleted),
                "kept_runs": sum(folder in use.runs[run].tables for run in garbage.kept),
            }
        )
    return found


def _lines(garbage: "Garbage", deleted: bool) -> list[str]:
    from pipeline.history.funnel import align_columns

    runs = [
        (r["run"], r["state"], _size(r["bytes"]), _size(r["bytes_alone"]), _run_note(r))
        for r in _runs(garbage)
    ]
    found = sorted(_tables(garbage), key=lambda t: (-t["freed_bytes"], t["table"]))
    tables = [
        (t["table"], _size(t["bytes"]), _size(t["freed_bytes"]), _table_note(t))
        for t in found
        if t["deleted_files"]
    ]
    left = [t for t in found if not t["deleted_files"]]
    rest = (f"{len(left)} other tables", _size(sum(t["bytes"] for t in left)), _size(0), "keep")
    lines = [*align_columns([("run", "state", "uses", "alone", ""), *runs]), ""]
    lines += [*align_columns([("table", "size", "freed", ""), *tables, rest]), ""]
    count, size = len(garbage.names), garbage.freed_bytes
    if not count:
        return [*lines, "nothing to delete"]
    if deleted:
        return [*lines, f"deleted {count:,} files: {size:,} bytes are free"]
    return [*lines, f"{count:,} files to delete, {size:,} bytes; nothing was deleted: add --delete to do it"]


def _run_note(run: dict[str, Any]) -> str:
    return f"keep: {run['kept']}" if run["kept"] else "delete"


def _table_note(table: dict[str, Any]) -> str:
    if not table["deleted_files"]:
        return ""
    if table["deleted_files"] == table["files"]:
        return "delete"
    left = table["files"] - table["deleted_files"]
    if table["kept_runs"]:
        return f"delete {table['deleted_files']:,} files that no row names"
    return f"delete, except {left:,} files that newer tables name"


def _size(size_bytes: float) -> str:
    """A size with a unit: "12.3 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
