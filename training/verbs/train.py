"""The command train."""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import ClipmillError
from training.verbs.knobs import (
    autoregressive_defaults,
    describe_settings,
    parse_knobs,
    parse_values,
    tokenizer_defaults,
    world_defaults,
)
from training.verbs.report import report

if TYPE_CHECKING:
    from training.loop.stop_signal import StopRequest
    from training.recipes.autoregressive.train import AutoregressiveResult
    from training.recipes.world import TrainingResult

TOKENIZER, AUTOREGRESSIVE = "tokenizer", "autoregressive"  # first arguments: what is trained
STOPPED_FILE = "stopped"  # in the output folder: the signal that stopped the training before its last step


def add_train_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    train = verbs.add_parser(
        "train",
        help="train a video diffusion model on latents, an autoregressive one on codes, or a tokenizer",
        epilog="example:\n  clipmill train --data /data/latents --out /data/training steps=500\n"
        "  clipmill train autoregressive --data /data/codes --out /data/training steps=500\n"
        "  clipmill train tokenizer --data /data/videos --out /data/tokenizer steps=4000",
    )
    train.add_argument(
        "--data",
        action="append",
        help="folder or URL of shards, or a .txt that lists tars; repeat it for several data sets, whose"
        " shares of the steps are data_weights=0.7,0.3. Of a tokenizer: a folder of videos and images, or of"
        " .npy arrays of frames, uint8 [t h w 3]",
    )
    train.add_argument(
        "--validation-data",
        default="",
        help="held-out clips or videos; by default the validation split of --data, if it has one",
    )
    train.add_argument("--out", type=Path, help="output folder; run again to resume")
    train.add_argument(
        "--stages", type=Path, help="YAML file: a list of stages, each with steps and the settings it changes"
    )
    train.add_argument("--list-knobs", action="store_true", help="print all knobs with their defaults")
    train.add_argument(
        "knobs",
        nargs="*",
        metavar="[tokenizer|autoregressive] KNOB=VALUE",
        help="steps=200 model=tiny …; the first word tokenizer or autoregressive trains one of these",
    )
    train.set_defaults(func=lambda args: _train(train, args))


def _train(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    """Train. After SIGUSR1 or SIGTERM, save a checkpoint and return 75, which means that it can be resumed.

    Under torchrun it returns 0, because torchrun reports any other code as a failure, and as 1.
    """
    from training.errors import StoppedError
    from training.loop.stop_signal import stop_on_signals

    kind = args.knobs[0] if args.knobs[:1] in ([TOKENIZER], [AUTOREGRESSIVE]) else ""
    if args.list_knobs:
        _list_knobs(kind)
        return 0
    if missing := [f"--{name}" for name in ("data", "out") if not getattr(args, name)]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    if kind == TOKENIZER and (args.stages or len(args.data) > 1):
        parser.error("the training of a tokenizer takes one --data, and no --stages")
    if kind == AUTOREGRESSIVE and args.stages:
        parser.error("the training of an autoregressive model takes no --stages")
    preparations = {TOKENIZER: _prepare_tokenizer, AUTOREGRESSIVE: _prepare_autoregressive}
    prepare = preparations.get(kind, _prepare_world)
    run = prepare(args)
    marker = args.out / STOPPED_FILE
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first:
        marker.unlink(missing_ok=True)
    with stop_on_signals() as stop_requested:
        try:
            summary = run(stop_requested)
        except StoppedError as error:
            if is_first:
                marker.write_text(f"{stop_requested.signal}\n")
                print(error, file=sys.stderr)
            return 0 if "TORCHELASTIC_RUN_ID" in os.environ else error.exit_code
        except ClipmillError as error:
            return report(error)  # here, because torchrun sends SIGTERM when another rank has ended
    if is_first:
        print(summary)
    return 0


def _prepare_world(args: argparse.Namespace) -> Callable[["StopRequest"], str]:
    """The training of a world model; the function trains and returns a summary."""
    from training.recipes.stages import read_stages_file
    from training.recipes.world import train

    settings = {**parse_knobs(args.knobs), **_find_data(args)}
    if args.stages:
        settings["stages"] = read_stages_file(args.stages)

    return lambda stop_requested: _summary(train(settings, args.out, stop_requested))


def _prepare_autoregressive(args: argparse.Namespace) -> Callable[["StopRequest"], str]:
    """The training of an autoregressive world model; the function trains and returns a summary."""
    from training.recipes.autoregressive.train import train_autoregressive

    settings = {**parse_values(args.knobs[1:], autoregressive_defaults()), **_find_data(args)}
    return lambda stop_requested: _summary(train_autoregressive(settings, args.out, stop_requested))


def _find_data(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that name shards."""
    from training.data.find_shards import find_datasets, find_shards

    data, sizes, validation_data = find_datasets(args.data)
    if args.validation_data:
        validation_data = find_shards(args.validation_data)
    return {"data": data, "validation_data": validation_data} | (
        {"data_sizes": sizes} if len(sizes) > 1 else {}
    )


def _summary(result: "TrainingResult | AutoregressiveResult") -> str:
    skipped = f" · {result.skipped_steps} steps skipped" if result.skipped_steps else ""
    validation = f"\nvalidation {result.validation.summary()}" if result.validation else ""
    return (
        f"{result.steps} steps · loss {result.loss_first:.4f} to {result.loss_last:.4f}{skipped} · "
        f"{result.parameters} parameters\nmodel {result.model}\ncurve {result.loss_curve}{validation}"
    )


def _prepare_tokenizer(args: argparse.Namespace) -> Callable[["StopRequest"], str]:
    """The training of a tokenizer; the function trains and returns a summary."""
    from training.recipes.tokenizer.train import train_tokenizer

    settings = parse_values(args.knobs[1:], tokenizer_defaults())
    settings |= {"data": args.data[0], "validation_data": args.validation_data}

    def run(stop_requested: "StopRequest") -> str:
        result = train_tokenizer(settings, args.out, stop_requested)
        scores = "".join(
            f"\nvalidation {view}: PSNR {values['psnr_db']:.2f} dB, SSIM {values['ssim']:.4f}"
            for view, values in result.validation.items()
        )
        return (
            f"{result.steps} steps · {result.parameters} parameters\ntokenizer {result.tokenizer}\n"
            f"curve {result.loss_curve}{scores}"
        )

    return run


def _list_knobs(kind: str) -> None:
    from training.recipes.autoregressive.config import AutoregressiveTrainingConfig
    from training.recipes.config import TrainingConfig
    from training.recipes.tokenizer.config import TokenizerConfig

    knobs: dict[str, tuple[dict[str, Any], type]] = {
        "": (world_defaults(), TrainingConfig),
        TOKENIZER: (tokenizer_defaults(), TokenizerConfig),
        AUTOREGRESSIVE: (autoregressive_defaults(), AutoregressiveTrainingConfig),
    }
    defaults, settings = knobs[kind]
    descriptions = describe_settings(settings)
    for name, default in defaults.items():
        value = ",".join(map(str, default)) if isinstance(default, tuple) else default
        print(f"{name}={value}")
        print(textwrap.fill(descriptions[name], 100, initial_indent="    ", subsequent_indent="    "))
