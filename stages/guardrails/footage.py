"""The frames of a row that a check reads: of a sampled video, of a clip, or of the stored stills."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from manifests import Artifact, ClipmillError
from stages.media.decoding.video import open_video
from stages.media.strip import CroppedStills, crop_image, decode_still, read_strip
from stages.media.timecode import ticks_to_seconds

Image = npt.NDArray[np.uint8]  # RGB [h w 3]


class Footage(CroppedStills):
    video: Artifact | None = None
    clip: Artifact | None = None
    strip: Artifact | None = None
    strip_times_s: tuple[float, ...] | None = None
    strip_offsets: tuple[int, ...] | None = None
    start_s: float | None = None
    end_s: float | None = None


class SampledFrame(NamedTuple):
    """A frame of a row.

    Attributes:
        number: Its number in the video or clip; of a still, its number among the stills of the clip.
        time_s: Its time since the start of the video or clip, in s.
        image: Its pixels.
    """

    number: int
    time_s: float
    image: Image


def sampled_frames(row: Footage, sample_fps: float) -> Iterator[SampledFrame]:
    """Yield frames of the row's `video`, else of its `clip`, else all stills of its strip.

    Args:
        sample_fps: Frames per second, at most; 0: every frame.

    Raises:
        UnreadableFile: the video cannot be decoded.
        ClipmillError: no earlier step adds a video, a clip or stills.
    """
    file = row.video or row.clip
    if file is not None:
        yield from _frames_of_file(file, sample_fps)
    elif row.strip is not None and row.strip_times_s is not None and row.strip_offsets is not None:
        yield from _stills(row, row.strip, row.strip_times_s, row.strip_offsets)
    else:
        raise ClipmillError("the rows have no video, clip or stills", remedy="add this stage after one")


def _frames_of_file(file: Artifact, sample_fps: float) -> Iterator[SampledFrame]:
    with file.local() as path, open_video(str(path)) as video:
        first_pts, wanted = None, 0
        for number, frame in enumerate(video.frames()):
            first_pts = frame.pts if first_pts is None else first_pts
            time_s = ticks_to_seconds(frame.pts - first_pts, video.time_base)
            if not sample_fps or time_s * sample_fps >= wanted - 1e-6:
                wanted = int(time_s * sample_fps + 1e-6) + 1
                yield SampledFrame(number, time_s, frame.pixels("rgb24", *frame.display_size))


class _Strip(NamedTuple):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]


def _stills(
    row: Footage, strip: Artifact, times_s: tuple[float, ...], offsets: tuple[int, ...]
) -> Iterator[SampledFrame]:
    start_s, end_s = row.start_s or 0.0, float("inf") if row.end_s is None else row.end_s
    shares = row.crop_shares()
    for number, still in enumerate(read_strip(_Strip(strip, times_s, offsets), start_s, end_s)):
        image = decode_still(still)
        inside = np.ascontiguousarray(crop_image(image, shares)) if shares else image
        yield SampledFrame(number, still.time_s - start_s, inside)
