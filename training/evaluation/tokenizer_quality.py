"""Measures how well and how fast a tokenizer reconstructs videos, in the manner of TokenBench.

Videos are streamed: memory does not grow with their length. PSNR of a video is 10 log10(4 / mse) in dB, with
the mean squared error over all values of all its frames, in -1..1. SSIM is the mean over its frames, see
`training.metrics.image_quality`. The values of a set of videos are means over the videos. Encoding and
decoding are timed without reading the video and without the metrics.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from training.metrics.fvd import frechet_distance
from training.metrics.image_quality import ssim
from training.tensors import Video
from training.tokenizer import DiscreteTokenizer, Tokenizer

MAX_PSNR = 100.0  # dB, of videos that are equal
BITS_OF_LATENT = 16  # of a value of a continuous latent, as stored


@dataclass(frozen=True)
class VideoQuality:
    """The quality of one reconstructed video, and the seconds that it took.

    Attributes:
        lpips: None if it was not measured.
    """

    frames: int
    height: int
    width: int
    psnr_db: float
    ssim: float
    lpips: float | None
    encode_s: float
    decode_s: float


@dataclass
class TokenizerQuality:
    """The quality of a tokenizer at one resolution.

    Args:
        tokenizer: Name or path.
        short_side: Short side in px that larger frames were scaled to.
        measured: The tokenizer.

    Attributes:
        videos: By name.
        code_counts: How often each code was used, [codebook_size], int64.
        features: Features of each video and of its reconstruction, for FVD.
    """

    tokenizer: str
    short_side: int
    measured: Tokenizer
    videos: dict[str, VideoQuality] = field(default_factory=dict)
    features: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.code_counts = torch.zeros(self.measured.codebook_size, dtype=torch.int64)

    def add(self, name: str, quality: VideoQuality, code_counts: Tensor) -> None:
        """Add a video."""
        self.videos[name] = quality
        self.code_counts += code_counts

    @property
    def compression(self) -> float:
        """Bits of the 8-bit RGB video per bit of the latents, whose values have 16 bits; codes as needed."""
        values = math.prod(self.measured.stride)
        codes = self.measured.codebook_size
        bits = math.log2(codes) if codes else self.measured.channels * BITS_OF_LATENT
        return values * 3 * 8 / bits

    def summary(self) -> dict[str, Any]:
        """The figures, as JSON values. Those that were not measured are absent."""
        videos = self.videos.values()
        frames = sum(video.frames for video in videos)
        values: dict[str, Any] = {
            "tokenizer": self.tokenizer,
            "digest": self.measured.digest,
            "short_side_px": self.short_side,
            "stride": list(self.measured.stride),
            "channels": self.measured.channels,
            "codebook_size": self.measured.codebook_size,
            "compression": self.compression,
            "parameters": count_parameters(self.measured),
            "psnr_db": sum(video.psnr_db for video in videos) / len(videos),
            "ssim": sum(video.ssim for video in videos) / len(videos),
            "encode_frames_per_s": frames / sum(video.encode_s for video in videos),
            "decode_frames_per_s": frames / sum(video.decode_s for video in videos),
            "videos_measured": len(videos),
            "frames_measured": frames,
        }
        if len(self.features) > 1:
            originals, reconstructions = (torch.cat(each) for each in zip(*self.features, strict=True))
            values["fvd"] = frechet_distance(originals, reconstructions)
        lpips = [video.lpips for video in videos if video.lpips is not None]
        values |= {"lpips": sum(lpips) / len(lpips)} if lpips else {}
        return values | (code_usage(self.code_counts) if len(self.code_counts) else {})


def code_usage(counts: Tensor) -> dict[str, float]:
    """The share of codes that are used at all, and the perplexity, from the count of each code.

    The perplexity is exp of the entropy in nats: the number of codes that, used equally often, would carry as
    much information.
    """
    shares = counts[counts > 0].double() / counts.sum()
    perplexity = float((-(shares * shares.log()).sum()).exp())
    return {"code_usage": len(shares) / len(counts), "code_perplexity": perplexity}


def count_parameters(tokenizer: Tokenizer) -> int:
    """Number of parameters, 0 if the tokenizer is no network."""
    if not isinstance(tokenizer, nn.Module):
        return 0
    return sum(parameter.numel() for parameter in tokenizer.parameters())


@torch.inference_mode()
def measure_video(
    tokenizer: Tokenizer,
    parts: Iterable[Video],
    *,
    device: torch.device | str = "cpu",
    lpips: Callable[[Video, Video], Tensor] | None = None,
    on_part: Callable[[Video, Video], None] | None = None,
) -> tuple[VideoQuality, Tensor]:
    """Encode and decode one video, and compare.

    Args:
        tokenizer: The tokenizer.
        parts: The video, in the parts that `Tokenizer.encode_stream` reads.
        device: Where the tokenizer is.
        lpips: Computes LPIPS of frames and their reference, [t].
        on_part: Called with each part and its reconstruction, [1 3 t h w] in -1..1.

    Returns:
        The quality, and how often each code was used, [codebook_size].

    Raises:
        ValueError: The frames are smaller than the window of SSIM, the video has no frame, or its
            reconstruction is not finite.
    """
    reconstruction = _Reconstruction(tokenizer, torch.device(device))
    frames, height, width, error, similarity, distance = 0, 0, 0, 0.0, 0.0, 0.0
    for original, part in reconstruction.pairs(parts):
        count, height, width = original.shape[2:]
        frames += count
        error += float((part - original).square().mean()) * count
        similarity += float(ssim(part, original)) * count
        distance += float(lpips(part, original).sum()) if lpips else 0.0
        if on_part is not None:
            on_part(original, part)
    if not frames:
        raise ValueError("it has no frames")
    if not math.isfinite(error):
        raise ValueError("its reconstruction has NaN or infinity")
    quality = VideoQuality(
        frames,
        height,
        width,
        psnr_db=min(MAX_PSNR, 10 * math.log10(4 / max(error / frames, 1e-12))),
        ssim=similarity / frames,
        lpips=distance / frames if lpips else None,
        encode_s=reconstruction.encoding.seconds - reconstruction.reading.seconds,
        decode_s=reconstruction.decoding.seconds - reconstruction.counting.seconds,
    )
    return quality, reconstruction.code_counts


class _Reconstruction:
    """Encodes and decodes a video in parts, counts its codes, and takes the time of each.

    Attributes:
        reading, encoding, counting, decoding: Clocks; each includes those before it.
    """

    def __init__(self, tokenizer: Tokenizer, device: torch.device) -> None:
        self.tokenizer, self.device = tokenizer, device
        self.reading, self.encoding, self.counting, self.decoding = (_Clock(device) for _ in range(4))
        self.code_counts = torch.zeros(tokenizer.codebook_size, dtype=torch.int64)
        self._originals: deque[Video] = deque()  # frames that are not decoded yet

    def pairs(self, parts: Iterable[Video]) -> Iterator[tuple[Video, Video]]:
        """The same frames of the video and of its reconstruction, which is clamped to -1..1."""
        video = self.reading.timed(self._remembered(parts))
        latents = self.encoding.timed(self.tokenizer.encode_stream(video))
        counted = self.counting.timed(self._counted(latents))
        for part in self.decoding.timed(self.tokenizer.decode_stream(counted)):
            frames = [self._originals.popleft() for _ in range(part.shape[2])]
            yield torch.cat(frames, 2), part.clamp(-1, 1)

    def _remembered(self, parts: Iterable[Video]) -> Iterator[Video]:
        for part in parts:
            part = part.to(self.device)
            self._originals.extend(torch.split(part, 1, 2))
            yield part

    def _counted(self, latents: Iterable[Tensor]) -> Iterator[Tensor]:
        for part in latents:
            if len(self.code_counts):
                indices = cast(DiscreteTokenizer, self.tokenizer).latents_to_indices(part)
                self.code_counts += torch.bincount(
                    indices.flatten().long().cpu(), minlength=len(self.code_counts)
                )
            yield part


class _Clock:
    """The seconds in which an iterator computes its items, with those of the iterators that it reads."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, 0.0

    def timed(self, items: Iterable[Tensor]) -> Iterator[Tensor]:
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            item = next(iterator, None)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds += time.perf_counter() - started
            if item is None:
                return
            yield item
