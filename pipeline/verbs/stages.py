"""clipmill stages: list all stages, or print the settings, columns and needs of one."""

import json
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.recipes.catalog import ColumnInfo, Setting, StageInfo


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "stages",
        epilog="example:\n  clipmill stages MeasureMotion",
    )
    parser.add_argument(
        "stage",
        nargs="?",
        default="",
        metavar="STAGE",
        help="a class name (MeasureMotion), the same in snake case, or a .py file that defines stages",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=stages)


def stages(args: Namespace) -> None:
    from pipeline.recipes.catalog import describe_stages, list_stages

    found = describe_stages(args.stage) if args.stage else list_stages()
    if args.json:
        print(json.dumps([asdict(entry) for entry in found], indent=1, ensure_ascii=False))
    elif args.stage:
        print("\n\n".join("\n".join(_details(stage)) for stage in describe_stages(args.stage)))
    else:
        print("\n".join(_list()))


def _list() -> Iterator[str]:
    from itertools import groupby

    from pipeline.recipes.catalog import list_stages
    from pipeline.verbs.help_text import definition_lines

    for subject, entries in groupby(list_stages(), lambda entry: entry.subject):
        yield subject
        yield from definition_lines((entry.name, entry.purpose) for entry in entries)
        yield ""
    yield "clipmill stages STAGE prints the settings, columns and needs of a stage"


def _details(stage: "StageInfo") -> Iterator[str]:
    from pipeline.needs import Needs
    from pipeline.recipes.descriptions import descriptions
    from pipeline.verbs.help_text import WIDTH, definition_lines

    needs_docs = descriptions(Needs.__doc__)
    yield f"{stage.name} ({stage.kind}, version {stage.version})"
    yield from textwrap.wrap(stage.purpose, WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield f"  {stage.full_name}"
    for title, entries in (
        ("settings", [(_setting(setting), setting.description) for setting in stage.settings]),
        ("reads", [(column.name, _column(column, reads=True)) for column in stage.reads]),
        ("adds", [*((column.name, _column(column)) for column in stage.adds), *_further_columns(stage)]),
        (
            "needs of one worker",
            [(f"{name}={value:g}", needs_docs.get(name, "")) for name, value in stage.needs.items()],
        ),
    ):
        yield ""
        yield title
        yield from definition_lines(entries or [("none", "")])


def _further_columns(stage: "StageInfo") -> Iterator[tuple[str, str]]:
    if stage.adds_by_settings:
        yield "…", "further columns, which the settings decide"


def _setting(setting: "Setting") -> str:
    from pipeline.verbs.help_text import value_text

    default = "" if setting.required else f" = {value_text(setting.default) or 'empty'}"
    return f"{setting.name}: {setting.type}{default}"


def _column(column: "ColumnInfo", reads: bool = False) -> str:
    unit = {"": "", "1": ", no unit"}.get(column.unit, f", in {column.unit}")
    notes = "; optional" if column.optional else ""
    source = f" (added by {', '.join(column.added_by)})" if reads and column.added_by else ""
    return f"{column.type}{unit}{notes}: {column.meaning}{source}"
