"""Reads windows of a clip: the frames displayed at exact times, in the size of their bucket."""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline import Reject
from stages.latents.fit_bucket import Fit, crop_and_pad
from stages.latents.media_member import is_image, read_image
from stages.latents.split_windows import exact_fps
from stages.media.decoding.frame import Frame
from stages.media.decoding.video import Video, open_video

if TYPE_CHECKING:
    import av

SEEK_MARGIN_S = 2  # decoding starts this much before a window, to find the frame displayed at its start
MAX_MISSING_FRAMES = 1  # that a file may lack, because its duration is rounded to ticks
Pixels: TypeAlias = npt.NDArray[np.uint8]
FitSize: TypeAlias = Callable[[int, int], Fit]


class Span(NamedTuple):
    """The frames `first` … `first + frames - 1` of a clip at `fps`."""

    first: int
    frames: int
    fps: float


class DecodedWindow(NamedTuple):
    """The frames of a window, uint8 [t h w 3], and how they were scaled, cropped and padded."""

    pixels: Pixels
    provenance: dict[str, Any]


def read_windows(
    path: Path, spans: Sequence[Span], fit_size: FitSize, threads: int = 1
) -> Iterator[DecodedWindow | Reject]:
    """Decode windows of one clip, or an image. Windows that follow each other are decoded in one pass.

    Args:
        path: The file of the clip.
        spans: The windows.
        fit_size: How a frame of this display width and height in px fits into its bucket.
        threads: Threads of the decoder. The frames are the same for any number.

    Yields:
        For each span the window, or why it cannot be read.
    """
    try:
        if is_image(path):
            image = read_image(path)
            yield from (_read_window(iter([image]), span, fit_size) for span in spans)
            return
        with open_video(str(path), threads) as video:
            frames: Iterator[Frame] = iter(())
            position = -1
            for span in spans:
                if span.first != position:
                    frames = displayed_frames(video, exact_fps(span.fps), span.first)
                try:
                    yield _read_window(frames, span, fit_size)
                    position = span.first + span.frames
                except Reject as reason:
                    yield reason
                    position = -1
    except Reject as reason:  # the file cannot be opened
        yield from (reason for _ in spans)


def displayed_frames(video: Video, fps: Fraction, first: int = 0) -> Iterator[Frame]:
    """The frames displayed at the times first/fps, (first + 1)/fps … from the start of the video.

    The first frame counts as displayed at 0 also if it has no duration.
    """
    frames = video.frames()
    start: int | None = None
    if first:
        start = next((frame.pts for frame in frames), 0)
        frames = _frames_from(video, start, first / fps)
    count, last = first, None
    for frame in frames:
        if start is None:
            start = frame.pts
        if last is not None:
            until = math.ceil((frame.pts - start) * video.time_base * fps)
            yield from (last for _ in range(count, until))
            count = max(count, until)
        last = frame
    if last is not None and start is not None:
        until = math.ceil((last.pts + last.duration - start) * video.time_base * fps)
        yield from (last for _ in range(count, max(until, 1)))


def _frames_from(video: Video, start: int, time_s: Fraction) -> Iterator[Frame]:
    """Frames from one that is displayed at a time, or before it."""
    time = start + time_s / video.time_base
    earlier = max(start, math.floor(time - SEEK_MARGIN_S / video.time_base))
    frames = video.frames(earlier)
    first = next(frames, None)
    if first is None or first.pts > time:  # the frame before it is displayed for longer than the margin
        yield from video.frames()
        return
    yield first
    yield from frames


def _read_window(frames: Iterator[Frame], span: Span, fit_size: FitSize) -> DecodedWindow:
    images: list[Pixels] = []
    last: Frame | None = None
    fit: Fit | None = None
    has_alpha = False
    while len(images) < span.frames and (frame := next(frames, None)) is not None:
        if last is not None and frame.picture_format != last.picture_format:
            raise Reject(f"the picture changes from {last.picture_format} to {frame.picture_format}")
        if fit is None:
            fit, has_alpha = fit_size(*frame.display_size), _has_alpha(frame.raw)
        images.append(images[-1] if frame is last else crop_and_pad(_pixels(frame, fit, has_alpha), fit))
        last = frame
    missing = span.frames - len(images)
    if fit is None or missing > MAX_MISSING_FRAMES:
        raise Reject(
            f"the clip ends {missing} frames before frame {span.first + span.frames} at {span.fps:g} frames"
            " per second, so the window does not fit"
        )
    provenance = {
        "scaled_px": list(fit.scaled),
        "crop_px": list(fit.crop),
        "encoded_px": [fit.width, fit.height],
        "video_px": list(fit.video),
    }
    return DecodedWindow(
        np.stack(images + images[-1:] * missing), provenance | ({"alpha": "on black"} if has_alpha else {})
    )


def _has_alpha(raw: "av.VideoFrame") -> bool:
    return any(component.is_alpha for component in raw.format.components)


def _pixels(frame: Frame, fit: Fit, has_alpha: bool) -> Pixels:
    """The scaled frame [h w 3]; where it is transparent, it is blended with black."""
    if not has_alpha:
        return frame.pixels("rgb24", *fit.scaled)
    scaled = frame.pixels("rgba", *fit.scaled).astype(np.uint16)
    return ((scaled[..., :3] * scaled[..., 3:] + 127) // 255).astype(np.uint8)
