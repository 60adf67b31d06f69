"""Rows for spans of videos, as the scan would have found them, and clips cut from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.media.decoding.video import open_video
from stages.media.fingerprint import fingerprint
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip


@pytest.fixture
def row_of() -> Callable[..., KeptClip]:
    """row_of(film, first, end, **values): frames `first` to `end` - 1; a negative `end` as in a slice."""

    def row(film: Path, first: int, end: int, **values: Any) -> KeptClip:
        with open_video(str(film)) as video:
            frames = [(frame.pts, frame.duration) for frame in video.frames()]
        pts = [pts for pts, _ in frames] + [sum(frames[-1])]
        end = end if end >= 0 else len(frames) + 1 + end
        columns = {
            "uri": str(film),
            "size_bytes": film.stat().st_size,
            "content_sha256": fingerprint(str(film))[1],
            "variable_rate": False,
            "start_pts": pts[first],
            "end_pts": pts[end],
            "start_frame": first,
            "end_frame": end,
        }
        return KeptClip(**(columns | values))

    return row


@pytest.fixture
def cut() -> Callable[[CutClip, KeptClip], ClipFile]:
    """cut(stage, row) -> the result of the stage for one row; a reject fails the test."""

    def one(stage: CutClip, row: KeptClip) -> ClipFile:
        [result] = stage.annotate([row])
        assert isinstance(result, ClipFile), result
        return result

    return one
