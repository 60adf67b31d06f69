"""clipmill generate: sample a video of one prompt or of each prompt of a file, with the recipe `generate`."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipeline.errors import RecipeError
from pipeline.recipes.request import parse_request
from pipeline.verbs.run import add_executor_options, add_run_options, run_request

_FILES = (".txt", ".jsonl")  # endings of files of prompts
_ROWS = "list_prompts"  # the step whose rows are the prompts
_REASONS = ("check_reason", "moderation_reason")  # endings of columns that say why a row was blocked
_SHOWN = 50  # prompts


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "generate",
        description="Sample a video of one prompt, or of each prompt of a file, with the recipe generate: "
        "check the prompt, rewrite it with upsampler=MODEL, check it again, sample, check the video. Each "
        "outcome is on record in the store: see explain, table and status. A second run repeats nothing. "
        "`clipmill recipes generate` prints the knobs.",
        epilog="example:\n  clipmill generate 'a dog runs' model=/data/training store=/data/videos\n"
        "  clipmill generate prompts.jsonl model=/data/training store=/data/videos seed=1",
    )
    parser.add_argument(
        "prompt",
        metavar="PROMPT",
        help="the text, or a file: .txt with a prompt per line, or .jsonl with prompt, image, video and seed",
    )
    parser.add_argument(
        "assignments", nargs="*", metavar="knob=value", help="model=MODEL, store=DIR and other knobs"
    )
    parser.add_argument("--store", metavar="DIR", help="the store: a folder or a URL such as s3://…")
    parser.add_argument(
        "--no-guardrails",
        action="store_true",
        help="check no prompt and no video; the record of the run says so",
    )
    add_executor_options(parser)
    add_run_options(parser)
    parser.set_defaults(func=generate)


def generate(args: Namespace) -> int:
    from pipeline.recipes.catalog import find_recipe

    args.recipe = find_recipe("generate").path
    request = parse_request(args, args.command_line)
    is_file = args.prompt.lower().endswith(_FILES) and len(args.prompt.splitlines()) == 1
    given = "prompts" if is_file else "prompt"
    if twice := [name for name in ("prompt", "prompts") if name in request.knobs]:
        raise RecipeError(
            f"the command has a prompt and the knob {twice[0]}", remedy="give the prompt or file once, first"
        )
    knobs = {given: args.prompt, **request.knobs}
    if args.no_guardrails:
        knobs["guardrails"] = "false"
    code = run_request(args, replace(request, knobs=knobs))
    if not code and not args.json and not args.quiet:
        print("\n" + "\n".join(_outcomes(request.store)))
    if knobs.get("guardrails", "").lower() in ("false", "no", "0"):
        print("warning: no prompt and no video was checked (guardrails=false)", file=sys.stderr)
    return code


def _outcomes(store: str) -> Iterator[str]:
    """A line per prompt of the last run: the video, or why there is none."""
    from manifests.runs.clips import open_rows, read_clips
    from pipeline.history.formatting import printable

    reader = open_rows(store, of=_ROWS)
    names = [name for name in reader.columns if name.endswith(_REASONS)]
    videos = [name for name in ("blurred_video", "video") if name in reader.columns]
    _, parts = read_clips(reader, ["id", "prompt", "outcome", "reason", "detail", *names, *videos])
    rows = [row for part in parts for row in part.to_pylist()]
    for row in rows[:_SHOWN]:
        text = printable(" ".join(row["prompt"].split()))
        short = text if len(text) <= 60 else f"{text[:59]}…"
        path = next((row[name] for name in videos if row[name]), "")
        outcome = (
            f"{reader.history.store.url}/{path}"
            if row["outcome"] == "kept"
            else f"{row['outcome']}: {_reason(row, names)}"
        )
        yield f"{row['id']}  {short!r}\n  {outcome}"
    if len(rows) > _SHOWN:
        yield f"and {len(rows) - _SHOWN:,} more: clipmill table store={store} --of {_ROWS}"


def _reason(row: Mapping[str, Any], names: list[str]) -> str:
    reasons = [row[name] for name in names if row[name]]
    return "; ".join(filter(None, [row["reason"] or row["detail"], *reasons]))
