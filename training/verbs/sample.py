"""The command sample."""

import argparse
from pathlib import Path

from manifests import Range

TEXT_ENCODER_HELP = "path of the pretrained text encoder, if it is no longer where the training found it"


def add_sample_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code."""
    sample = verbs.add_parser(
        "sample",
        help="sample a video from a trained model",
        epilog="example:\n  clipmill sample --model /data/training --out video.mp4 --prompt 'a slow pan'",
    )
    sample.add_argument("--model", required=True, type=Path, help="folder or file of the model")
    sample.add_argument("--out", required=True, type=Path, help="mp4 to write")
    sample.add_argument("--prompt", default="", help="text of the video; by default none")
    for name, unit in (("num-frames", "frames, 1 + 4k"), ("height", "px"), ("width", "px")):
        sample.add_argument(
            f"--{name}", type=Range(0).argument(), default=0, help=f"{unit}; 0: as in training"
        )
    sample.add_argument("--image", default="", help="image that the video begins with")
    sample.add_argument("--video", default="", help="video whose last frames the sampled video begins with")
    sample.add_argument(
        "--num-conditional-frames",
        type=Range(0).argument(),
        default=0,
        help="latent frames given from --video; 0: as many as in training",
    )
    sample.add_argument(
        "--condition-timestep",
        type=Range(0).argument(float),
        default=0.0,
        help="timestep of noise on given frames, if the model was trained with it; 0: as in training",
    )
    sample.add_argument(
        "--num-inference-steps",
        type=Range(1).argument(),
        default=20,
        help="steps of the sampler (%(default)s)",
    )
    sample.add_argument(
        "--guidance-scale",
        type=Range(0).argument(float),
        default=2.0,
        help="classifier-free guidance; 1: none (%(default)s)",
    )
    sample.add_argument(
        "--sampler", default="heun", help="heun, euler, unipc, unipc3, ddim or ddpm (%(default)s)"
    )
    sample.add_argument(
        "--flow-shift",
        type=Range(0).argument(float),
        default=0.0,
        help="shift of the timesteps towards noise; 0: as in training (%(default)s)",
    )
    sample.add_argument("--seed", type=Range(0).argument(), default=0, help="seed of the noise (%(default)s)")
    sample.add_argument("--tokenizer", default="", help="path of the tokenizer, if it is not a bundled one")
    sample.add_argument("--text-encoder", default="", help=TEXT_ENCODER_HELP)
    sample.add_argument(
        "--context-parallel-method",
        choices=("ulysses", "allgather", "ring"),
        default="ulysses",
        help="how the ranks of torchrun share the tokens of the video (%(default)s)",
    )
    sample.set_defaults(func=_sample)


def _sample(args: argparse.Namespace) -> int:
    """Sample a video. The ranks of torchrun share its tokens, and the first one writes it."""
    import torch.distributed as dist

    from training.errors import SettingError
    from training.parallel.mesh import local_device, process_group
    from training.recipes.sampling import SamplingRequest, sample, write_video

    if not args.out.parent.is_dir():
        raise SettingError("there is no such folder to write the video to", where=str(args.out.parent))
    request = SamplingRequest(
        prompt=[args.prompt],
        num_frames=args.num_frames,
        height=args.height,
        width=args.width,
        image=args.image,
        video=args.video,
        num_conditional_frames=args.num_conditional_frames,
        condition_timestep=args.condition_timestep,
        num_inference_steps=args.num_inference_steps,
        guidance_scale=args.guidance_scale,
        sampler=args.sampler,
        flow_shift=args.flow_shift,
        seed=args.seed,
        tokenizer=args.tokenizer,
        text_encoder=args.text_encoder,
        context_parallel_method=args.context_parallel_method,
    )
    with process_group():
        group = dist.group.WORLD if dist.get_world_size() > 1 else None
        sampled = sample(args.model, request, local_device(), group)
        if dist.get_rank() == 0:
            write_video(sampled.videos[0], sampled.fps, args.out)
            print(args.out)
    return 0
