"""The images of a video that a judge sees: of the whole video, or of a control that is made of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.media.decoding.frame import Frame
from stages.media.decoding.video import open_video
from stages.media.strip import encode_jpeg

WHOLE, FIRST_FRAME, EXTRAPOLATED = "video", "first frame repeated", "constant velocity"
_JPEG_QUALITY = 90
Pixels = npt.NDArray[np.uint8]


def show_video(
    video: Path, shown_as: str, given_frames: int, sample_fps: float, image_px: int, max_images: int
) -> tuple[tuple[bytes, ...], float]:
    """Images of a video as JPEGs, with those of the first and the last frame, and its duration in s.

    Args:
        video: The file.
        shown_as: `WHOLE`; `FIRST_FRAME`, as often as the video has images; or `EXTRAPOLATED`: images after
            the given frames continue the motion between the last two of them by optical flow, or that between
            frames 0 and 1 if one frame is given. See `training.metrics.world.flow.extrapolate`.
        given_frames: Of `EXTRAPOLATED`.
        sample_fps: Images per second.
        image_px: Longer side of an image in px, at most.
        max_images: Images, at most; 2 or more.

    Raises:
        UnreadableFile: The video cannot be decoded.
    """
    images: dict[int, Pixels] = {}  # by number of the frame
    ends: list[Pixels] = []  # the two frames whose motion is continued
    last_given = max(1, given_frames - 1)
    start, number, seconds = 0.0, -1, 0.0
    with open_video(str(video)) as opened:
        for number, frame in enumerate(opened.frames()):
            time_s = float(frame.pts * opened.time_base)
            start = start if number else time_s
            seconds = time_s - start + 1 / float(opened.fps)
            if time_s - start >= len(images) / sample_fps - 1e-6:
                images[number] = _pixels(frame, image_px)
            if shown_as == EXTRAPOLATED and last_given - 1 <= number <= last_given:
                ends.append(_pixels(frame, image_px))
            last = frame
        if number not in images:
            images[number] = _pixels(last, image_px)
    chosen = _spread(sorted(images), max_images)
    shown = [images[place] for place in chosen]
    if shown_as == FIRST_FRAME:
        shown = [shown[0]] * len(shown)
    elif shown_as == EXTRAPOLATED and len(ends) == 2:
        from training.metrics.world.flow import extrapolate

        known = [place for place in chosen if place <= last_given]
        later = [place - last_given for place in chosen[len(known) :]]
        shown = [*shown[: len(known)], *extrapolate(ends[0], ends[1], later)]
    return tuple(encode_jpeg(pixels, _JPEG_QUALITY) for pixels in shown), seconds


def _pixels(frame: Frame, image_px: int) -> Pixels:
    """The pixels of a frame, BGR, uint8 [h w 3], at most so large."""
    width, height = frame.display_size
    scale = min(1.0, image_px / max(width, height))
    return np.array(frame.pixels("bgr24", max(1, round(width * scale)), max(1, round(height * scale))))


def _spread(numbers: Sequence[int], count: int) -> list[int]:
    """At most `count` of the numbers, evenly spread, with the first and the last one."""
    if len(numbers) <= count:
        return list(numbers)
    last = len(numbers) - 1
    return [numbers[round(place * last / (count - 1))] for place in range(count)]
