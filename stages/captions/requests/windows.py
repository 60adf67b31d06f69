"""Windows: spans of about 256 frames of a clip, which are captioned one by one."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from manifests import Artifact
from stages.media.signals import read_signals


class Window(NamedTuple):
    """A span of a video's frames, from start to before end, with its times."""

    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int
    start_s: float
    end_s: float


def split_into_windows(
    frames: int, window_frames: int, min_window_frames: int, min_clip_frames: int
) -> list[tuple[int, int]]:
    """Return first frame and end of each window of a clip, without gaps.

    Args:
        frames: Frames of the clip.
        window_frames: Frames of a window. The last one may have up to `window_frames + min_window_frames -
        1`.
        min_window_frames: A remainder of fewer frames joins the window before.
        min_clip_frames: A clip of fewer frames has no window.
    """
    if frames < min_clip_frames:
        return []
    whole, remainder = divmod(frames, window_frames)
    count = max(1, whole + (remainder >= min_window_frames))
    starts = [window_frames * number for number in range(count)]
    return list(zip(starts, [*starts[1:], frames], strict=True))


class HasFrames(Protocol):
    """A clip's row with the span of its frames in the video."""

    @property
    def signals(self) -> Artifact: ...
    @property
    def start_frame(self) -> int: ...
    @property
    def end_frame(self) -> int: ...
    @property
    def end_pts(self) -> int: ...
    @property
    def end_s(self) -> float: ...


def windows_of(row: HasFrames, edges: Sequence[tuple[int, int]]) -> list[Window]:
    """Return the windows of a clip with their exact times.

    Args:
        edges: First frame and end of each window, from the start of the clip.
    """
    signals = read_signals(row.signals, ["pts", "time_s"], row.start_frame, row.end_frame)
    pts, times_s = [*signals["pts"].tolist(), row.end_pts], [*signals["time_s"].tolist(), row.end_s]
    first = row.start_frame
    return [Window(first + a, first + b, pts[a], pts[b], times_s[a], times_s[b]) for a, b in edges]
