"""The command `clipmill`. It imports the code of a verb only when the verb is called."""

import errno
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NoReturn

from pipeline.progress.stopping import exits_on_signals, ignore_signals
from pipeline.verbs.help_text import HelpFormatter, knob_lines

VERBS = {  # verb: (function that adds its options, what the verb does)
    "run": ("pipeline.verbs.run:add_verbs", "run a recipe; continue where an earlier run stopped"),
    "generate": ("pipeline.verbs.generate:add_verbs", "sample a video of each prompt, with checks"),
    "submit": ("pipeline.verbs.cluster.submit:add_verbs", "start a run on a Ray cluster and leave it there"),
    "plan": ("pipeline.verbs.plan:add_verbs", "show what a run would do; write nothing"),
    "try": ("pipeline.verbs.try_out:add_verbs", "show what other knobs would do to the rows of the last run"),
    "status": ("pipeline.verbs.status:add_verbs", "show the progress of a run and who holds the store"),
    "log": ("pipeline.verbs.log:add_verbs", "print the log or the events of a run, from any machine"),
    "explain": (
        "pipeline.verbs.rows.explain:add_verbs",
        "explain what happened to a video, a clip or another row",
    ),
    "replay": (
        "pipeline.verbs.rows.replay:add_verbs",
        "run one step on one row again and compare the results",
    ),
    "gc": ("pipeline.verbs.gc:add_verbs", "delete tables and files that the newest runs do not use"),
    "table": ("pipeline.verbs.rows.table:add_verbs", "write all clips of a run as CSV, Parquet or JSON"),
    "show": (
        "pipeline.verbs.rows.show:add_verbs",
        "write a clip as an mp4 file or its stills as an image",
    ),
    "report": ("pipeline.verbs.report:add_verbs", "write the HTML report of a run again"),
    "recipes": ("pipeline.verbs.recipes:add_verbs", "list all recipes, or print the knobs of one"),
    "stages": (
        "pipeline.verbs.stages:add_verbs",
        "list all stages, or print the settings and columns of one",
    ),
    "yaml": ("pipeline.verbs.yaml:add_verbs", "print the DAG of a recipe as YAML"),
    "graph": ("pipeline.verbs.graph:add_verbs", "draw the DAG of a recipe as text"),
    "demo": (
        "stages.recipes.demonstrate:add_verbs",
        "generate the demo films; with --run, run the demo recipe",
    ),
    "simulate": (
        "stages.simulation.verb:add_verbs",
        "write videos whose truth is known: poses, actions, masks and captions",
    ),
    "plan-actions": (
        "stages.simulation.control.verb:add_verbs",
        "compare planners in a model and in the true simulator on the push task",
    ),
    "completion": (
        "pipeline.verbs.completion.script:add_verbs",
        "print the script with which a shell completes",
    ),
    "manifest": ("manifests.verbs.cli:add_verbs", "show, check or compare tables"),
    "train": (
        "training.cli:add_verbs",
        "train a video diffusion model on shards of latents, or a tokenizer on videos",
    ),
    "sample": ("training.cli:add_verbs", "sample a video from a trained model"),
    "evaluate": (
        "training.cli:add_verbs",
        "compute the loss of a model on held-out latents, or measure tokenizers or generated videos",
    ),
    "export": ("training.cli:add_verbs", "write a model file from the last checkpoint of a training"),
    "merge": ("training.cli:add_verbs", "average the weights of several models of one network"),
    "slurm-script": (
        "training.cli:add_verbs",
        "print a script for sbatch that runs a training on several nodes",
    ),
    "plan-training": (
        "training.cli:add_verbs",
        "predict memory and time of a training, without data",
    ),
    "latent-statistics": (
        "training.cli:add_verbs",
        "compute mean and standard deviation of latents, of images and of videos",
    ),
}
OLD_VERBS = {
    "text": "yaml",
    "draw": "graph",
    "why": "explain",
}  # old name: new name; accepted for one release
VALIDATORS = {  # additional checks by `manifest check` of the tables that a stage makes
    "stages.shards.pack_shards:PackShards": "stages.shards.validate:validate_shards",
    "stages.shards.pack_recordings:PackRecordings": "stages.shards.validation.recordings:validate_recordings",
    "stages.latents.pack_latents:PackLatents": "stages.latents.validate:validate_latents",
    "stages.latents.pack_views:PackViews": "stages.latents.validate_views:validate_views",
}
VIEWERS = {  # how `show` writes a row
    "mp4": "stages.shards.viewers.clip_file:write_clip",
    "sheet": "stages.shards.viewers.contact_sheet:write_sheet",
    "webp": "stages.shards.viewers.preview:write_preview",
}
_BUG = "this is a bug in clipmill; add --debug to see the traceback, and report it"
# Errors of the machine, not of clipmill: a file is missing or may not be written, or a disk is full.
_ENVIRONMENT = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR,
    errno.EISDIR, errno.EEXIST, errno.EMFILE, errno.ENAMETOOLONG, errno.EIO,
}  # fmt: skip
_FIX = "check that the path is right and may be written, and that its disk has space"
_PIPE_CLOSED, _STOPPED, _USAGE = 141, 130, 2
_MISSING = "the following arguments are required: "  # words of argparse


class Parser(ArgumentParser):
    """An argument parser whose errors suggest the closest known word."""

    nested = False  # whether it has verbs of its own

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": HelpFormatter, **options})

    def add_subparsers(self, **options: Any) -> Any:
        self.nested = True
        return super().add_subparsers(**options)

    def parse_verb(self, arguments: Sequence[str]) -> Namespace:
        """Parse the arguments of one verb. Knobs and options may be in any order."""
        if "--debug" not in self._option_string_actions:
            text = "show the traceback of an error, and the messages of Ray"
            self.add_argument("--debug", action="store_true", help=text)
        if self.nested:
            return self.parse_args(arguments)
        return self.parse_intermixed_args(arguments)

    def error(self, message: str) -> NoReturn:
        import difflib

        known = [*self._option_string_actions, *VERBS]
        if message.startswith(_MISSING):
            names = message.removeprefix(_MISSING).split(", ")
            options = self._option_string_actions
            needed = [f"{n} {options[n].metavar or ''}".rstrip() if n in options else n for n in names]
            self.exit(
                _USAGE, f"error: {message}\n  remedy: add `{' '.join(needed)}`, see {self.prog} --help\n"
            )
        wrong = message.split("arguments: ")[-1].split("'")[1:2] or message.split(": ")[-1].split()[:1]
        hint = difflib.get_close_matches(wrong[0].partition("=")[0], known, n=1) if wrong else []
        remedy = f"did you mean {hint[0]!r}? " if hint else ""
        self.exit(_USAGE, f"error: {message}\n  remedy: {remedy}see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None, command_line: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C.

    Args:
        argv: The arguments; by default those of the process.
        command_line: The command that messages print, if it differs: what a user typed on another machine.
    """
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for the next word
        from pipeline.verbs.completion.complete import complete

        complete(lambda verb: _parser(verb) if verb in ("", *VERBS) else None)
    arguments = list(sys.argv[1:] if argv is None else argv)
    with exits_on_signals() if arguments[:1] == ["run"] else nullcontext():
        code = _run_command(arguments, command_line or arguments)
    if argv is None:  # this process ends now
        ignore_signals()
    return code


def _run_command(arguments: list[str], command_line: Sequence[str]) -> int:
    if arguments and arguments[0] in OLD_VERBS:
        old, new = arguments[0], OLD_VERBS[arguments[0]]
        print(
            f"clipmill {old} is now clipmill {new}; the old name goes away in the next release",
            file=sys.stderr,
        )
        arguments[0] = new
    try:
        args = _parse(arguments, command_line)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _STOPPED
    except SystemExit as exit_request:  # argparse has printed the help or the error
        return exit_request.code if isinstance(exit_request.code, int) else _USAGE
    try:
        return int(args.func(args) or 0)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _STOPPED
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except Exception as error:
        if getattr(args, "debug", False):
            raise
        return _report_error(error)


def _parse(arguments: Sequence[str], command_line: Sequence[str]) -> Namespace:
    verb = arguments[0] if arguments else ""
    parser = _parser(verb)
    if verb in VERBS:
        if {"-h", "--help"} & {*arguments} and not parser.nested:
            return Namespace(func=lambda _: _print_help(parser, arguments[1:]))
        parser.set_defaults(command_line=list(command_line), validators=VALIDATORS, viewers=VIEWERS)
        return parser.parse_verb(arguments[1:])
    args = parser.parse_args(arguments)
    args.func = _print_version if args.version else lambda _: parser.print_help()
    return args


def _parser(verb: str) -> Parser:
    """The parser of a verb, whose code is imported; if there is no such verb, the parser of all verbs."""
    parser = Parser(
        prog="clipmill",
        description="Turn raw footage into curated shards, latents and a trained video model.",
        epilog="clipmill VERB --help prints the options of a verb and an example.",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    if verb not in VERBS:
        for name, (_, summary) in VERBS.items():
            verbs.add_parser(name, help=summary)
        return parser
    module, function = VERBS[verb][0].split(":")
    getattr(import_module(module), function)(verbs)
    chosen: Parser = verbs.choices[verb]
    chosen.description = chosen.description or _sentence(VERBS[verb][1])
    chosen.set_defaults(verb=verb)
    return chosen


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _print_help(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the help of a verb, and the knobs of each recipe among the arguments."""
    parser.print_help()
    for path in (text for text in arguments if text.endswith((".py", ".yaml", ".yml"))):
        from pipeline.recipes.recipe import load_recipe

        recipe = load_recipe(path)
        print(f"\nknobs of {recipe.name}:", *knob_lines(recipe.knobs), sep="\n")
    return 0


def _print_version(_: Namespace) -> int:
    from importlib import metadata

    print(f"clipmill {metadata.version('clipmill')}")
    return 0


def _report_error(error: Exception) -> int:
    """Print what is wrong on one screen, and return the exit code."""
    from manifests.errors import ClipmillError

    if isinstance(error, ClipmillError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        files = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
        print(f"error: {error.strerror}\n  where:  {files or 'a file'}\n  remedy: {_FIX}", file=sys.stderr)
        return 1
    print(f"error: {type(error).__name__}: {error}\n  remedy: {_BUG}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
