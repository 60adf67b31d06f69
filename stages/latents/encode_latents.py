"""Encodes windows of clips into latents, or into codes, with a video tokenizer.

A frame is scaled, with its aspect ratio, into the bucket whose aspect ratio is the nearest. At most
`max_crop_share` of a side is cropped, and the rest of the bucket is padded with reflections.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import Artifact, PositiveInt, Row, Share, column
from pipeline import Annotate, Needs, Reject
from stages.latents.decode_ahead import DecodeAhead, OverlapTimes
from stages.latents.fit_bucket import Fit, bucket_size, fit_bucket
from stages.latents.media_member import local_member
from stages.latents.read_windows import DecodedWindow, Span, read_windows
from stages.media.aspect_ratio import parse_ratio
from stages.media.encoding.encoders import check_choice

if TYPE_CHECKING:
    import torch

    from training.tokenizer import Tokenizer

DTYPES = ("float16", "bfloat16")
PRECISIONS = ("float32", "bfloat16")
MAX_UINT16_CODES = 2**16


class ClipWindow(Row):
    """A window of `clip`, or else of the member of a shard."""

    id: str
    window_first_frame: int
    window_frames: int
    window_fps: float
    clip: Artifact | None = None
    shard_uri: str = ""
    media_name: str = ""
    media_offset: int = 0
    media_bytes: int = 0


class EncodedWindow(Row):
    latents: Artifact = column(
        'safetensors file of one tensor: "latents" [c t h w] of unit variance, or "codes" [1 t h w]'
    )
    latent_channels: int = column("channels of the latents; 1 for codes", unit="channels")
    latent_frames: int = column("frames of the latents", unit="latents")
    latent_height: int = column("rows of the latents", unit="latents")
    latent_width: int = column("columns of the latents", unit="latents")
    latent_means: tuple[float, ...] = column("mean of each channel; empty for codes", unit="1")
    latent_mean_squares: tuple[float, ...] = column(
        "mean of the squares of each channel; empty for codes", unit="1"
    )
    latent_precision: str = column("dtype in which the tokenizer computed: float32 or bfloat16")
    tokenizer: str = column("name and digest of the tokenizer that made the latents")


class EncodeLatents(Annotate[ClipWindow, EncodedWindow]):
    """Encodes each window of a clip into latents, and stores how they were made.

    A discrete tokenizer gives codes: uint16, or int32 if it has more than 65,536. One thread decodes the next
    windows while another one encodes. It encodes on one thread of a CPU, so that equal windows give equal
    bytes; on a GPU where a worker has one (`Needs`).

    Attributes:
        tokenizer: Name of a bundled tokenizer, or the path of a tokenizer's file or folder.
        short_side_px: Short side in px of the encoded frames. Higher values keep more detail and make larger
            latents.
        size_multiple_px: Width and height in px are multiples of this. Higher values crop and pad more.
        aspect_ratios: Aspect ratios of the buckets, such as 16:9. Without any, each frame has a bucket of its
            own aspect ratio, and trainers get more and smaller buckets.
        max_crop_share: Largest share of a side that is cropped. Higher values crop more and pad less: 0 only
            pads, 1 only crops.
        dtype: Dtype of stored latents: float16 or bfloat16, which is less exact and has a larger range.
        precision: Dtype in which the tokenizer computes: float32, or bfloat16 by autocast. A window whose
            latents are not finite is encoded again in float32.
        decode_threads: Threads that decode a clip. Higher values use more CPUs, so that encoding waits less.
        batch_size: Windows of one shape encoded at a time, and decoded ahead. Higher values need more memory.
    """

    version = 3

    tokenizer: str = "small"
    short_side_px: PositiveInt = 128
    size_multiple_px: PositiveInt = 16
    aspect_ratios: tuple[str, ...] = ("9:16", "3:4", "1:1", "4:3", "16:9")
    max_crop_share: Share = 0.1
    dtype: str = "float16"
    precision: str = "float32"
    decode_threads: PositiveInt = 1
    batch_size: PositiveInt = 2

    needs = Needs(cpus=1, memory_gb=2, batch=8)
    execution_settings = frozenset({"batch_size", "decode_threads"})

    def __post_init__(self) -> None:
        check_choice(self.dtype, DTYPES, "dtype")
        check_choice(self.precision, PRECISIONS, "precision")
        for text in self.aspect_ratios:
            parse_ratio(text)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        import torch

        from training.tokenizers import load_tokenizer

        tokenizer = load_tokenizer(self.tokenizer)
        return tokenizer.to(_device()) if isinstance(tokenizer, torch.nn.Module) else tokenizer

    @cached_property
    def _times(self) -> OverlapTimes:
        return OverlapTimes()

    def digest(self) -> str:
        from training.tokenizers import tokenizer_digest

        return tokenizer_digest(self.tokenizer)

    def temporal_stride(self) -> int:
        """Frames per latent of the tokenizer."""
        from training.tokenizers import tokenizer_stride

        return tokenizer_stride(self.tokenizer)[0]

    def seconds(self) -> dict[str, float]:
        return dict(vars(self._times))

    def annotate(self, rows: Sequence[ClipWindow]) -> Iterator[EncodedWindow | Reject]:
        batch: list[tuple[ClipWindow, DecodedWindow]] = []
        with DecodeAhead(self._decode(rows), self.batch_size, self._times) as decoded:
            for row, window in decoded:
                shape = None if isinstance(window, Reject) else window.pixels.shape
                if batch and shape != batch[0][1].pixels.shape:
                    yield from self._encode(batch)
                    batch = []
                if isinstance(window, Reject):
                    yield window
                    continue
                batch.append((row, window))
                if len(batch) == self.batch_size:
                    yield from self._encode(batch)
                    batch = []
            if batch:
                yield from self._encode(batch)

    def _decode(self, rows: Sequence[ClipWindow]) -> Iterator[tuple[ClipWindow, DecodedWindow | Reject]]:
        for _, group in groupby(rows, key=lambda row: (row.clip, row.shard_uri, row.media_offset)):
            windows = list(group)
            spans = [Span(row.window_first_frame, row.window_frames, row.window_fps) for row in windows]
            with _local_clip(windows[0]) as path:
                yield from zip(
                    windows, read_windows(path, spans, self._fit, self.decode_threads), strict=True
                )

    def _fit(self, width: int, height: int) -> Fit:
        bucket = bucket_size(width, height, self.short_side_px, self.size_multiple_px, self.aspect_ratios)
        return fit_bucket(width, height, bucket, self.max_crop_share)

    def _encode(self, batch: Sequence[tuple[ClipWindow, DecodedWindow]]) -> Iterator[EncodedWindow | Reject]:
        import numpy as np
        import torch

        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                pixels = torch.from_numpy(np.stack([window.pixels for _, window in batch])).to(_device())
                video = pixels.permute(0, 4, 1, 2, 3).float() / 127.5 - 1  # [b 3 t h w]
                encoded = self._encode_video(video)
                results = [
                    self._result(row, window, *each) if each else _not_finite(self.dtype)
                    for (row, window), each in zip(batch, encoded, strict=True)
                ]
        finally:
            torch.set_num_threads(num_threads)
        yield from results

    def _encode_video(self, video: "torch.Tensor") -> "list[tuple[torch.Tensor, str] | None]":
        """The tensor to store of each video [b 3 t h w], and in which precision; None if it is not finite."""
        import torch

        with torch.autocast(video.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            encoded = self._tokenizer.encode(video).float()
        results: list[tuple[torch.Tensor, str] | None] = []
        for number, latents in enumerate(encoded):
            stored, precision = self._to_stored(latents), self.precision
            if stored is None and precision != "float32":
                precision = "float32"
                stored = self._to_stored(self._tokenizer.encode(video[number : number + 1])[0])
            results.append(None if stored is None else (stored, precision))
        return results

    def _to_stored(self, latents: "torch.Tensor") -> "torch.Tensor | None":
        """Latents [c t h w] in `dtype`, or their codes [1 t h w]; None if values are not finite."""
        import torch

        if codes := self._tokenizer.codebook_size:
            if not bool(torch.isfinite(latents).all()):
                return None
            indices = self._tokenizer.latents_to_indices(latents[None])  # type: ignore[attr-defined]
            dtype = torch.uint16 if codes <= MAX_UINT16_CODES else torch.int32
        else:
            indices, dtype = latents, getattr(torch, self.dtype)
        stored: torch.Tensor = indices.to("cpu", dtype).contiguous()
        return stored if dtype == torch.uint16 or bool(torch.isfinite(stored).all()) else None

    def _result(
        self, row: ClipWindow, window: DecodedWindow, stored: "torch.Tensor", precision: str
    ) -> EncodedWindow:
        from safetensors.torch import save

        codes = self._tokenizer.codebook_size
        name = Path(self.tokenizer).name  # without its folder, which may be private
        metadata: dict[str, Any] = window.provenance | {
            "tokenizer": name,
            "tokenizer_digest": self._tokenizer.digest,
            "stride": list(self._tokenizer.stride),
            "dtype": str(stored.dtype).removeprefix("torch."),
            "precision": precision,
            "fps": row.window_fps,
            "frames": row.window_frames,
            "first_frame": row.window_first_frame,
        }
        metadata |= {"codebook_size": codes} if codes else {}
        # One key only: safetensors writes several in an order that changes from process to process.
        data = save(
            {"codes" if codes else "latents": stored},
            metadata={"clipmill": json.dumps(metadata, sort_keys=True)},
        )
        channels, frames, height, width = stored.shape
        values = None if codes else stored.double().flatten(1)
        return EncodedWindow(
            latents=Artifact.of(data, ".safetensors"),
            latent_channels=channels,
            latent_frames=frames,
            latent_height=height,
            latent_width=width,
            latent_means=() if values is None else tuple(values.mean(1).tolist()),
            latent_mean_squares=() if values is None else tuple(values.square().mean(1).tolist()),
            latent_precision=precision,
            tokenizer=f"{name}@{self._tokenizer.digest[:12]}",
        )


def _local_clip(row: ClipWindow) -> AbstractContextManager[Path]:
    if row.clip is not None:
        return row.clip.local()
    return local_member(row.shard_uri, row.media_offset, row.media_bytes, row.media_name)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _not_finite(dtype: str) -> Reject:
    return Reject(f"the latents contain NaN, infinity or values too large for {dtype}, also in float32")
