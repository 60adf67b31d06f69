"""The command evaluate: the loss of a model, the quality of tokenizers, or generated videos."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from manifests import Range
from training.verbs.evaluate_world import add_world
from training.verbs.sample import TEXT_ENCODER_HELP

if TYPE_CHECKING:
    from training.tokenizer import Tokenizer


class _Result(Protocol):
    def lines(self) -> list[str]: ...
    def to_json(self) -> dict[str, Any]: ...


def add_evaluate_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    evaluate = verbs.add_parser(
        "evaluate",
        help="compute the loss of a model on held-out latents or codes, or measure tokenizers or videos",
        epilog="example:\n  clipmill evaluate --model /data/training --data /data/latents",
    )
    evaluate.add_argument("--model", type=Path, help="folder or file of the model")
    evaluate.add_argument("--data", help="folder or URL of shards, or a .txt that lists tars")
    evaluate.add_argument(
        "--codes", default="", help="folder or URL of the codes of the same clips, for a diffusion decoder"
    )
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
    evaluate.add_argument(
        "--free-running",
        action="store_true",
        help="of an autoregressive model: predict from tokens that it samples itself, beside the true ones",
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    evaluate.set_defaults(func=_evaluate)
    _add_subjects(evaluate)


def _add_subjects(evaluate: argparse.ArgumentParser) -> None:
    subjects = evaluate.add_subparsers(metavar="tokenizer | world", title="to evaluate something else")
    add_world(subjects)
    tokenizer = subjects.add_parser(
        "tokenizer",
        help="measure how well and how fast tokenizers reconstruct videos",
        description="Measure how well and how fast tokenizers reconstruct videos, as TokenBench does.",
        epilog="example:\n  clipmill evaluate tokenizer /data/videos --pictures /data/pictures\n"
        "  clipmill evaluate tokenizer /data/videos --diffusion-decoder /data/decoder",
    )
    tokenizer.add_argument(
        "videos", type=Path, metavar="DIR", help="videos, images, or .npy arrays of frames; or one file"
    )
    tokenizer.add_argument(
        "--tokenizer",
        action="append",
        metavar="NAME",
        help="name or path; repeat it for several (small and small-discrete)",
    )
    tokenizer.add_argument(
        "--resolutions",
        type=Range(1).argument(),
        nargs="+",
        default=[360],
        metavar="PX",
        help="short sides that larger frames are scaled to; smaller ones stay as they are (360)",
    )
    tokenizer.add_argument(
        "--frames",
        type=Range(0).argument(),
        default=49,
        metavar="N",
        help="maximum number of frames of a video; 0: all (%(default)s)",
    )
    tokenizer.add_argument(
        "--pictures", type=Path, metavar="OUT", help="folder for pictures beside their reconstructions"
    )
    _add_diffusion_decoder(tokenizer)
    _add_metrics(tokenizer)
    tokenizer.add_argument(
        "--num-threads", type=Range(1).argument(), default=2, help="CPU threads (%(default)s)"
    )
    tokenizer.add_argument("--json", type=Path, metavar="OUT", help="file for all figures")
    tokenizer.set_defaults(func=_evaluate_tokenizer)


def _add_diffusion_decoder(tokenizer: argparse.ArgumentParser) -> None:
    tokenizer.add_argument(
        "--diffusion-decoder", type=Path, metavar="MODEL", help="folder or file of a trained decoder of codes"
    )
    tokenizer.add_argument(
        "--num-inference-steps",
        type=Range(1).argument(),
        nargs="+",
        default=[15],
        metavar="N",
        help="its steps, a line of the table for each; 1: the mean, with the lowest error (15)",
    )
    tokenizer.add_argument(
        "--guidance-scale",
        type=Range(0).argument(float),
        default=1.0,
        help="its guidance by the codes; 1: none (%(default)s)",
    )
    tokenizer.add_argument(
        "--sampler", default="euler", help="its sampler, as of the command sample (%(default)s)"
    )
    tokenizer.add_argument("--seed", type=Range(0).argument(), default=0, help="its seed (%(default)s)")


def _add_metrics(tokenizer: argparse.ArgumentParser) -> None:
    """The metrics that need files of weights."""
    tokenizer.add_argument(
        "--lpips-weights",
        type=Path,
        metavar="FILE",
        help="compute LPIPS too, with this state_dict of lpips.LPIPS(net='vgg'), .pth or .safetensors",
    )
    tokenizer.add_argument(
        "--fvd-weights",
        type=Path,
        metavar="FILE",
        help="compute FVD too, with this TorchScript file, such as i3d_torchscript.pt of StyleGAN-V",
    )


def _evaluate(args: argparse.Namespace) -> int:
    import torch

    from training.autoregressive.model_file import is_token_model
    from training.data.find_shards import find_shards, find_splits
    from training.errors import SettingError
    from training.evaluation.evaluate import evaluate
    from training.evaluation.evaluate_tokens import evaluate_tokens
    from training.evaluation.free_running import evaluate_free_running

    if args.model is None or args.data is None:
        raise SettingError(
            "evaluate needs --model and --data",
            remedy="add them, or measure tokenizers or videos: evaluate tokenizer DIR, evaluate world",
        )
    if args.split:
        data = find_shards(args.data, args.split)
    else:
        rest, held_out = find_splits(args.data)
        data = held_out or rest
    options: dict[str, Any] = {
        "max_clips": args.max_clips,
        "batch_size": args.batch_size,
        "text_encoder": args.text_encoder,
        "num_threads": args.num_threads,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    is_token = is_token_model(args.model)
    if args.free_running and not is_token:
        raise SettingError("--free-running is of autoregressive models", where=str(args.model))
    if args.codes and is_token:
        raise SettingError("--codes is of diffusion decoders", where=str(args.model))
    result: _Result
    if args.free_running:
        result = evaluate_free_running(args.model, data, **options)
    elif is_token:
        result = evaluate_tokens(args.model, data, **options)
    else:
        codes = find_shards(args.codes) if args.codes else ()
        result = evaluate(args.model, data, codes=codes, **options)
    if args.json:
        print(json.dumps(result.to_json()))
    else:
        print("\n".join(result.lines()))
    return 0


def _open_decoders(args: argparse.Namespace, device: str) -> "dict[str, Tokenizer]":
    """The diffusion decoder with each number of steps, by the name of its line in the table."""
    from training.decoding.diffusion_decoder import DecodingOptions, open_diffusion_decoder

    options = {
        f"diffusion decoder, {steps} steps" if steps > 1 else "diffusion decoder, 1 step": DecodingOptions(
            num_inference_steps=steps,
            guidance_scale=args.guidance_scale,
            sampler=args.sampler,
            seed=args.seed,
        )
        for steps in args.num_inference_steps
    }
    return {
        name: open_diffusion_decoder(args.diffusion_decoder, each, device=device)
        for name, each in options.items()
    }


def _evaluate_tokenizer(args: argparse.Namespace) -> int:
    import torch

    from training.errors import SettingError
    from training.evaluation.tokenizer_report import evaluate_tokenizers
    from training.metrics.fvd import VideoFeatures
    from training.metrics.lpips import LPIPS
    from training.tokenizers.weights import BUNDLED

    if args.json and not args.json.parent.is_dir():
        raise SettingError("there is no such folder to write the figures to", where=str(args.json.parent))
    torch.set_num_threads(args.num_threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = evaluate_tokenizers(
        args.videos,
        args.tokenizer or list(BUNDLED),
        args.resolutions,
        decoders=_open_decoders(args, device) if args.diffusion_decoder else None,
        max_frames=args.frames,
        pictures=args.pictures,
        video_features=VideoFeatures(args.fvd_weights, device) if args.fvd_weights else None,
        lpips=LPIPS(args.lpips_weights).to(device) if args.lpips_weights else None,
        device=device,
    )
    if args.json:
        args.json.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    print("\n".join(report.lines()))
    return 0
