"""The verbs of training: train, sample, evaluate, export. Nothing heavy is imported until one of them runs.

python -m training train --data FOLDER --out DIR steps=200 size=tiny
torchrun --nproc-per-node 2 -m training train --data FOLDER --out DIR
python -m training sample --model DIR --out video.mp4 --caption "a slow pan"
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from manifests import ClipmillError


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount the verbs; each sets `run`, a function of the parsed arguments that gives the exit code."""
    train = verbs.add_parser("train", help="train a video diffusion model on shards of latents")
    train.add_argument("--data", required=True, help="folder or URL of shards, or a .txt that lists tars")
    train.add_argument("--out", required=True, type=Path, help="where it works; run again to go on")
    train.add_argument("knobs", nargs="*", metavar="KNOB=VALUE", help="steps=200 size=tiny batch=8 …")
    train.set_defaults(run=_train)

    sample = verbs.add_parser("sample", help="sample a video from a trained model")
    sample.add_argument("--model", required=True, type=Path, help="folder or file of the model")
    sample.add_argument("--out", required=True, type=Path, help="the mp4 to write")
    sample.add_argument("--caption", default="", help="what it shall show")
    for name, meaning in (("frames", "1 + 4k"), ("height", "pixels"), ("width", "pixels")):
        sample.add_argument(f"--{name}", type=int, default=0, help=f"{meaning}; 0 as in training")
    sample.add_argument("--steps", type=int, default=20, help="of the sampler (%(default)s)")
    sample.add_argument("--guidance", type=float, default=2.0, help="1 is none (%(default)s)")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--tokenizer", default="", help="its path, where it is not a bundled one")
    sample.set_defaults(run=_sample)

    evaluate = verbs.add_parser("evaluate", help="denoising loss on held-out latents, by level of noise")
    evaluate.add_argument("--model", required=True, type=Path, help="folder or file of the model")
    evaluate.add_argument("--data", required=True, help="folder or URL of shards, or a .txt that lists tars")
    evaluate.add_argument("--most", type=int, default=256, help="clips at most (%(default)s)")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    evaluate.set_defaults(run=_evaluate)

    export = verbs.add_parser("export", help="a model file from the last checkpoint of a training")
    export.add_argument("--from", required=True, type=Path, dest="work", help="the training's --out")
    export.add_argument("--out", required=True, type=Path, help="folder to write")
    export.set_defaults(run=_export)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 done, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        "training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_verbs(parser.add_subparsers(required=True, metavar="VERB"))
    asked = parser.parse_args(arguments)
    try:
        return int(asked.run(asked))
    except ClipmillError as error:
        print(error, file=sys.stderr)
        return 1


def knobs_of(words: Sequence[str]) -> dict[str, Any]:
    """KNOB=VALUE words as values of the types that `Knobs` declares.

    Raises:
        TrainingError: a word is not of that form, there is no such knob, or the value is of another type.
    """
    from training.errors import TrainingError
    from training.recipes.world import Knobs

    defaults = asdict(Knobs(data=()))
    turned: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in defaults or name == "data":
            near = get_close_matches(name, defaults, 1)
            raise TrainingError(
                f"there is no knob {name!r}" if equals else f"{word!r} is not KNOB=VALUE",
                remedy=f"did you mean {near[0]}?" if near else f"the knobs are {', '.join(defaults)}",
            )
        turned[name] = _value(name, text, type(defaults[name]))
    return turned


def _value(name: str, text: str, kind: type) -> Any:
    from training.errors import TrainingError

    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise TrainingError(f"{name} is a {kind.__name__}, not {text!r}") from None


def _train(asked: argparse.Namespace) -> int:
    from training.data.shards import find_shards
    from training.recipes.world import run

    told = run({"data": find_shards(asked.data), **knobs_of(asked.knobs)}, asked.out)
    if _first_rank():
        print(
            f"{told.steps} steps · loss {told.loss_first:.4f} to {told.loss_last:.4f} · "
            f"{told.parameters} parameters\nmodel {told.model}\ncurve {told.curve}"
        )
    return 0


def _sample(asked: argparse.Namespace) -> int:
    import torch

    from training.recipes.sampling import Wish, sample, write_video

    taken = ("frames", "height", "width", "steps", "guidance", "seed", "tokenizer")
    wish = Wish(captions=[asked.caption], **{name: getattr(asked, name) for name in taken})
    sampled = sample(asked.model, wish, "cuda" if torch.cuda.is_available() else "cpu")
    write_video(sampled.videos[0], sampled.fps, asked.out)
    print(asked.out)
    return 0


def _evaluate(asked: argparse.Namespace) -> int:
    import torch

    from training.data.shards import find_shards
    from training.recipes.evaluation import evaluate

    device = "cuda" if torch.cuda.is_available() else "cpu"
    told = evaluate(asked.model, find_shards(asked.data), most=asked.most, device=device)
    if asked.json:
        print(json.dumps(asdict(told)))
    else:
        print(f"{told.clips} clips · loss {told.loss:.4f}\nlevel  loss")
        print("\n".join(f"{level:5.2f}  {loss:.4f}" for level, loss in told.by_level.items()))
    return 0


def _export(asked: argparse.Namespace) -> int:
    from training.recipes.exporting import export

    print(export(asked.work, asked.out))
    return 0


def _first_rank() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"
