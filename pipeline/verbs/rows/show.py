"""clipmill show: write a clip, kept or not, as an mp4 file, or its stored stills as an image, and open it."""

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.recipes.request import add_store_argument, store_from_args

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.history.find import RowLocation
    from pipeline.history.run_history import RunHistory

SUFFIXES = {"mp4": ".mp4", "sheet": ".png", "webp": ".webp"}
_CLIP_COLUMN = "start_s"  # a row without it is a whole video
_OPENERS = ("xdg-open", "open")  # of Linux and of macOS


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "show",
        description="Write a clip, kept or not, as an mp4 file: the stored clip, or one that is cut out of "
        "its source. Or write the stills that the scan stored; then the source may be gone. The path is "
        "printed.",
        epilog="example:\n  clipmill show 3f2a store=/data/store --as sheet --open",
    )
    parser.add_argument(
        "row",
        metavar="ID",
        help="the id of a clip or a video, its first characters, or the end of a file's path",
    )
    add_store_argument(parser)
    parser.add_argument("--run", default="", metavar="RUN", help="a run (default: the last run)")
    parser.add_argument(
        "--as",
        choices=tuple(SUFFIXES),
        dest="form",
        help="mp4; sheet: a PNG of stills; webp: stills one after the other (default: by the ending of "
        "--out, else mp4 of a clip and sheet of a video)",
    )
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: ID with its ending)")
    parser.add_argument("--open", action="store_true", help="open the file with its default program")
    parser.set_defaults(func=show, viewers={})


def show(args: Namespace) -> None:
    from manifests.errors import ClipmillError
    from manifests.format import open_checked_store
    from manifests.runs.rows import RowReader
    from pipeline.history.find import find_row
    from pipeline.history.run_history import read_history

    history = read_history(open_checked_store(store_from_args(args)), args.run)
    location = find_row(history, args.row)
    row = RowReader(history, location.base).read_row(location.part, location.id)
    form = _form(args.form, args.out)
    first = form or ("mp4" if _CLIP_COLUMN in row.column_names else "sheet")
    try:
        path = _write(args, history, location, row, first)
    except ClipmillError as error:
        if form or first == "sheet":
            raise
        print(f"note: {error.what}; the stored stills are shown instead", file=sys.stderr)
        path = _write(args, history, location, row, "sheet")
    print(f"{location.id}: {_summary(row)}", file=sys.stderr)
    print(path)
    if args.open:
        _open(path)


def _form(form: str | None, file: str | None) -> str:
    """The form that --as or the ending of --out names; "" if neither does.

    Raises:
        RecipeError: no form, or another one than --as, has files with this ending, or its folder is missing.
    """
    from manifests.messages import join_names
    from pipeline.errors import RecipeError

    folder, ending = Path(file or "").parent, Path(file or "").suffix
    if not folder.is_dir():
        raise RecipeError("the folder of --out does not exist", where=str(folder), remedy="create it first")
    named = next((name for name, suffix in SUFFIXES.items() if suffix == ending.lower()), "")
    if ending and (not named or form not in (None, named)):
        suffixes = SUFFIXES[form] if form else join_names(list(SUFFIXES.values()))
        what = f"--as {form}" if form else "--out"
        raise RecipeError(f"{what} writes no {ending} file", where=file or "", remedy=f"use {suffixes}")
    return form or named


def _write(
    args: Namespace, history: "RunHistory", location: "RowLocation", row: "pa.Table", form: str
) -> Path:
    """Write the file, which appears when it is complete."""
    path = Path(args.out or f"{location.id}{SUFFIXES[form]}")
    partial = path.with_name(f".{path.name}.partial{SUFFIXES[form]}")
    module, name = args.viewers[form].split(":")
    settings = {step.made_by["stage"]: step.made_by["settings"] for step in history if not step.rule}
    try:
        getattr(import_module(module), name)(row, history.store, partial, settings)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _summary(row: "pa.Table") -> str:
    """Where the row comes from and its outcome, in one line."""
    from pipeline.history.formatting import printable, round_fractions

    values: Mapping[str, Any] = row.to_pylist()[0]
    parts = [str(values.get("source") or "")]
    if values.get("start_s") is not None and values.get("end_s") is not None:
        parts.append(f"{values['start_s']:.2f} to {values['end_s']:.2f} s")
    by = f" by {values['removed_by']}" if values["removed_by"] else ""
    reasons = [text for text in (values["reason"], values["detail"]) if text]
    parts.append(f"{values['outcome']}{by}" + (f" ({'; '.join(reasons)})" if reasons else ""))
    return round_fractions(printable(", ".join(part for part in parts if part)))


def _open(path: Path) -> None:
    """Start the program that the desktop has chosen for the file.

    Raises:
        PipelineError: there is no desktop.
    """
    from pipeline.errors import PipelineError

    program = next((found for name in _OPENERS if (found := shutil.which(name))), None)
    if program is None:
        raise PipelineError(
            f"no program opens files here: {' and '.join(_OPENERS)} are missing",
            where=str(path),
            remedy="the file is written; open it yourself",
        )
    nowhere = subprocess.DEVNULL
    subprocess.Popen(
        [program, str(path)], stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
