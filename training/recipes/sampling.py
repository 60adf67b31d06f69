"""Sampling: videos from a trained model, on one rank or on several that share the tokens of a video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt
from training.data.latent_statistics import denormalize
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import ClassifierFreeGuidance
from training.errors import CheckpointError, SettingError, TrainingError
from training.model import ModelInfo, load_model
from training.networks.video_dit import VideoDiT
from training.noise import normal
from training.parallel.threads import cpu_threads
from training.recipes.given_frames import (
    add_given_frames,
    add_noise_to_given_frames,
    choose_condition_timestep,
    choose_given_frames,
    read_frames,
)
from training.recipes.pretrained_text import reopen_text_encoder
from training.sampler import Sampler, default_grid
from training.samplers.registry import SAMPLERS
from training.text_encoder import add_text
from training.tokenizer import Stride, Tokenizer, count_latent_frames
from training.tokenizers import load_tokenizer
from training.world_model import WorldModel


@dataclass(frozen=True, kw_only=True)
class SamplingRequest:
    """What to sample. Names are those of diffusers' pipelines.

    Attributes:
        prompt: Text of each video; "" samples without text. One video is sampled per entry.
        num_frames: Frames per video: 1 + k * the temporal stride. 0 is the most frequent number in training.
        height: Height in px. 0 is the most frequent height in training.
        width: Width in px. 0 is the most frequent width in training.
        image: File of an image that the video begins with (image-to-video); "" has none.
        video: File of a video whose last frames the sampled video begins with (video-to-video); "" has none.
        num_conditional_frames: Latent frames that are given from `video`; 0 is the largest number that the
            model was trained with.
        condition_timestep: Timestep of the noise on given frames, of a model that was trained with it. 0
            takes that of the training, or 0.001, as Cosmos-Predict1. Higher values follow them less exactly.
        sampler: Name of the sampler. heun makes two predictions per step, the others one.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Scale of classifier-free guidance; 1 is none.
        flow_shift: Shift of the timesteps towards noise; 1 is none. 0 takes that of the training.
        seed: Equal seeds, prompts and sizes give equal videos.
        tokenizer: Name or path of the tokenizer that the model was trained with; "" takes the recorded one.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        context_parallel_method: How attention covers the tokens of several ranks, as in a training.
        num_threads: CPU threads.
    """

    prompt: Sequence[str]
    num_frames: NonNegativeInt = 0
    height: NonNegativeInt = 0
    width: NonNegativeInt = 0
    image: str = ""
    video: str = ""
    num_conditional_frames: NonNegativeInt = 0
    condition_timestep: NonNegativeFloat = 0.0
    sampler: str = "heun"
    num_inference_steps: PositiveInt = 20
    guidance_scale: NonNegativeFloat = 2.0
    flow_shift: NonNegativeFloat = 0.0
    seed: NonNegativeInt = 0
    tokenizer: str = ""
    text_encoder: str = ""
    context_parallel_method: str = "ulysses"
    num_threads: PositiveInt = 2


@dataclass(frozen=True)
class SampledVideos:
    """Sampled videos.

    Attributes:
        videos: RGB, uint8 [b t h w 3]. On all ranks but the first there are none: b = 0.
        fps: Frames per second.
    """

    videos: npt.NDArray[np.uint8]
    fps: float


def sample(
    model: Path | tuple[WorldModel, ModelInfo],
    request: SamplingRequest,
    device: torch.device | str = "cpu",
    context_group: dist.ProcessGroup | None = None,
) -> SampledVideos:
    """Sample one video per entry of `request.prompt`.

    Args:
        model: Folder or file of the model, or the result of `load_model`.
        request: What to sample.
        device: Where the network runs. The tokenizer runs on the CPU.
        context_group: The ranks that share the tokens of each video. All of them call this function, and the
            first one decodes.

    Raises:
        CheckpointError: There is no model, or the tokenizer or text encoder is not the one that it was
            trained with.
        TrainingError: The size does not fit the model, or the given frames cannot be read.
        SettingError: The model was not trained with so many given frames.
        LayoutError: There are more ranks than tokens or, with ulysses, than attention heads.
    """
    world, info = load_model(model) if isinstance(model, Path) else model
    if info.codes:
        raise SettingError(
            "this model is a diffusion decoder: it decodes the codes of a clip, and samples none",
            where=str(model) if isinstance(model, Path) else "",
            remedy="measure it with evaluate tokenizer DIR --diffusion-decoder",
        )
    tokenizer = open_tokenizer(request.tokenizer, info.latents)
    with cpu_threads(request.num_threads):
        latents = sample_latents(world, info, tokenizer, request, device, context_group)
        if context_group is not None and dist.get_rank(context_group) > 0:
            return SampledVideos(np.empty((0, 0, 0, 0, 3), np.uint8), info.fps)
        with torch.inference_mode():
            latents = denormalize(latents, info.latent_statistics)
            videos = tokenizer.decode(latents.cpu())  # [b 3 t h w]
    frames = ((videos.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1)
    return SampledVideos(frames.contiguous().numpy(), info.fps)


@torch.inference_mode()
def sample_latents(
    world: WorldModel,
    info: ModelInfo,
    tokenizer: Tokenizer,
    request: SamplingRequest,
    device: torch.device | str = "cpu",
    context_group: dist.ProcessGroup | None = None,
) -> Tensor:
    """Sample latents [b c t h w], normalized as those that the model was trained on.

    The ranks of `context_group` share the tokens of a `VideoDiT`; each runs another network and the text
    encoder whole. All ranks return the same latents. Raises the errors of `sample`.
    """
    shape = _latent_shape(request, info, tokenizer.stride)
    given = _read_given_frames(request, info, shape, tokenizer.stride)
    if context_group is not None and isinstance(world.network, VideoDiT):
        _share_tokens(world.network, context_group, request.context_parallel_method)
    world = world.to(device)
    encoder = reopen_text_encoder(request.text_encoder, world, info)
    sampler, path = find_sampler(request.sampler), world.denoiser.path
    try:
        timesteps = default_grid(path, request.num_inference_steps, request.flow_shift or info.flow_shift)
    except ValueError as error:
        raise SettingError(str(error), remedy="choose another num_inference_steps") from error
    noise = normal(request.seed, "sample", range(len(request.prompt)), shape, device=device)
    fps = torch.full((len(request.prompt),), info.fps, device=device)
    conditioning = add_text(Conditioning(fps=fps), encoder, request.prompt, device)
    clean = None
    if given is not None:
        timestep = choose_condition_timestep(request.condition_timestep, info.training, path)
        conditioning = add_given_frames(
            conditioning, given, tokenizer, shape, info.latent_statistics, timestep, device
        )
        clean = conditioning.condition_latents
        if info.training.get("condition_timestep_std", 0.0) > 0:
            numbers = range(len(request.prompt))
            conditioning = add_noise_to_given_frames(conditioning, path, request.seed, numbers)
    denoiser = ClassifierFreeGuidance(
        world.denoiser,
        world.denoiser,
        request.guidance_scale,
        weak_conditioning=conditioning.without_text(),
    )
    latents = sampler(denoiser, path, noise, conditioning, timesteps, seed=request.seed)
    mask = conditioning.condition_mask
    return latents if clean is None or mask is None else torch.where(mask.bool(), clean, latents)


def _share_tokens(network: VideoDiT, group: dist.ProcessGroup, method: str) -> None:
    """Divide the tokens of each clip among the ranks of a group."""
    from training.parallel.attention import check_heads  # they import the compiler, which takes seconds
    from training.parallel.context import ContextParallel

    if method == "ulysses":
        check_heads(network.config.num_attention_heads, dist.get_world_size(group))
    network.share_tokens = ContextParallel(group, method)


def _read_given_frames(
    request: SamplingRequest, info: ModelInfo, shape: tuple[int, int, int, int], stride: Stride
) -> Tensor | None:
    """The frames [t h w 3] that the request gives, uint8, or None."""
    if request.image and request.video:
        raise SettingError("image and video are both set", remedy="leave one of them out")
    if not (request.image or request.video):
        if request.num_conditional_frames or request.condition_timestep:
            raise SettingError(
                "num_conditional_frames and condition_timestep are of given frames, and there are none",
                remedy="set image or video, or leave them out",
            )
        return None
    given = choose_given_frames(
        request.num_conditional_frames, bool(request.image), info.training, frames=shape[1]
    )
    file, count = Path(request.image or request.video), 1 + (given - 1) * stride.time
    return read_frames(file, count, info.fps, shape[2] * stride.height, shape[3] * stride.width)


def write_video(frames: npt.NDArray[np.uint8], fps: float, file: Path) -> None:
    """Write frames, uint8 RGB [t h w 3], as an H.264 mp4.

    Raises:
        TrainingError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise TrainingError("writing videos needs PyAV", remedy="pip install av") from error
    from fractions import Fraction

    with av.open(str(file), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1  # with more threads or mbtree, the bytes differ between runs
        stream.options = {"crf": "18", "x264-params": "mbtree=0"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def find_sampler(name: str) -> Sampler:
    """The sampler of this name.

    Raises:
        SettingError: There is none.
    """
    if name not in SAMPLERS:
        raise SettingError(
            f"there is no sampler {name!r}", remedy=f"choose one of {', '.join(sorted(SAMPLERS))}"
        )
    return SAMPLERS[name]


def open_tokenizer(name_or_path: str, recorded: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a model was trained with.

    Args:
        name_or_path: Name or path; "" takes the recorded one.
        recorded: Its name and digest: `latents` or `codes` of the metadata of the model.

    Raises:
        CheckpointError: It is another one.
    """
    name_or_path = name_or_path or recorded["tokenizer"]
    tokenizer = load_tokenizer(name_or_path)
    if tokenizer.digest != recorded["digest"]:
        kind = "codes" if "codebook_size" in recorded else "latents"
        raise CheckpointError(
            f"the tokenizer is not the one that made the {kind} that the model was trained on",
            where=f"{name_or_path} has digest {tokenizer.digest[:12]}",
            remedy=f"give the path of the tokenizer with digest {recorded['digest'][:12]}",
        )
    return tokenizer


def _latent_shape(request: SamplingRequest, info: ModelInfo, stride: Stride) -> tuple[int, int, int, int]:
    """Shape of the latents, [c t h w].

    Raises:
        TrainingError: A side is not a multiple of the size of a token, or the frames are not 1 + k * stride.
    """
    channels, t, h, w = info.latent_shapes[0]
    try:
        t = count_latent_frames(request.num_frames, stride.time) if request.num_frames else t
    except ValueError as error:
        raise TrainingError(str(error)) from error
    _, rows, columns = info.network.size_multiples
    sides = (
        ("height", request.height, stride.height, rows),
        ("width", request.width, stride.width, columns),
    )
    for name, pixels, pixels_per_latent, latents in sides:
        if pixels % (multiple := latents * pixels_per_latent):
            raise TrainingError(f"{name} is {pixels} px, which is not a multiple of {multiple} px")
    return channels, t, request.height // stride.height or h, request.width // stride.width or w
