"""Spans of films as the scan would have found them, and clips cut from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.media.decode import open_video
from stages.media.fingerprint import fingerprint
from stages.shards.cut_clip import CutClip, CutOut, KeptClip


@pytest.fixture
def row_of() -> Callable[..., KeptClip]:
    """row_of(film, first, end, **said): the frames `first` to `end` - 1; a negative `end` counts back."""

    def row(film: Path, first: int, end: int, **said: Any) -> KeptClip:
        with open_video(str(film)) as video:
            seen = [(frame.pts, frame.duration) for frame in video.frames()]
        pts = [pts for pts, _ in seen] + [sum(seen[-1])]
        end = end if end >= 0 else len(seen) + 1 + end
        given = {
            "uri": str(film),
            "size_bytes": film.stat().st_size,
            "content_sha256": fingerprint(str(film))[1],
            "variable_rate": False,
            "start_pts": pts[first],
            "end_pts": pts[end],
            "start_frame": first,
            "end_frame": end,
        }
        return KeptClip(**(given | said))

    return row


@pytest.fixture
def cut() -> Callable[[CutClip, KeptClip], CutOut]:
    """The answer of the stage for one row, which is to be no reject."""

    def one(stage: CutClip, row: KeptClip) -> CutOut:
        [answer] = stage.annotate([row])
        assert isinstance(answer, CutOut), answer
        return answer

    return one
