"""Windows: 256 frames, a short remainder joined to the last, nothing lost between them."""

from itertools import pairwise

import pytest

from stages.captions.windows import frames_of_windows


@pytest.mark.parametrize(
    ("frames", "edges"),
    [
        (3, []),
        (4, [(0, 4)]),
        (255, [(0, 255)]),
        (256, [(0, 256)]),
        (383, [(0, 383)]),
        (384, [(0, 256), (256, 384)]),
        (512, [(0, 256), (256, 512)]),
        (639, [(0, 256), (256, 639)]),
        (640, [(0, 256), (256, 512), (512, 640)]),
    ],
)
def test_as_the_field_cuts_them(frames: int, edges: list[tuple[int, int]]) -> None:
    assert frames_of_windows(frames, 256, 128, 4) == edges


def test_windows_cover_any_clip_without_holes() -> None:
    for frames in range(4, 1500):
        edges = frames_of_windows(frames, 256, 128, 4)
        assert edges[0][0] == 0
        assert edges[-1][1] == frames
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert all(b - a <= 256 for a, b in edges[:-1])
        assert edges[-1][1] - edges[-1][0] < 256 + 128
        assert len(edges) == 1 or edges[-1][1] - edges[-1][0] >= 128
