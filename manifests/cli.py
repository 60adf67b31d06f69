"""clipmill manifest show | check | diff: what a store holds, whether it is sound, and what changed."""

import json
import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manifests.catalogue import Table
    from manifests.checking import Checked

_PLACE = "a store, or one of its tables: a folder or a URL"


def add_verbs(verbs: Any) -> None:
    """Add `manifest` with its three verbs to a parser's subparsers."""
    parser = verbs.add_parser("manifest", help="show, check or compare tables")
    acts = parser.add_subparsers(dest="manifest_verb", metavar="VERB", required=True)
    shown = acts.add_parser("show", help="what a store holds, or the columns, origin and rows of a table")
    shown.add_argument("place", metavar="STORE|TABLE", help=_PLACE)
    shown.add_argument("--rows", type=int, default=5, metavar="N", help="first rows shown (5)")
    _common(shown, show)
    checked = acts.add_parser("check", help="ask again for every promise of the format; 1 if one is broken")
    checked.add_argument("place", metavar="STORE|TABLE", help=_PLACE)
    checked.add_argument("--deep", action="store_true", help="read every artifact and compare its digest")
    checked.add_argument("--quick", action="store_true", help="take shards by their indexes: decode no clip")
    _common(checked, check)
    compared = acts.add_parser("diff", help="rows only here or there, and values that changed")
    compared.add_argument("here", metavar="HERE", help=_PLACE)
    compared.add_argument("there", metavar="THERE", help="another, of the same sort")
    compared.add_argument("--exit-code", action="store_true", help="end with 1 if they differ")
    _common(compared, diff)


def _common(parser: ArgumentParser, act: Any) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(act=act)


def show(args: Namespace) -> int:
    from manifests import showing
    from manifests.catalogue import Table, opened, tables_of

    store, folder = opened(args.place.removeprefix("store="))
    if not folder:
        tables = tables_of(store)
        _say(args, showing.tables_plain(tables) if args.json else showing.tables_text(store.url, tables))
        return 0
    table = Table(store, folder)
    _say(args, showing.table_plain(table, args.rows) if args.json else showing.table_text(table, args.rows))
    return 0


def check(args: Namespace) -> int:
    from manifests import showing
    from manifests.catalogue import Table, opened, tables_of
    from manifests.checking import check as checked

    store, folder = opened(args.place.removeprefix("store="))
    tables = [Table(store, folder)] if folder else tables_of(store)
    proofs = {stage: partial(_prove, place) for stage, place in getattr(args, "proofs", {}).items()}
    told = {"deep": args.deep, "quick": args.quick, "whole_store": not folder}
    found = checked(store, tables, proofs=proofs, **told)
    _say(args, showing.checked_plain(found) if args.json else showing.checked_text(store.url, found))
    return 1 if found.faults else 0


def _prove(place: str, table: "Table", found: "Checked", *, quick: bool) -> None:
    """The proof that stands at `module:function`, loaded for the first table that wants it."""
    module, name = place.split(":")
    getattr(import_module(module), name)(table, found, quick=quick)


def diff(args: Namespace) -> int:
    from manifests import showing
    from manifests.catalogue import Table, opened
    from manifests.comparing import compare, compare_stores
    from manifests.errors import ManifestError

    (here, one), (there, two) = opened(args.here), opened(args.there)
    if bool(one) != bool(two):
        raise ManifestError(
            "a store and a table cannot be compared",
            where=f"{args.here} and {args.there}",
            remedy="give two stores, or two tables: folders inside a store",
        )
    found = [compare(Table(here, one), Table(there, two))] if one else list(compare_stores(here, there))
    if args.json:
        _say(args, [showing.difference_plain(each) for each in found])
    else:
        _say(args, "\n".join(map(showing.difference_text, found)))
    return 1 if args.exit_code and not all(each.equal for each in found) else 0


def _say(args: Namespace, said: Any) -> None:
    if args.json:
        said = json.dumps(said, indent=1, ensure_ascii=False, default=str)
    sys.stdout.write(f"{said}\n")
