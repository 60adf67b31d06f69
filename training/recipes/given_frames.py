"""The given frames of image-to-video and video-to-video sampling, from an image or video file."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.latent_statistics import LatentStatistics, normalize
from training.data.video_file import open_video
from training.diffusion.conditioning import Conditioning
from training.diffusion.path import Path as NoisePath
from training.diffusion.path import add_noise
from training.errors import SettingError, TrainingError
from training.model import ModelInfo
from training.noise import normal
from training.recipes.sampling_request import SamplingRequest
from training.tokenizer import Stride, Tokenizer


def choose_given_frames(requested: int, is_image: bool, training: Mapping[str, Any], frames: int) -> int:
    """The number of given latent frames.

    Args:
        requested: The number that the user asks for; 0 takes the largest that the model was trained with.
        is_image: An image is one latent frame.
        training: The settings of the training.
        frames: Latent frames of the sampled video.

    Raises:
        SettingError: The model was not trained with this number, or it leaves no frame to generate.
    """
    odds = training.get("conditional_frames", (1.0,))
    trained = [number for number, share in enumerate(odds) if number and share > 0]
    possible = [number for number in trained if number < frames and (number == 1 or not is_image)]
    given = requested or (1 if is_image else max(possible, default=0))
    if given not in possible:
        numbers = ", ".join(map(str, possible)) or "none"
        raise SettingError(
            f"the model cannot be given {given or 'some'} of {frames} latent frames; possible: {numbers}",
            remedy="train it with conditional_frames such as 0.5,0.25,0.25, or sample more frames",
        )
    return given


def add_given_frames(
    conditioning: Conditioning,
    pixels: Tensor,
    tokenizer: Tokenizer,
    shape: tuple[int, int, int, int],
    statistics: LatentStatistics,
    condition_timestep: float,
    device: torch.device | str,
) -> Conditioning:
    """The conditioning of a batch with given frames.

    Args:
        conditioning: With `fps` [b].
        pixels: The given frames, uint8: [t h w 3] of all videos, or [b t h w 3] of each.
        tokenizer: Encodes them.
        shape: Latents [c t h w] of the sampled video.
        statistics: What the latents of the model are normalized by.
        condition_timestep: Timestep of given frames.
        device: Device of the denoiser.
    """
    assert conditioning.fps is not None
    video = (pixels if pixels.dim() == 5 else pixels[None]).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    encoded = tokenizer.encode(video).float()  # [1 or b, c k h w]
    latents, mask = torch.zeros(len(encoded), *shape), torch.zeros(1, *shape[1:])
    latents[:, :, : encoded.shape[2]], mask[:, : encoded.shape[2]] = encoded, 1
    latents = torch.stack([normalize(each, statistics) for each in latents])
    size = len(conditioning.fps)
    return replace(
        conditioning,
        condition_mask=mask.expand(size, -1, -1, -1, -1).to(device),
        condition_latents=latents.expand(size, -1, -1, -1, -1).to(device),
        condition_timestep=torch.full((size,), condition_timestep, device=device),
    )


def choose_condition_timestep(requested: float, training: Mapping[str, Any], path: NoisePath) -> float:
    """The timestep of the noise on given frames, or of clean ones that the network gets.

    Args:
        requested: The timestep that the user asks for; 0 takes that of the training, or 0.001, as
            Cosmos-Predict1, if the model was trained with noise on given frames.
        training: The settings of the training.
        path: The noise path.

    Raises:
        SettingError: The model was trained without noise on given frames, or the path ends before.
    """
    has_noise = training.get("condition_timestep_std", 0.0) > 0
    if requested and not has_noise:
        raise SettingError(
            "condition_timestep is the noise on given frames, and the model was trained without it",
            remedy="leave condition_timestep out, or train with condition_timestep_std above 0",
        )
    if requested >= path.t_max:
        raise SettingError(f"condition_timestep is {requested:g}; it must be below {path.t_max:g}, the noise")
    recorded = float(training.get("condition_timestep", 0.0))
    return requested or recorded or (0.001 if has_noise else 0.0)


def add_noise_to_given_frames(
    conditioning: Conditioning, path: NoisePath, seed: int, positions: Sequence[int]
) -> Conditioning:
    """Noise augmentation: given latents are noisy at `conditioning.condition_timestep` [b].

    Args:
        conditioning: With given latents, [b c t h w].
        path: The noise path.
        seed: Seed of the noise.
        positions: The number of each video, on which its noise depends.
    """
    given, timestep = conditioning.condition_latents, conditioning.condition_timestep
    assert given is not None
    assert timestep is not None
    noise = normal(seed, "condition noise", positions, given.shape[1:], device=given.device)
    return replace(conditioning, condition_latents=add_noise(path, given, noise, timestep))


def check_given_frames(
    frames: Tensor,
    request: SamplingRequest,
    info: ModelInfo,
    shape: tuple[int, int, int, int],
    stride: Stride,
) -> None:
    """Check frames [b k h w 3] that are given instead of a file.

    Args:
        frames: k is 1 + n * the temporal stride.
        request: What to sample, b videos.
        info: The metadata of the model.
        shape: Latents [c t h w] of the sampled video.
        stride: Stride of the tokenizer.

    Raises:
        SettingError: They have another size, or the model was not trained with so many.
    """
    size = (shape[2] * stride.height, shape[3] * stride.width, 3)
    k = frames.shape[1] if frames.dim() == 5 else 0
    if tuple(frames.shape) != (len(request.prompt), k, *size) or k < 1 or (k - 1) % stride.time:
        raise SettingError(
            f"the given frames {tuple(frames.shape)} are not [b k h w 3] with b, h, w, 3 ="
            f" {(len(request.prompt), *size)} and k = 1 + n * {stride.time}"
        )
    choose_given_frames(1 + (k - 1) // stride.time, False, info.training, shape[1])


def read_given_frames(
    request: SamplingRequest, info: ModelInfo, shape: tuple[int, int, int, int], stride: Stride
) -> Tensor | None:
    """The frames [t h w 3], or [b t h w 3] of each view, that a request gives, uint8, or None.

    Raises:
        SettingError: It gives an image and a video, or settings of given frames without any.
        TrainingError: See `read_frames`.
    """
    if request.image and request.video:
        raise SettingError("image and video are both set", remedy="leave one of them out")
    if request.images:
        choose_given_frames(0, True, info.training, frames=shape[1])
        size = shape[2] * stride.height, shape[3] * stride.width
        each = torch.stack([read_frames(Path(file), 1, info.fps, *size) for file in request.images])
        return each.repeat(len(request.prompt) // len(each), 1, 1, 1, 1)
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


def read_frames(file: Path, count: int, fps: float, height: int, width: int) -> Tensor:
    """The last frames of an image or video, as a training sees clips: scaled, and cropped at the center.

    Args:
        file: Any file that FFmpeg decodes.
        count: Number of frames.
        fps: Frames per second at which they are taken.
        height: Height in px.
        width: Width in px.

    Returns:
        RGB, uint8 [count height width 3].

    Raises:
        TrainingError: PyAV is not installed, or the file cannot be decoded, or is too short.
    """
    try:
        import av
    except ImportError as error:
        raise TrainingError("reading images and videos needs PyAV", remedy="pip install av") from error
    span = (count - 1) / fps
    kept: deque[tuple[float, Any]] = deque()  # time in seconds, frame
    duration = 0.0
    try:
        with open_video(file) as container:
            stream = container.streams.video[0]
            for frame in container.decode(stream):
                time = float(frame.time or 0.0)
                kept.append((time, frame))
                duration = float((frame.duration or 0) * (frame.time_base or 0))
                while len(kept) > 1 and kept[1][0] <= time - span:
                    kept.popleft()
    except (av.FFmpegError, OSError, IndexError) as error:
        raise TrainingError(
            f"the given frames cannot be decoded: {error}", where=str(file), remedy="name an image or a video"
        ) from error
    if not kept:
        raise TrainingError("there are no frames here", where=str(file))
    end = kept[-1][0]
    if end - span < kept[0][0] - duration - 1e-6:
        raise TrainingError(
            f"the video is shorter than the {count} frames at {fps:g} fps that are given",
            where=str(file),
            remedy="name a longer video, or set num_conditional_frames to fewer latent frames",
        )
    times = [end - (count - 1 - n) / fps for n in range(count)]
    chosen = [max((pair for pair in kept if pair[0] <= t + 1e-6), default=kept[0], key=_time) for t in times]
    return torch.from_numpy(np.stack([_fit(frame, height, width) for _, frame in chosen]))


def _time(pair: tuple[float, Any]) -> float:
    return pair[0]


def _fit(frame: Any, height: int, width: int) -> np.ndarray[Any, Any]:
    """A frame, upright, scaled to cover a size, and cropped at the center: uint8 [height width 3]."""
    turns = round(frame.rotation / 90) % 4
    sides: Sequence[int] = (frame.width, frame.height) if turns % 2 == 0 else (frame.height, frame.width)
    scale = max(width / sides[0], height / sides[1])
    scaled = [max(width, round(sides[0] * scale)), max(height, round(sides[1] * scale))]
    stored = scaled if turns % 2 == 0 else scaled[::-1]
    pixels = frame.reformat(width=stored[0], height=stored[1], format="rgb24").to_ndarray()
    pixels = np.rot90(pixels, turns)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])
