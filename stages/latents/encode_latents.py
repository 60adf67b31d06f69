"""Encodes clips into latents with a video tokenizer.

The stage takes the frames displayed at the times 0, 1/fps, 2/fps … from the start of the clip: the longest
run of 1 + k * stride frames that the clip and `max_frames` allow. It scales them so that the short side is
`short_side_px` and the long side the next lower multiple of `size_multiple_px`, and crops the center if the
aspect ratio does not fit.
"""

import json
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manifests import Artifact, PositiveFloat, PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.decoding.frame import Frame
from stages.media.decoding.video import Video, open_video

if TYPE_CHECKING:
    from training.tokenizer import Tokenizer


class CutClip(Row):
    id: str
    clip: Artifact


class EncodedClip(Row):
    latents: Artifact = column('safetensors file of one tensor "latents" [c t h w], unit variance, float16')
    latent_channels: int = column("channels of the latents", unit="channels")
    latent_frames: int = column("frames of the latents", unit="latents")
    latent_height: int = column("rows of the latents", unit="latents")
    latent_width: int = column("columns of the latents", unit="latents")
    tokenizer: str = column("name and digest of the tokenizer that made the latents")


class EncodeLatents(Annotate[CutClip, EncodedClip]):
    """Encodes the first frames of each clip into latents, and stores how they were made.

    It encodes on one thread, so that equal clips give equal bytes.

    Attributes:
        tokenizer: Name of a bundled tokenizer, or the path of a tokenizer's file or folder.
        short_side_px: Short side in px of the encoded frames. Higher values keep more detail and make larger
            latents.
        size_multiple_px: Width and height in px are multiples of this.
        fps: Frames encoded per second. Higher values cover a shorter time with the same number of frames.
        max_frames: Maximum number of frames encoded per clip: 1 + a multiple of the tokenizer's temporal
            stride. Higher values make longer latents.
    """

    version = 2

    tokenizer: str = "small"
    short_side_px: PositiveInt = 128
    size_multiple_px: PositiveInt = 16
    fps: PositiveFloat = 12.0
    max_frames: PositiveInt = 33

    needs = Needs(cpus=1, memory_gb=1)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from training.tokenizers import load_tokenizer

        return load_tokenizer(self.tokenizer)

    def digest(self) -> str:
        from training.tokenizers import tokenizer_digest

        return tokenizer_digest(self.tokenizer)

    def min_frames(self) -> int:
        """Minimum number of frames at `fps` of a clip. Shorter clips are rejected."""
        from training.tokenizers import tokenizer_stride

        return 1 + tokenizer_stride(self.tokenizer)[0]

    def annotate(self, rows: Sequence[CutClip]) -> Iterator[EncodedClip | Reject]:
        for row in rows:
            try:
                with row.clip.local() as path:
                    frames, provenance = self._read_frames(path)
            except Reject as reason:
                yield reason
            else:
                yield self._encode(frames, provenance)

    def _read_frames(self, path: Path) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """The frames [t h w 3], and how they were scaled and cropped."""
        stride = self._tokenizer.stride.time
        frames: list[npt.NDArray[np.uint8]] = []
        with open_video(str(path)) as video:
            width, height, crop = 0, 0, (0, 0, 0, 0)
            fps = Fraction(self.fps).limit_denominator(1001)
            for frame, times in _displayed_frames(video, fps, self.max_frames):
                if not frames:
                    (width, height), crop = self._fit_size(*frame.display_size)
                x, y, crop_width, crop_height = crop
                scaled = frame.pixels("rgb24", width, height)
                frames += [scaled[y : y + crop_height, x : x + crop_width]] * times
        count = 1 + (len(frames) - 1) // stride * stride
        if count < 1 + stride:
            raise Reject(f"the clip is shorter than {1 + stride} frames at {self.fps:g} frames per second")
        provenance = {"scaled_px": [width, height], "crop_px": list(crop), "frames": count, "fps": self.fps}
        return np.stack(frames[:count]), provenance

    def _fit_size(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """The size to scale to, and the crop of it: x, y, width, height; all in px."""
        short = self.short_side_px // self.size_multiple_px * self.size_multiple_px
        aspect = max(width, height) / min(width, height)
        long = max(short, int(short * aspect) // self.size_multiple_px * self.size_multiple_px)
        crop_width, crop_height = (long, short) if width >= height else (short, long)
        scale = max(crop_width / width, crop_height / height)
        scaled = max(crop_width, round(width * scale)), max(crop_height, round(height * scale))
        x, y = (scaled[0] - crop_width) // 2, (scaled[1] - crop_height) // 2
        return scaled, (x, y, crop_width, crop_height)

    def _encode(self, frames: npt.NDArray[np.uint8], provenance: dict[str, Any]) -> EncodedClip:
        import torch
        from safetensors.torch import save

        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
                latents = self._tokenizer.encode(video)[0].to(torch.float16).contiguous()  # [c t h w]
        finally:
            torch.set_num_threads(num_threads)
        name = Path(self.tokenizer).name  # without its folder, which may be private
        metadata = provenance | {
            "tokenizer": name,
            "tokenizer_digest": self._tokenizer.digest,
            "stride": list(self._tokenizer.stride),
            "dtype": "float16",
        }
        # One key only: safetensors writes several in an order that changes from process to process.
        data = save({"latents": latents}, metadata={"clipmill": json.dumps(metadata, sort_keys=True)})
        channels, latent_frames, height, width = latents.shape
        return EncodedClip(
            latents=Artifact.of(data, ".safetensors"),
            latent_channels=channels,
            latent_frames=latent_frames,
            latent_height=height,
            latent_width=width,
            tokenizer=f"{name}@{self._tokenizer.digest[:12]}",
        )


def _displayed_frames(video: Video, fps: Fraction, max_frames: int) -> Iterator[tuple[Frame, int]]:
    """The frames displayed at the times 0, 1/fps, 2/fps …, each with the number of times that it covers."""
    count = 0
    start: int | None = None
    last: Frame | None = None

    def count_times_before(pts: int) -> int:
        """Number of times before `pts`, up to `max_frames`."""
        assert start is not None
        return min(max_frames, math.ceil((pts - start) * video.time_base * fps))

    for frame in video.frames():
        if last is None:
            start = frame.pts
        elif times := count_times_before(frame.pts) - count:
            yield last, times
            count += times
        last = frame
        if count >= max_frames:
            return
    if last is not None and (times := count_times_before(last.pts + last.duration) - count):
        yield last, times
