"""The commands of training, such as train, sample, evaluate and export.

python -m training train --data FOLDER --out DIR steps=200 model=tiny
torchrun --nproc-per-node 2 -m training train --data FOLDER --out DIR
python -m training sample --model DIR --out video.mp4 --prompt "a slow pan"
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from manifests import ClipmillError
from training.data.statistics_verb import add_statistics_verb
from training.planning.slurm_verb import add_slurm_verb
from training.planning.verb import add_plan_verb
from training.verbs.evaluate import add_evaluate_verb
from training.verbs.knobs import parse_knobs as parse_knobs
from training.verbs.merge import add_merge_verb
from training.verbs.report import report
from training.verbs.sample import add_sample_verb
from training.verbs.train import add_train_verb


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands. Each sets `func`, a function of the parsed arguments that returns the exit code."""
    add_train_verb(verbs)
    add_slurm_verb(verbs)
    add_sample_verb(verbs)
    add_plan_verb(verbs, parse_knobs)
    add_evaluate_verb(verbs)
    _add_export(verbs)
    add_merge_verb(verbs)
    add_statistics_verb(verbs)


def _add_export(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = verbs.add_parser(
        "export",
        help="write a model file, or a folder for diffusers, from the last checkpoint of a training",
        epilog="example:\n  clipmill export --from /data/training --out /data/model --format diffusers",
    )
    export.add_argument(
        "--from", required=True, type=Path, dest="work", help="output folder of the training, or a model"
    )
    export.add_argument("--out", required=True, type=Path, help="folder to write")
    export.add_argument(
        "--format",
        choices=("clipmill", "diffusers", "lora"),
        default="clipmill",
        help="clipmill: a model file; diffusers: a folder of CosmosTransformer3DModel (%(default)s)",
    )
    export.set_defaults(func=_export)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0 success, 1 failure, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        "training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_verbs(parser.add_subparsers(required=True, metavar="VERB"))
    args = _parse(parser, arguments)
    try:
        return int(args.func(args))
    except ClipmillError as error:
        return report(error)
    except OSError as error:
        if not error.filename:
            raise
        return report(
            ClipmillError(
                error.strerror or str(error),
                where=str(error.filename),
                remedy="check that the path is right and may be written, and that its disk has space",
            )
        )


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments. Arguments KNOB=VALUE may stand before and after options."""
    args, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(args, "knobs") or any(each.startswith("-") for each in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.knobs = [*args.knobs, *rest]
    return args


def _export(args: argparse.Namespace) -> int:
    from training.recipes.export import export

    exported = export(args.work, args.out, args.format)
    print(exported.path)
    for note in exported.notes:
        print(note)
    return 0
