"""Videos from a trained model: noise, the sampler's way down to latents, and the tokenizer's decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.denoiser import ClassifierFreeGuidance, VelocityDenoiser
from training.errors import BadCheckpoint, TrainingError
from training.model import ModelInfo, load_model
from training.networks.text_tokens import read_words
from training.noise import normal
from training.path import RectifiedFlow
from training.sampler import heun, times
from training.tokenizer import Stride, Tokenizer, latent_frames
from training.tokenizers import load_tokenizer


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be sampled; 0 stands for the size most seen in training.

    Attributes:
        captions: one video each; "" tells nothing.
        frames, height, width: of the videos, in frames and pixels.
        steps: of the sampler, two guesses each.
        guidance: how far to lean towards the caption; 1 does not.
        shift: how long to stay near the noise; as in training.
        seed: the same seed, caption and size give the same video.
        tokenizer: another name or path of the tokenizer that the model was trained with; "" is its own.
        threads: of the CPU.
    """

    captions: Sequence[str]
    frames: int = 0
    height: int = 0
    width: int = 0
    steps: int = 20
    guidance: float = 2.0
    shift: float = 1.0
    seed: int = 0
    tokenizer: str = ""
    threads: int = 2


@dataclass(frozen=True)
class Sampled:
    """Videos, uint8 RGB [b t h w 3], and their rate."""

    videos: np.ndarray
    fps: float


def sample(model: Path, wish: Wish, device: torch.device | str = "cpu") -> Sampled:
    """One video per caption.

    Raises:
        BadCheckpoint: there is no model, or the tokenizer is not the one that it was trained with.
        TrainingError: the size does not fit the model.
    """
    network, told = load_model(model)
    tokenizer = _tokenizer(wish.tokenizer, told)
    shape = _shape(wish, told, tokenizer.stride)
    drawn = [normal(wish.seed, f"{n}", 0, shape, "sample") for n, _ in enumerate(wish.captions)]
    denoiser: VelocityDenoiser[torch.Tensor] = VelocityDenoiser(network.to(device))
    given = read_words(wish.captions, device)
    guided = ClassifierFreeGuidance(denoiser, denoiser, wish.guidance, weak_given=torch.zeros_like(given))
    threads = torch.get_num_threads()
    torch.set_num_threads(wish.threads)
    try:
        with torch.inference_mode():
            grid = times(wish.steps, wish.shift)
            latents = heun(guided, RectifiedFlow(), torch.stack(drawn).to(device), given, grid)
            videos = tokenizer.decode(latents.cpu())  # [b 3 t h w]
    finally:
        torch.set_num_threads(threads)
    pictures = ((videos.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1)
    return Sampled(pictures.contiguous().numpy(), told.fps)


def write_video(pictures: np.ndarray, fps: float, file: Path) -> None:
    """Write uint8 RGB [t h w 3] as an H.264 mp4.

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
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1  # with more, or with its tree, x264's bytes differ between runs
        stream.options = {"crf": "18", "x264-params": "mbtree=0"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _tokenizer(asked: str, told: ModelInfo) -> Tokenizer:
    """The tokenizer that the model was trained with."""
    tokenizer = load_tokenizer(asked or told.latents["tokenizer"])
    if tokenizer.digest != told.latents["digest"]:
        raise BadCheckpoint(
            "the tokenizer is not the one that made the latents that the model was trained on",
            where=f"{asked or told.latents['tokenizer']} has digest {tokenizer.digest[:12]}",
            remedy=f"give the path of the one with digest {told.latents['digest'][:12]}",
        )
    return tokenizer


def _shape(wish: Wish, told: ModelInfo, stride: Stride) -> tuple[int, int, int, int]:
    """Of the latents [c t h w].

    Raises:
        TrainingError: a side is no multiple of a token's, or the frames are not 1 + k * stride.
    """
    channels, t, h, w = told.shapes[0]
    try:
        t = latent_frames(wish.frames, stride.time) if wish.frames else t
    except ValueError as error:
        raise TrainingError(str(error)) from error
    for side, pixels, unit in (("height", wish.height, stride.height), ("width", wish.width, stride.width)):
        if pixels % (2 * unit):
            raise TrainingError(f"a {side} of {pixels} pixels is no multiple of {2 * unit}")
    return channels, t, wish.height // stride.height or h, wish.width // stride.width or w
