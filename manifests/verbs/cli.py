"""The verbs clipmill manifest show | check | diff: list the content of a store, validate it, compare it."""

import json
import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from manifests.column import Range

if TYPE_CHECKING:
    from manifests.catalog import Table
    from manifests.verbs.validation import CheckResult

_PLACE = "folder or URL of a store, or of one of its tables"


def add_verbs(verbs: Any) -> None:
    """Add `manifest` with its three verbs to the subparsers of a parser."""
    parser = verbs.add_parser("manifest", help="show, check or compare tables")
    subparsers = parser.add_subparsers(dest="manifest_verb", metavar="VERB", required=True)
    show_parser = subparsers.add_parser(
        "show",
        help="list the tables of a store, or the columns, origin and rows of a table",
        epilog="example:\n  clipmill manifest show /data/store --rows 3",
    )
    show_parser.add_argument("place", metavar="STORE|TABLE", help=_PLACE)
    show_parser.add_argument(
        "--rows", type=Range(0).argument(), default=5, metavar="N", help="number of rows to print (default 5)"
    )
    _add_common(show_parser, show)
    check_parser = subparsers.add_parser(
        "check",
        help="check that all files follow the format; exit code 1 if not",
        epilog="example:\n  clipmill manifest check /data/store --quick",
    )
    check_parser.add_argument("place", metavar="STORE|TABLE", help=_PLACE)
    check_parser.add_argument(
        "--deep", action="store_true", help="read every artifact and compare its digest"
    )
    check_parser.add_argument(
        "--quick", action="store_true", help="check shards by their indexes; decode no clip"
    )
    _add_common(check_parser, check)
    diff_parser = subparsers.add_parser(
        "diff",
        help="print rows that only one of two stores has, and values that differ",
        epilog="example:\n  clipmill manifest diff /data/store-may /data/store-june",
    )
    diff_parser.add_argument("here", metavar="HERE", help=_PLACE)
    diff_parser.add_argument(
        "there", metavar="THERE", help="folder or URL of another store or table, of the same sort as HERE"
    )
    diff_parser.add_argument("--exit-code", action="store_true", help="exit with code 1 if they differ")
    _add_common(diff_parser, diff)


def _add_common(parser: ArgumentParser, func: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    parser.set_defaults(func=func)


def show(args: Namespace) -> int:
    """Run `clipmill manifest show`."""
    from manifests.catalog import Table, open_store_or_table, tables_of
    from manifests.verbs import display

    store, folder = open_store_or_table(args.place.removeprefix("store="))
    if not folder:
        tables = tables_of(store)
        _print(args, display.tables_json(tables) if args.json else display.tables_text(store.url, tables))
        return 0
    table = Table(store, folder)
    _print(args, display.table_json(table, args.rows) if args.json else display.table_text(table, args.rows))
    return 0


def check(args: Namespace) -> int:
    """Run `clipmill manifest check`."""
    from manifests.catalog import Table, open_store_or_table, tables_of
    from manifests.verbs import display
    from manifests.verbs.validation import check as check_tables

    store, folder = open_store_or_table(args.place.removeprefix("store="))
    tables = [Table(store, folder)] if folder else tables_of(store)
    validators = {stage: partial(_validate, name) for stage, name in getattr(args, "validators", {}).items()}
    options = {"deep": args.deep, "quick": args.quick, "whole_store": not folder}
    result = check_tables(store, tables, validators=validators, **options)
    _print(args, display.check_json(result) if args.json else display.check_text(store.url, result))
    return 1 if result.faults else 0


def _validate(validator: str, table: "Table", result: "CheckResult", *, quick: bool) -> None:
    """Import the validator `module:function` and call it."""
    module, name = validator.split(":")
    getattr(import_module(module), name)(table, result, quick=quick)


def diff(args: Namespace) -> int:
    """Run `clipmill manifest diff`."""
    from manifests.catalog import Table, open_store_or_table
    from manifests.errors import ManifestError
    from manifests.verbs import display
    from manifests.verbs.comparison import compare, compare_stores

    (here, one), (there, two) = open_store_or_table(args.here), open_store_or_table(args.there)
    if bool(one) != bool(two):
        raise ManifestError(
            "a store cannot be compared with a table",
            where=f"{args.here} and {args.there}",
            remedy="give two stores, or two tables, which are folders inside a store",
        )
    differences = [compare(Table(here, one), Table(there, two))] if one else list(compare_stores(here, there))
    if args.json:
        _print(args, [display.difference_json(each) for each in differences])
    else:
        _print(args, "\n".join(map(display.difference_text, differences)))
    return 1 if args.exit_code and not all(each.is_equal for each in differences) else 0


def _print(args: Namespace, output: Any) -> None:
    if args.json:
        output = json.dumps(output, indent=1, ensure_ascii=False, default=str)
    sys.stdout.write(f"{output}\n")
