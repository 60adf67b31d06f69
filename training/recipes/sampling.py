"""Sampling: videos from a trained model, on one rank or on several that share the tokens of a video."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from training.conditions.reader import ConditionReader, FrameConditions
from training.data.latent_statistics import LatentStatistics, denormalize
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import ClassifierFreeGuidance
from training.diffusion.views import split_views
from training.errors import CheckpointError, SettingError, TrainingError
from training.model import ModelInfo, load_model, spec_of_conditions
from training.networks.video_dit import VideoDiT
from training.noise import normal
from training.parallel.threads import cpu_threads
from training.recipes.given_frames import (
    add_given_frames,
    add_noise_to_given_frames,
    check_given_frames,
    choose_condition_timestep,
    choose_given_frames,
    read_given_frames,
)
from training.recipes.pretrained_text import reopen_text_encoder
from training.recipes.rollout import (
    Frames,
    after_given_frames,
    check_conditions,
    check_not_missing,
    condition_window,
    count_frames,
    encode_conditions,
    requested_conditions,
    roll_out,
)
from training.recipes.sampling_request import SampledVideos as SampledVideos
from training.recipes.sampling_request import SamplingRequest as SamplingRequest
from training.recipes.sampling_request import latent_shape
from training.recipes.sampling_steps import choose_steps
from training.recipes.sampling_views import chosen_views, join_requested, requested_cameras
from training.text_encoder import add_text
from training.tokenizer import Tokenizer
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import CausalTokenizer
from training.world_model import WorldModel


def sample(
    model: Path | tuple[WorldModel, ModelInfo],
    request: SamplingRequest,
    device: torch.device | str = "cpu",
    context_group: dist.ProcessGroup | None = None,
    conditions: FrameConditions | None = None,
    given: Tensor | None = None,
) -> SampledVideos:
    """Sample one video per entry of `request.prompt`.

    Args:
        model: Folder or file of the model, or the result of `load_model`.
        request: What to sample.
        device: Where the network runs. The tokenizer runs on the CPU.
        context_group: The ranks that share the tokens of each video. All of them call this function, and the
            first one decodes.
        conditions: Actions [b n-1 a], poses [b n 3 4], intrinsics [b n 4] (px) and trajectories [b p 3] of
            each video by the names of `training.conditions.reader`, in place of the files of the request.
            Of several cameras also origin_pose [b n 3 4], the poses of the first camera of the model.
        given: Given frames of each video, uint8 [b k h w 3], in place of those of the request.

    Raises:
        CheckpointError: There is no model, or the tokenizer or text encoder is not the one that it was
            trained with.
        TrainingError: The size does not fit the model, or the given frames cannot be read.
        SettingError: The model was not trained with so many given frames, does not read the conditions, or
            always had one in its training that is not given.
        LayoutError: There are more ranks than tokens or, with ulysses, than attention heads.
    """
    world, info = load_model(model) if isinstance(model, Path) else model
    if info.codes:
        raise SettingError(
            "this model is a diffusion decoder: it decodes the codes of a clip, and samples none",
            where=str(model) if isinstance(model, Path) else "",
            remedy="measure it with evaluate tokenizer DIR --diffusion-decoder",
        )
    views = chosen_views(request, info, context_group is not None)
    is_first = context_group is None or dist.get_rank(context_group) == 0
    none = np.empty((0, 0, 0, 0, 3), np.uint8)
    tokenizer = open_tokenizer(request.tokenizer, info.latents)
    with cpu_threads(request.num_threads):
        shape = latent_shape(replace(request, num_frames=0), info, tokenizer.stride)
        size = shape[2] * tokenizer.stride.height, shape[3] * tokenizer.stride.width
        frames = 1 + (shape[1] - 1) * tokenizer.stride.time
        if given is not None:
            check_given_frames(given, request, info, shape, tokenizer.stride)
        if conditions is None:
            conditions = requested_conditions(request, info, size, frames)
            if views and request.camera_trajectory:
                spec = spec_of_conditions(info)
                conditions |= requested_cameras(request, info, spec, size, conditions)
            check_not_missing(conditions, spec_of_conditions(info), info.training)
        if conditions:
            videos = _sample_chunks(world, info, tokenizer, request, device, context_group, conditions, given)
        else:
            latents = sample_latents(world, info, tokenizer, request, device, context_group, given)
            videos = decode_frames(latents, tokenizer, info.latent_statistics) if is_first else none
    return SampledVideos(videos if is_first else none, info.fps)


def decode_frames(
    latents: Tensor, tokenizer: Tokenizer, statistics: LatentStatistics, *, together: bool = False
) -> Frames:
    """Frames, uint8 [b t h w 3], of latents [b c t h w] that are normalized by `statistics`.

    `together` decodes all clips at once, if the tokenizer can: faster for many short clips.
    """
    batched = tokenizer.decode_batch if together and isinstance(tokenizer, CausalTokenizer) else None
    with torch.inference_mode():
        videos = (batched or tokenizer.decode)(denormalize(latents, statistics).cpu())  # [b 3 t h w]
    frames = ((videos.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1)
    decoded: Frames = frames.contiguous().numpy()
    return decoded


def _sample_chunks(
    world: WorldModel,
    info: ModelInfo,
    tokenizer: Tokenizer,
    request: SamplingRequest,
    device: torch.device | str,
    context_group: dist.ProcessGroup | None,
    conditions: FrameConditions,
    given: Tensor | None,
) -> Frames:
    """Frames, uint8 [b t h w 3], that follow conditions. All ranks decode them, for the next chunk."""
    stride, chunk_request = tokenizer.stride, replace(request, num_frames=0)
    spec = check_conditions(conditions, spec_of_conditions(info), len(request.prompt))
    reader = ConditionReader(spec, stride)
    shape = latent_shape(chunk_request, info, stride)
    chunk_frames = 1 + (shape[1] - 1) * stride.time
    given = read_given_frames(request, info, shape, stride) if given is None else given
    conditions = after_given_frames(conditions, 0 if given is None else given.shape[-4])
    known_frames = count_frames(conditions, chunk_frames)
    num_frames = request.num_frames or known_frames
    if num_frames > known_frames:
        raise SettingError(
            f"num_frames is {num_frames}, and the actions or poses are those of {known_frames}",
            remedy="leave num_frames out, or name a longer file",
        )
    if num_frames > chunk_frames and "trajectory" in conditions:
        raise SettingError(
            f"num_frames is {num_frames}, and a trajectory is that of a clip of {chunk_frames} frames",
            remedy="leave num_frames out, or use a camera trajectory",
        )
    context = 1
    if num_frames > chunk_frames:
        chosen = choose_given_frames(request.num_conditional_frames, False, info.training, shape[1])
        context = 1 + (chosen - 1) * stride.time

    def sample_chunk(number: int, first: int, shown: Frames | None) -> Frames:
        window = condition_window(conditions, first, chunk_frames)
        known = encode_conditions(reader, window, (shape[2], shape[3]))
        frames = given if shown is None else torch.from_numpy(np.ascontiguousarray(shown))
        latents = sample_latents(
            world, info, tokenizer, chunk_request, device, context_group, frames, known, number
        )
        return decode_frames(latents, tokenizer, info.latent_statistics)

    return roll_out(sample_chunk, num_frames, context)


@torch.inference_mode()
def sample_latents(
    world: WorldModel,
    info: ModelInfo,
    tokenizer: Tokenizer,
    request: SamplingRequest,
    device: torch.device | str = "cpu",
    context_group: dist.ProcessGroup | None = None,
    given: Tensor | None = None,
    known: Conditioning | None = None,
    chunk: int = 0,
) -> Tensor:
    """Sample latents [b c t h w] of each entry of the prompt, normalized as those of the training.

    `given` are given frames, uint8 [b k h w 3] or [k h w 3], in place of those of the request; `known` has
    the actions and the camera; the noise depends on `chunk`, the number of the chunk of a rollout.

    The ranks of `context_group` share the tokens of a `VideoDiT`; each runs another network and the text
    encoder whole. All ranks return the same latents. Raises the errors of `sample`.
    """
    shape = latent_shape(request, info, tokenizer.stride)
    given = read_given_frames(request, info, shape, tokenizer.stride) if given is None else given
    if context_group is not None and isinstance(world.network, VideoDiT):
        _share_tokens(world.network, context_group, request.context_parallel_method)
    world = world.to(device)
    encoder = reopen_text_encoder(request.text_encoder, world, info)
    path = world.denoiser.path
    steps = choose_steps(
        path,
        info.distillation,
        sampler=request.sampler,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        flow_shift=request.flow_shift or info.flow_shift,
    )
    views = chosen_views(request, info, context_group is not None)
    noise = _draw_noise(request, shape, max(1, len(views)), chunk, device)
    fps = torch.full((len(request.prompt),), info.fps, device=device)
    known = replace((known or Conditioning()).map(lambda tensor: tensor.to(device)), fps=fps)
    conditioning = add_text(known, encoder, request.prompt, device)
    if given is not None:
        timestep = choose_condition_timestep(request.condition_timestep, info.training, path)
        conditioning = add_given_frames(
            conditioning, given, tokenizer, shape, info.latent_statistics, timestep, device
        )
    mask, clean = conditioning.condition_mask, conditioning.condition_latents
    if clean is not None and info.training.get("condition_timestep_std", 0.0) > 0:
        clips = range(len(request.prompt))
        conditioning = add_noise_to_given_frames(conditioning, path, request.seed, clips)
    conditioning = join_requested(conditioning, views)
    denoiser = ClassifierFreeGuidance(
        world.denoiser,
        world.denoiser,
        steps.guidance_scale,
        weak_conditioning=conditioning.without_text(),
    )
    latents = steps.sampler(denoiser, path, noise, conditioning, steps.timesteps, seed=request.seed)
    latents = split_views(latents, len(views)) if views else latents
    return latents if clean is None or mask is None else torch.where(mask.bool(), clean, latents)


def _draw_noise(
    request: SamplingRequest, shape: Sequence[int], views: int, chunk: int, device: torch.device | str
) -> Tensor:
    """Noise [b c (v t) h w] of all clips of v views."""
    purpose = f"sample chunk {chunk}" if chunk else "sample"
    c, t, h, w = shape
    clips = range(len(request.prompt) // views)
    return normal(request.seed, purpose, clips, (c, views * t, h, w), device=device)


def _share_tokens(network: VideoDiT, group: dist.ProcessGroup, method: str) -> None:
    """Divide the tokens of each clip among the ranks of a group."""
    from training.parallel.attention import check_heads  # they import the compiler, which takes seconds
    from training.parallel.context import ContextParallel

    if method == "ulysses":
        check_heads(network.config.num_attention_heads, dist.get_world_size(group))
    network.share_tokens = ContextParallel(group, method)


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
