"""The command train."""

import argparse
import os
import sys
from pathlib import Path

from manifests import ClipmillError
from training.verbs.knobs import parse_knobs
from training.verbs.report import report

STOPPED_FILE = "stopped"  # in the output folder: the signal that stopped the training before its last step


def add_train_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    train = verbs.add_parser(
        "train",
        help="train a video diffusion model on shards of latents",
        epilog="example:\n  clipmill train --data /data/latents --out /data/training steps=500",
    )
    train.add_argument(
        "--data",
        required=True,
        action="append",
        help="folder or URL of shards, or a .txt that lists tars; repeat it for several data sets, whose"
        " shares of the steps are data_weights=0.7,0.3",
    )
    train.add_argument(
        "--validation-data",
        default="",
        help="shards of held-out clips; by default the validation split of --data, if it has one",
    )
    train.add_argument("--out", required=True, type=Path, help="output folder; run again to resume")
    train.add_argument(
        "--stages", type=Path, help="YAML file: a list of stages, each with steps and the settings it changes"
    )
    train.add_argument(
        "knobs",
        nargs="*",
        metavar="KNOB=VALUE",
        help="steps=200 model=tiny …; clipmill stages TrainWorld lists all",
    )
    train.set_defaults(func=_train)


def _train(args: argparse.Namespace) -> int:
    """Train. After SIGUSR1 or SIGTERM, save a checkpoint and return 75, which means that it can be resumed.

    Under torchrun it returns 0, because torchrun reports any other code as a failure, and as 1.
    """
    from training.data.find_shards import find_datasets, find_shards
    from training.errors import StoppedError
    from training.loop.stop_signal import stop_on_signals
    from training.recipes.stages import read_stages_file
    from training.recipes.world import train

    data, sizes, validation_data = find_datasets(args.data)
    if args.validation_data:
        validation_data = find_shards(args.validation_data)
    settings = {**parse_knobs(args.knobs), "data": data, "validation_data": validation_data}
    if len(sizes) > 1:
        settings["data_sizes"] = sizes
    if args.stages:
        settings["stages"] = read_stages_file(args.stages)
    marker = args.out / STOPPED_FILE
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first:
        marker.unlink(missing_ok=True)
    with stop_on_signals() as stop_requested:
        try:
            result = train(settings, args.out, stop_requested)
        except StoppedError as error:
            if is_first:
                marker.write_text(f"{stop_requested.signal}\n")
                print(error, file=sys.stderr)
            return 0 if "TORCHELASTIC_RUN_ID" in os.environ else error.exit_code
        except ClipmillError as error:
            return report(error)  # here, because torchrun sends SIGTERM when another rank has ended
    if is_first:
        skipped = f" · {result.skipped_steps} steps skipped" if result.skipped_steps else ""
        print(
            f"{result.steps} steps · loss {result.loss_first:.4f} to {result.loss_last:.4f}{skipped} · "
            f"{result.parameters} parameters\nmodel {result.model}\ncurve {result.loss_curve}"
        )
        if result.validation:
            print(f"validation {result.validation.summary()}")
    return 0
