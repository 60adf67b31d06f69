"""The command sample."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import Range

if TYPE_CHECKING:
    from training.recipes.sampling import SampledVideos

TEXT_ENCODER_HELP = "path of the pretrained text encoder, if it is no longer where the training found it"

SHARED_OPTIONS = ("num_frames", "video", "num_conditional_frames", "seed", "tokenizer", "text_encoder")
# Options of one kind of model, and their defaults
TOKEN_OPTIONS = dict.fromkeys(
    (
        "temperature",
        "top_k",
        "top_p",
        "context_frames",
        "medusa_heads",
        "diffusion_decoder",
        "diffusion_decoder_steps",
    )
)
DIFFUSION_OPTIONS = {
    "height": 0,
    "width": 0,
    "condition_timestep": 0.0,
    "num_inference_steps": 0,
    "sampler": "",
    "flow_shift": 0.0,
    "context_parallel_method": "ulysses",
    "actions": "",
    "camera_trajectory": "",
    "camera_speed": 1.0,
    "camera_rotation_speed": 20.0,
    "camera_radius": 2.0,
    "camera_fov": 0.0,
    "trajectory": "",
}


def add_sample_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    sample = verbs.add_parser(
        "sample",
        help="sample videos from a trained model",
        epilog="example:\n  clipmill sample --model /data/training --out video.mp4 --prompt 'a slow pan'\n"
        "  clipmill sample --model /data/camera --out video.mp4 --image a.png --camera-trajectory forward\n"
        "  clipmill sample --model /data/driving --out drive.mp4 --views front left --prompt 'a street'\n"
        "  clipmill sample --model /data/autoregressive --out video.mp4 --image first.png --top-p 0.8",
    )
    sample.add_argument("--model", required=True, type=Path, help="folder or file of the model")
    sample.add_argument(
        "--out",
        required=True,
        type=Path,
        help="mp4 to write; with --num-samples N, its name ends in -0 …; of several cameras, a folder of the"
        " name without .mp4, with CAMERA.mp4 for each",
    )
    text = "text of the video; of several cameras one for all, or one for each; by default none"
    sample.add_argument("--prompt", nargs="+", default=[""], metavar="TEXT", help=text)
    sample.add_argument(
        "--num-samples", type=Range(1).argument(), default=1, help="videos to sample (%(default)s)"
    )
    for name, unit in (
        ("num-frames", "frames, 1 + k * the temporal stride"),
        ("height", "px"),
        ("width", "px"),
    ):
        sample.add_argument(
            f"--{name}", type=Range(0).argument(), default=0, help=f"{unit}; 0: as in training"
        )
    _add_given_options(sample)
    sample.add_argument(
        "--guidance-scale",
        type=Range(0).argument(float),
        help="classifier-free guidance; 1: none (2, of an autoregressive or distilled model 1)",
    )
    sample.add_argument("--seed", type=Range(0).argument(), default=0, help="seed of the noise (%(default)s)")
    sample.add_argument("--tokenizer", default="", help="path of the tokenizer, if it is not a bundled one")
    sample.add_argument("--text-encoder", default="", help=TEXT_ENCODER_HELP)
    _add_diffusion_options(sample)
    _add_condition_options(sample)
    _add_token_options(sample)
    sample.set_defaults(func=_sample)


def _add_given_options(sample: argparse.ArgumentParser) -> None:
    sample.add_argument(
        "--image",
        nargs="+",
        default=[],
        metavar="FILE",
        help="image that the video begins with; of several cameras one for each",
    )
    sample.add_argument("--video", default="", help="video whose last frames the sampled video begins with")
    sample.add_argument(
        "--num-conditional-frames",
        type=Range(0).argument(),
        default=0,
        help="latent frames given from --video; 0: as many as in training",
    )


def _add_diffusion_options(sample: argparse.ArgumentParser) -> None:
    options = sample.add_argument_group("diffusion models")
    options.add_argument(
        "--condition-timestep",
        type=Range(0).argument(float),
        default=0.0,
        help="timestep of noise on given frames, if the model was trained with it; 0: as in training",
    )
    options.add_argument(
        "--num-inference-steps",
        type=Range(1).argument(),
        default=0,
        help="steps of the sampler (20, or those of a distilled model)",
    )
    options.add_argument(
        "--sampler",
        default="",
        help="heun, euler, unipc, unipc3, ddim or ddpm (heun, of a distilled model euler)",
    )
    options.add_argument(
        "--flow-shift",
        type=Range(0).argument(float),
        default=0.0,
        help="shift of the timesteps towards noise; 0: as in training (%(default)s)",
    )
    options.add_argument(
        "--context-parallel-method",
        choices=("ulysses", "allgather", "ring"),
        default="ulysses",
        help="how the ranks of torchrun share the tokens of the video (%(default)s)",
    )


def _add_condition_options(sample: argparse.ArgumentParser) -> None:
    options = sample.add_argument_group("diffusion models of several cameras, or trained with conditions")
    options.add_argument(
        "--views",
        nargs="+",
        default=[],
        metavar="CAMERA",
        help="cameras that are sampled together, of a model of several; by default all",
    )
    options.add_argument(
        "--actions", default="", metavar="FILE", help=".npy, .csv or .parquet: each action leads to one frame"
    )
    options.add_argument(
        "--camera-trajectory",
        default="",
        metavar="NAME",
        help="forward, backward, left, right, up, down, rotate_left, rotate_right, tilt_up, tilt_down,"
        " arc_left, arc_right or static; or a .npy or .parquet file of poses. Of several cameras: of the"
        " first, or a folder with CAMERA.conditions.parquet of each",
    )
    options.add_argument(
        "--trajectory", default="", metavar="FILE", help=".npy or .parquet: places of the car after the start"
    )
    for name, text in (
        ("speed", "units of the poses (m of metric ones) per s"),
        ("rotation-speed", "degrees per s"),
        ("radius", "radius of an arc, in units of the poses"),
        ("fov", "horizontal field of view in degrees; 0: as in training"),
    ):
        default = DIFFUSION_OPTIONS[f"camera_{name}".replace("-", "_")]
        options.add_argument(
            f"--camera-{name}", type=Range(0).argument(float), default=default, help=f"{text} (%(default)s)"
        )


def _add_token_options(sample: argparse.ArgumentParser) -> None:
    """The options of autoregressive models. None is the default of `TokenSamplingRequest`."""
    options = sample.add_argument_group("autoregressive models")
    for name, limits, kind, text in (
        ("temperature", Range(0), float, "higher values give more varied videos; 0: the most probable (1)"),
        ("top-k", Range(0), int, "choose among so many most probable tokens; 0: all (0)"),
        ("top-p", Range(0, 1, above=0), float, "choose among the most probable tokens of this share (0.8)"),
        ("context-frames", Range(1), int, "latent frames that each further chunk begins with (1)"),
        ("medusa-heads", Range(0), int, "heads that propose tokens; the video is the same (all)"),
    ):
        options.add_argument(f"--{name}", type=limits.argument(kind), help=text)
    options.add_argument("--diffusion-decoder", metavar="MODEL", help="model that decodes the tokens")
    options.add_argument(
        "--diffusion-decoder-steps",
        type=Range(1).argument(),
        help="steps of that model; 1: the mean, more: a sharper sample (15)",
    )


def _sample(args: argparse.Namespace) -> int:
    """Sample videos. Of a diffusion model the ranks of torchrun share the tokens, else the videos."""
    from training.autoregressive.model_file import is_token_model
    from training.errors import SettingError
    from training.parallel.mesh import process_group

    if not args.out.parent.is_dir():
        raise SettingError("there is no such folder to write the video to", where=str(args.out.parent))
    is_token = is_token_model(args.model)
    _refuse_options(args, DIFFUSION_OPTIONS | {"views": []} if is_token else TOKEN_OPTIONS, is_token)
    with process_group():
        return _sample_tokens(args) if is_token else _sample_diffusion(args)


def _refuse_options(args: argparse.Namespace, names: Mapping[str, object], is_token: bool) -> None:
    """Refuse options of the other kind of model, which would have no effect.

    Raises:
        SettingError: One is set.
    """
    from training.errors import SettingError

    if wrong := [name for name, default in names.items() if getattr(args, name) != default]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        kind = "an autoregressive" if is_token else "a diffusion"
        raise SettingError(
            f"{options}: this is {kind} model, which has no such option", where=str(args.model)
        )


def _sample_diffusion(args: argparse.Namespace) -> int:
    import torch.distributed as dist

    from training.model import read_model_info
    from training.parallel.mesh import local_device
    from training.recipes.sampling import SamplingRequest, sample
    from training.recipes.sampling_views import cameras_of, prompts_of_views

    cameras = cameras_of(read_model_info(args.model))
    views = args.views or cameras
    images = {"images": args.image} if cameras else {"image": _single(args.image, "image")}
    request = SamplingRequest(
        prompt=prompts_of_views(args.prompt, views, args.num_samples),
        views=views,
        guidance_scale=args.guidance_scale,
        **images,
        **{name: getattr(args, name) for name in (*SHARED_OPTIONS, *DIFFUSION_OPTIONS)},
    )
    group = dist.group.WORLD if dist.get_world_size() > 1 else None
    sampled = sample(args.model, request, local_device(), group)
    if dist.get_rank() == 0:
        _write(sampled, args, 0, views)
    return 0


def _single(values: Sequence[str], name: str) -> str:
    """The only one of these values; "" if there is none.

    Raises:
        SettingError: There are several.
    """
    from training.errors import SettingError

    if len(values) > 1:
        raise SettingError(f"there are {len(values)} of --{name}, and the model has one camera")
    return values[0] if values else ""


def _sample_tokens(args: argparse.Namespace) -> int:
    """Each rank samples and writes a part of the videos; which one does not change a video."""
    import torch.distributed as dist

    from training.decoding.sample import TokenSamplingRequest, sample_token_model
    from training.parallel.mesh import local_device

    rank, ranks = dist.get_rank(), dist.get_world_size()
    first, stop = (args.num_samples * number // ranks for number in (rank, rank + 1))
    if first == stop:
        return 0
    names = (*SHARED_OPTIONS, "guidance_scale", *TOKEN_OPTIONS)
    chosen = {name: getattr(args, name) for name in names}
    request = TokenSamplingRequest(
        prompt=[_single(args.prompt, "prompt")] * (stop - first),
        image=_single(args.image, "image"),
        first_sample=first,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    _write(sample_token_model(args.model, request, local_device()), args, first)
    return 0


def _write(sampled: "SampledVideos", args: argparse.Namespace, first: int, views: Sequence[str] = ()) -> None:
    """Write videos, the first of which is the sample number `first`, and print their paths."""
    from training.recipes.sampling import write_video

    for place, video in enumerate(sampled.videos):
        number = first + place // max(1, len(views))
        file = args.out if args.num_samples == 1 else args.out.with_stem(f"{args.out.stem}-{number}")
        if views:
            file = file.with_suffix("") / f"{views[place % len(views)]}.mp4"
            file.parent.mkdir(exist_ok=True)
        write_video(video, sampled.fps, file)
        print(file)
