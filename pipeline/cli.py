"""The command `clipmill`: it knows the verbs by name, and imports a verb's code when it is called."""

import os
import sys
import textwrap
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

VERBS = {  # verb: (where its options are added, what it does)
    "run": ("pipeline.verbs.run:add_verbs", "run a recipe; go on from whatever is done already"),
    "plan": ("pipeline.verbs.plan:add_verbs", "say what a run would do; write nothing"),
    "try": ("pipeline.verbs.try_out:add_verbs", "say what a changed knob would do to the last run's rows"),
    "status": ("pipeline.verbs.status:add_verbs", "how far the last run is, and who holds the store"),
    "why": ("pipeline.verbs.explain:add_verbs", "the life of a video, a clip or any other row"),
    "replay": ("pipeline.verbs.replay:add_verbs", "run one step on one row again, and compare"),
    "report": ("pipeline.verbs.report:add_verbs", "write the report of a run again"),
    "text": ("pipeline.verbs.yaml:add_verbs", "print a recipe's DAG as YAML"),
    "draw": ("pipeline.verbs.graph:add_verbs", "draw a recipe's DAG"),
    "demo": ("stages.recipes.demonstrate:add_verbs", "draw the demo's films; with --run, all the rest too"),
    "manifest": ("manifests.cli:add_verbs", "show, check or compare tables"),
    "train": ("training.cli:add_verbs", "train a model"),
    "sample": ("training.cli:add_verbs", "sample from a model"),
    "evaluate": ("training.cli:add_verbs", "measure a model"),
    "export": ("training.cli:add_verbs", "write a model in another layout"),
}
PROOFS = {  # what `manifest check` asks of a stage's tables beyond their format
    "stages.shards.pack_shards:PackShards": "stages.shards.proof:prove",
}
_DEFECT = "this is a defect; run the same with --debug to see where, and report it"
_PIPE_CLOSED, _STOPPED, _USAGE = 141, 130, 2


class Parser(ArgumentParser):
    """Argparse whose errors name the nearest word that it knows."""

    nested = False  # whether it has verbs of its own

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def add_subparsers(self, **options: Any) -> Any:
        self.nested = True
        return super().add_subparsers(**options)

    def parsed(self, words: Sequence[str]) -> Namespace:
        """The words of one verb, where knobs and options may come in any order."""
        if self.nested:
            return self.parse_args(words)
        if "--debug" not in self._option_string_actions:
            self.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        import difflib

        known = [*self._option_string_actions, *VERBS]
        wrong = message.split("arguments: ")[-1].split("'")[1:2] or message.split(": ")[-1].split()[:1]
        hint = difflib.get_close_matches(wrong[0].partition("=")[0], known, n=1) if wrong else []
        remedy = f"did you mean {hint[0]!r}? " if hint else ""
        self.exit(_USAGE, f"error: {message}\n  remedy: {remedy}see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parsed(words)
    except SystemExit as ended:  # argparse has said what there is to say
        return ended.code if isinstance(ended.code, int) else _USAGE
    try:
        act = getattr(args, "act", None) or args.run  # the verbs of training name theirs `run`
        return int(act(args) or 0)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _STOPPED
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except Exception as error:
        if getattr(args, "debug", False):
            raise
        return _told(error)


def _parsed(words: Sequence[str]) -> Namespace:
    verb = next((word for word in words if not word.startswith("-")), "")
    parser = Parser(
        prog="clipmill",
        description="Raw footage in; curated shards, latents and a trained video model out.",
        epilog="clipmill VERB --help says what a verb can do.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    if verb in VERBS and words[0] == verb:
        module, function = VERBS[verb][0].split(":")
        getattr(import_module(module), function)(verbs)
    for name, (_, summary) in VERBS.items():
        if name not in verbs.choices:
            verbs.add_parser(name, help=summary)
    if words and words[0] in verbs.choices:
        chosen: Parser = verbs.choices[words[0]]
        if {"-h", "--help"} & {*words} and not chosen.nested:
            return Namespace(act=lambda _: _help(chosen, words[1:]))
        chosen.set_defaults(verb=words[0], words_typed=list(words), proofs=PROOFS)
        return chosen.parsed(words[1:])
    args = parser.parse_args(words)
    args.act = _version if args.version else lambda _: parser.print_help()
    return args


def _help(parser: Parser, words: Sequence[str]) -> int:
    """Tell of a verb, and of the knobs of a recipe that stands among the words."""
    parser.print_help()
    for path in (word for word in words if word.endswith((".py", ".yaml", ".yml"))):
        from pipeline.recipes.recipe import load_recipe

        recipe = load_recipe(path)
        print(f"\nknobs of {recipe.name}:")
        for knob in recipe.knobs:
            name = knob.name if knob.required else f"{knob.name}={knob.default}"
            told = knob.doc or "no word is said of it"
            print(textwrap.fill(told, 110, initial_indent=f"  {name:28}  ", subsequent_indent=" " * 32))
    return 0


def _version(_: Namespace) -> int:
    from importlib import metadata

    print(f"clipmill {metadata.version('clipmill')}")
    return 0


def _told(error: Exception) -> int:
    """Say on one screen what is wrong, and return the exit code."""
    from manifests.errors import ClipmillError, UnknownColumn

    if not isinstance(error, ClipmillError):
        print(f"error: {type(error).__name__}: {error}\n  remedy: {_DEFECT}", file=sys.stderr)
        return 1
    from pipeline.errors import PlanError, RecipeError

    print(f"error: {error}", file=sys.stderr)
    return _USAGE if isinstance(error, PlanError | RecipeError | UnknownColumn) else 1


if __name__ == "__main__":
    sys.exit(main())
