"""Encode each clip with the tokenizer: the first frames, at the trainer's rate and size, become latents.

What is taken: the picture at the times 0, 1/fps, 2/fps … (the frame then on show), the longest run of 1 + k
* stride frames that the clip and `frames` allow, from the clip's start. It is scaled so that the short side
is `short_side_px` and the long side the next lower multiple of `multiple_px`; the middle is kept where the
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

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.decode import Video, open_video
from stages.media.frame import Frame

if TYPE_CHECKING:
    from training.tokenizer import Tokenizer


class CutClip(Row):
    id: str
    clip: Artifact


class EncodedClip(Row):
    latents: Artifact = column('safetensors file of one tensor "latents" [c t h w], unit variance, float16')
    latent_channels: int = column("channels of the latents")
    latent_frames: int = column("frames of the latents")
    latent_height: int = column("rows of the latents")
    latent_width: int = column("columns of the latents")
    tokenizer: str = column("name and digest of the tokenizer that made the latents")


class EncodeLatents(Annotate[CutClip, EncodedClip]):
    """Latents with their provenance; made on one thread, so that equal clips give equal bytes."""

    tokenizer: str = "small"  # a bundled tokenizer's name, or the path of one's folder
    short_side_px: int = 128
    multiple_px: int = 16
    fps: float = 12.0
    frames: int = 33  # at most, of the video

    needs = Needs(cpus=1, memory_gb=1)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from training.tokenizers import load_tokenizer

        return load_tokenizer(self.tokenizer)

    def digest(self) -> str:
        from training.tokenizers import tokenizer_digest

        return tokenizer_digest(self.tokenizer)

    def least_frames(self) -> int:
        """The fewest frames at `fps` that a clip may have; what is shorter is rejected."""
        from training.tokenizers import tokenizer_stride

        return 1 + tokenizer_stride(self.tokenizer)[0]

    def annotate(self, rows: Sequence[CutClip]) -> Iterator[EncodedClip | Reject]:
        for row in rows:
            try:
                with row.clip.local() as path:
                    taken = self._frames(path)
            except Reject as reason:
                yield reason
            else:
                yield self._encode(*taken)

    def _frames(self, path: Path) -> tuple[np.ndarray, dict[str, Any]]:
        """The pictures [t h w 3], and how they were cropped."""
        stride = self._tokenizer.stride.time
        pictures: list[np.ndarray] = []
        with open_video(str(path)) as video:
            width, height, crop = 0, 0, (0, 0, 0, 0)
            for frame, times in _shown(video, Fraction(self.fps).limit_denominator(1001), self.frames):
                if not pictures:
                    (width, height), crop = self._fitted(*video.shown_size(frame.turns))
                x, y, wide, high = crop
                whole = frame.pixels("rgb24", width, height)
                pictures += [whole[y : y + high, x : x + wide]] * times
        count = 1 + (len(pictures) - 1) // stride * stride
        if count < 1 + stride:
            least = f"{1 + stride} frames at {self.fps:g} frames per second"
            raise Reject(f"the clip is shorter than {least}")
        how = {"scaled_px": [width, height], "crop_px": list(crop), "frames": count, "fps": self.fps}
        return np.stack(pictures[:count]), how

    def _fitted(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """The size to scale to, and what to keep of it: x, y, width, height; all in pixels."""
        short = self.short_side_px // self.multiple_px * self.multiple_px
        aspect = max(width, height) / min(width, height)
        long = max(short, int(short * aspect) // self.multiple_px * self.multiple_px)
        wide, high = (long, short) if width >= height else (short, long)
        scale = max(wide / width, high / height)
        scaled = max(wide, round(width * scale)), max(high, round(height * scale))
        return scaled, ((scaled[0] - wide) // 2, (scaled[1] - high) // 2, wide, high)

    def _encode(self, pictures: np.ndarray, how: dict[str, Any]) -> EncodedClip:
        import torch
        from safetensors.torch import save

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                video = torch.from_numpy(pictures).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
                latents = self._tokenizer.encode(video)[0].to(torch.float16).contiguous()  # [c t h w]
        finally:
            torch.set_num_threads(threads)
        name = Path(self.tokenizer).name  # where it lay is nobody's business
        said = how | {
            "tokenizer": name,
            "tokenizer_digest": self._tokenizer.digest,
            "stride": list(self._tokenizer.stride),
            "dtype": "float16",
        }
        # One key only: safetensors writes several in an order that changes from process to process.
        data = save({"latents": latents}, metadata={"clipmill": json.dumps(said, sort_keys=True)})
        channels, frames, height, width = latents.shape
        return EncodedClip(
            latents=Artifact.of(data, ".safetensors"),
            latent_channels=channels,
            latent_frames=frames,
            latent_height=height,
            latent_width=width,
            tokenizer=f"{name}@{self._tokenizer.digest[:12]}",
        )


def _shown(video: Video, fps: Fraction, most: int) -> Iterator[tuple[Frame, int]]:
    """The frames on show at the times 0, 1/fps, 2/fps …, each with how many of these times it covers."""
    count = 0
    start: int | None = None
    last: Frame | None = None

    def until(pts: int) -> int:
        """How many of the times lie before `pts`, of those that are wanted."""
        assert start is not None
        return min(most, math.ceil((pts - start) * video.time_base * fps))

    for frame in video.frames():
        if last is None:
            start = frame.pts
        elif times := until(frame.pts) - count:
            yield last, times
            count += times
        last = frame
        if count >= most:
            return
    if last is not None and (times := until(last.pts + last.duration) - count):
        yield last, times
