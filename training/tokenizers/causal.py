"""The base of causal tokenizers: encoding and decoding in chunks, normalization, quantization."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.tensors import Latents, Video
from training.tokenizer import Stride, check_size, count_latent_frames
from training.tokenizers.frame_cache import FrameCache
from training.tokenizers.fsq import FSQ


class CausalTokenizer(nn.Module, ABC):
    """Implements `training.tokenizer.Tokenizer` on the networks of a subclass.

    `encode` and `decode` process each clip alone, `latent_frames_per_chunk` latent frames at a time, and keep
    the last frames of each layer. So the bits of a latent depend on no later frame, on no other clip and on
    no length, and memory does not grow with the length, apart from the result.

    `latent_mean` and `latent_std` [c n] normalize the first n latent frames; the last column is for all
    others. They are stored with the weights. A discrete tokenizer leaves them at 0 and 1.

    Args:
        stride: Frames and pixels per latent.
        channels: Channels of the latents.
        levels: Levels of finite scalar quantization; empty if latents are continuous.
        digest: Identifies weights and architecture.
        normalized_frames: n.

    Attributes:
        class_name: The name of the class in files of weights.
        latent_frames_per_chunk: Higher values need more memory, and are faster on a GPU. They can change the
            rounding of latents.
    """

    class_name: str
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, stride: Stride, channels: int, levels: Sequence[int] = (), digest: str = "",
        normalized_frames: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride, self.channels, self.digest = stride, channels, digest
        self.fsq = FSQ(levels) if levels else None
        self.latent_frames_per_chunk = 1
        self.register_buffer("latent_mean", torch.zeros(channels, normalized_frames))
        self.register_buffer("latent_std", torch.ones(channels, normalized_frames))

    @abstractmethod
    def config_dict(self) -> dict[str, Any]:
        """The config as JSON values."""

    @abstractmethod
    def encode_chunk(self, video: Video, cache: FrameCache) -> Tensor:
        """Encode the next frames of a video into values [b c t h w], neither quantized nor normalized."""

    @abstractmethod
    def decode_chunk(self, z: Tensor, cache: FrameCache) -> Video:
        """Decode the next values [b c t h w]."""

    def encode(self, video: Video) -> Latents:
        """See `Tokenizer.encode`."""
        return torch.cat(list(self.encode_stream([video])), 2)

    def decode(self, latents: Latents) -> Video:
        """See `Tokenizer.decode`."""
        return torch.cat(list(self.decode_stream([latents])), 2)

    def decode_batch(self, latents: Latents) -> Video:
        """Decode short clips together: faster than `decode`, and equal to it but for rounding.

        It needs the memory of all clips at once.
        """
        cache = FrameCache(is_stream=False).start_chunk()
        return self.decode_chunk(self._from_latents(latents, 0), cache)

    def encode_stream(self, videos: Iterable[Video]) -> Iterator[Latents]:
        """See `Tokenizer.encode_stream`."""
        caches: list[FrameCache] = []
        frame = 0
        for video in videos:
            self._check(video, is_first=frame == 0)
            caches = caches or [FrameCache() for _ in video]
            count = count_latent_frames(video.shape[2] + (frame > 0), self.stride.time) - (frame > 0)
            for chunk in self._chunks(video, count, frame):
                clips = zip(torch.split(chunk, 1), caches, strict=True)
                z = torch.cat([self.encode_chunk(clip, cache.start_chunk()) for clip, cache in clips])
                yield self._to_latents(z, frame)
                frame += z.shape[2]

    def decode_stream(self, latents: Iterable[Latents]) -> Iterator[Video]:
        """See `Tokenizer.decode_stream`."""
        caches: list[FrameCache] = []
        frame = 0
        for part in latents:
            caches = caches or [FrameCache() for _ in part]
            for chunk in torch.split(part, self.latent_frames_per_chunk, 2):
                z = self._from_latents(chunk, frame)
                clips = zip(torch.split(z, 1), caches, strict=True)
                yield torch.cat([self.decode_chunk(clip, cache.start_chunk()) for clip, cache in clips])
                frame += chunk.shape[2]

    def encode_indices(self, video: Video) -> Tensor:
        """See `DiscreteTokenizer.encode_indices`."""
        return self.latents_to_indices(self.encode(video))

    def latents_to_indices(self, latents: Latents) -> Tensor:
        """See `DiscreteTokenizer.latents_to_indices`."""
        return self._quantizer().to_indices(latents.movedim(1, -1))

    def decode_indices(self, indices: Tensor) -> Video:
        """See `DiscreteTokenizer.decode_indices`."""
        return self.decode(self._quantizer().to_codes(indices).movedim(-1, 1))

    @property
    def codebook_size(self) -> int:
        """See `Tokenizer.codebook_size`."""
        return 0 if self.fsq is None else self.fsq.codebook_size

    def forward(self, video: Video) -> tuple[Video, Latents]:
        """The reconstructed video and the latents, for training: all frames and clips in one pass."""
        self._check(video, is_first=True)
        count_latent_frames(video.shape[2], self.stride.time)
        z = self.encode_chunk(video, FrameCache(is_stream=False).start_chunk())
        z = z if self.fsq is None else self._quantize(z)
        latents = self._normalize(z, 0)
        return self.decode_chunk(z, FrameCache(is_stream=False).start_chunk()), latents

    def _check(self, video: Video, is_first: bool) -> None:
        check_size(video, self.stride)
        t = video.shape[2]
        if not is_first and (t == 0 or t % self.stride.time):
            raise ValueError(f"{t} frames that follow others are not a multiple of {self.stride.time}")

    def _chunks(self, video: Video, count: int, frame: int) -> Iterator[Video]:
        """The frames of a few latent frames at a time; `frame` latent frames precede the video."""
        time = self.stride.time
        ends = [*range(self.latent_frames_per_chunk, count, self.latent_frames_per_chunk), count]
        start = 0
        for end in ends:
            stop = end * time if frame else 1 + (end - 1) * time
            yield video[:, :, start:stop]
            start = stop

    def _quantize(self, z: Tensor) -> Tensor:
        codes: Tensor = self._quantizer()(z.movedim(1, -1))
        return codes.movedim(-1, 1).to(z.dtype)

    def _quantizer(self) -> FSQ:
        if self.fsq is None:
            raise ValueError("this tokenizer is continuous: it has no codes")
        return self.fsq

    def _to_latents(self, z: Tensor, frame: int) -> Latents:
        return self._quantize(z) if self.fsq is not None else self._normalize(z, frame)

    def _from_latents(self, latents: Latents, frame: int) -> Tensor:
        if self.fsq is not None:
            return latents
        mean, std = self._statistics(latents, frame)
        return latents * std + mean

    def _normalize(self, z: Tensor, frame: int) -> Latents:
        mean, std = self._statistics(z, frame)
        return (z - mean) / std

    def _statistics(self, like: Tensor, frame: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latent frames from `frame` on, [c t 1 1]."""
        frames = torch.arange(frame, frame + like.shape[2], device=like.device)
        columns = frames.clamp(max=self.latent_mean.shape[1] - 1)
        return self.latent_mean[:, columns, None, None], self.latent_std[:, columns, None, None]
