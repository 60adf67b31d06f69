"""Splits clips into windows of 1 + k * stride frames, each of which is encoded into one tensor of latents."""

import math
from collections.abc import Iterator
from fractions import Fraction

from manifests import PositiveFloat, PositiveInt, Row, column
from pipeline import Expand, Reject

MAX_TICKS_PER_S = 1_000_000  # a duration is a whole number of ticks of a time base


class ClipLength(Row):
    clip_frames: int
    clip_duration_s: float


class Window(Row):
    window_first_frame: int = column("first frame of the window at `window_fps`", unit="frames", key=True)
    window_frames: int = column("frames of the window at `window_fps`", unit="frames", key=True)
    window_fps: float = column("frames per second that are encoded", unit="1/s", key=True)
    window_kind: str = column("window, of full length; remainder, at the end of a clip; or image")
    window_unused_frames: int = column(
        "frames at the end of the clip that no window has, because the last one has 1 + k * stride frames",
        unit="frames",
    )


class SplitWindows(Expand[ClipLength, Window]):
    """Splits each clip, resampled to `fps`, into windows that follow each other without overlap.

    A clip has the frames displayed at the times 0, 1/fps, 2/fps … before its end. Each window but the last
    has `window_frames` frames. The last is a "remainder" if fewer are left: as many as fit 1 + k * stride. A
    recipe decides how short it may be. A clip of one frame is an "image".

    Attributes:
        fps: Frames per second. Higher values cover a shorter time with the same number of frames.
        window_frames: Frames of a window, 1 + a multiple of `stride`. Higher values make longer latents.
        stride: Frames per latent of the tokenizer. Higher values lose more frames at the end of a clip.
    """

    fps: PositiveFloat = 12.0
    window_frames: PositiveInt = 33
    stride: PositiveInt = 4

    from_store = True

    def __post_init__(self) -> None:
        if (self.window_frames - 1) % self.stride:
            raise ValueError(f"window_frames is {self.window_frames}; it must be 1 + k * {self.stride}")

    def expand(self, row: ClipLength) -> Iterator[Window]:
        if row.clip_frames < 1 or not row.clip_duration_s > 0:
            raise Reject(f"the clip has {row.clip_frames} frames in {row.clip_duration_s:g} s")
        frames = 1 if row.clip_frames == 1 else frames_at_fps(row.clip_duration_s, self.fps)
        for first in range(0, frames, self.window_frames):
            left = min(self.window_frames, frames - first)
            count = 1 + (left - 1) // self.stride * self.stride
            kind = "window" if count == self.window_frames else "remainder"
            yield Window(
                window_first_frame=first,
                window_frames=count,
                window_fps=self.fps,
                window_kind="image" if row.clip_frames == 1 else kind,
                window_unused_frames=left - count,
            )


def frames_at_fps(duration_s: float, fps: float) -> int:
    """Number of the times 0, 1/fps, 2/fps … before the end of a clip, without rounding errors."""
    return math.ceil(Fraction(duration_s).limit_denominator(MAX_TICKS_PER_S) * exact_fps(fps))


def exact_fps(fps: float) -> Fraction:
    """A frame rate as an exact fraction: 23.976… is 24000/1001."""
    return Fraction(fps).limit_denominator(1001)
