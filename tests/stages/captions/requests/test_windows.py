"""Windows: 256 frames each, a short remainder joins the last window, no frame is lost."""

from itertools import pairwise

import pytest

from stages.captions.requests.windows import split_into_windows


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
def test_windows_have_256_frames_and_remainders_are_joined(frames: int, edges: list[tuple[int, int]]) -> None:
    assert split_into_windows(frames, 256, 128, 4) == edges


def test_windows_cover_any_clip_without_gaps() -> None:
    for frames in range(4, 1500):
        edges = split_into_windows(frames, 256, 128, 4)
        assert edges[0][0] == 0
        assert edges[-1][1] == frames
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert all(b - a <= 256 for a, b in edges[:-1])
        assert edges[-1][1] - edges[-1][0] < 256 + 128
        assert len(edges) == 1 or edges[-1][1] - edges[-1][0] >= 128
