"""The commands of training, such as train, sample, evaluate and export.

python -m training train --data FOLDER --out DIR steps=200 model=tiny
torchrun --nproc-per-node 2 -m training train --data FOLDER --out DIR
python -m training sample --model DIR --out video.mp4 --prompt "a slow pan"
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from manifests import ClipmillError, Range
from training.data.statistics_verb import add_statistics_verb
from training.planning.slurm_verb import add_slurm_verb
from training.planning.verb import add_plan_verb
from training.verbs.knobs import parse_knobs as parse_knobs
from training.verbs.report import report
from training.verbs.sample import TEXT_ENCODER_HELP, add_sample_verb
from training.verbs.train import add_train_verb


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands. Each sets `func`, a function of the parsed arguments that returns the exit code."""
    add_train_verb(verbs)
    add_slurm_verb(verbs)
    add_sample_verb(verbs)
    add_plan_verb(verbs, parse_knobs)

    evaluate = verbs.add_parser(
        "evaluate",
        help="compute the denoising loss of a model on held-out latents",
        epilog="example:\n  clipmill evaluate --model /data/training --data /data/latents",
    )
    evaluate.add_argument("--model", required=True, type=Path, help="folder or file of the model")
    evaluate.add_argument("--data", required=True, help="folder or URL of shards, or a .txt that lists tars")
    evaluate.add_argument(
        "--max-clips", type=Range(1).argument(), default=256, help="maximum number of clips (%(default)s)"
    )
    evaluate.add_argument(
        "--split",
        default="",
        help="split of the clips; by default validation if there is one, else all",
    )
    evaluate.add_argument(
        "--batch-size", type=Range(1).argument(), default=8, help="clips evaluated together (%(default)s)"
    )
    evaluate.add_argument("--text-encoder", default="", help=TEXT_ENCODER_HELP)
    evaluate.add_argument(
        "--num-threads", type=Range(1).argument(), default=2, help="CPU threads (%(default)s)"
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    evaluate.set_defaults(func=_evaluate)
    _add_export(verbs)
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


def _evaluate(args: argparse.Namespace) -> int:
    import torch

    from training.data.find_shards import find_shards, find_splits
    from training.evaluation.evaluate import evaluate

    if args.split:
        data = find_shards(args.data, args.split)
    else:
        rest, held_out = find_splits(args.data)
        data = held_out or rest
    result = evaluate(
        args.model,
        data,
        max_clips=args.max_clips,
        batch_size=args.batch_size,
        text_encoder=args.text_encoder,
        num_threads=args.num_threads,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    if args.json:
        print(json.dumps(result.to_json()))
    else:
        print("\n".join(result.lines()))
    return 0


def _export(args: argparse.Namespace) -> int:
    from training.recipes.export import export

    exported = export(args.work, args.out, args.format)
    print(exported.path)
    for note in exported.notes:
        print(note)
    return 0
