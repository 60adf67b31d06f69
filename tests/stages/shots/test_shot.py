"""Spans cover the video without holes, long shots are split evenly, transitions are rows of their own."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from stages.shots.boundary import Boundary
from stages.shots.shot import FrameTimes, PictureSizes, Shot, split_video

SIZES = PictureSizes((640, 360))


def _times(frames: int, step_ms: int = 40) -> FrameTimes:
    return FrameTimes(frames, Fraction(1, 1000), lambda: np.arange(frames + 1) * step_ms, {})


def _shots(frames: int, *boundaries: Boundary, max_duration_s: float = 60.0, step_ms: int = 40) -> list[Shot]:
    return list(split_video(_times(frames, step_ms), boundaries, max_duration_s, SIZES))


def test_long_shots_are_split_evenly_without_holes() -> None:
    shots = _shots(4000, Boundary(1000, 1000, "cut", 1.0), max_duration_s=50)  # 40 s and 120 s
    assert [(s.shot, s.piece, s.pieces) for s in shots] == [(0, 0, 1), (1, 0, 3), (1, 1, 3), (1, 2, 3)]
    assert [s.duration_s for s in shots] == [40, 40, 40, 40]
    for one, two in itertools.pairwise(shots):
        assert (one.end_pts, one.end_frame, one.end_s) == (two.start_pts, two.start_frame, two.start_s)
    assert (shots[0].start_pts, shots[-1].end_pts) == (0, 160_000)


def test_the_frames_of_a_transition_belong_to_no_shot() -> None:
    shots = _shots(300, Boundary(100, 120, "dissolve", 0.9), Boundary(200, 200, "cut", 0.9))
    assert [(s.start_frame, s.end_frame, s.kind, s.shot) for s in shots] == [
        (0, 100, "shot", 0),
        (100, 120, "dissolve", 0),
        (120, 200, "shot", 1),
        (200, 300, "shot", 2),
    ]


def test_fades_at_both_ends_leave_one_shot() -> None:
    shots = _shots(90, Boundary(0, 10, "fade", 0.9), Boundary(80, 90, "fade", 0.9))
    assert [(s.start_frame, s.end_frame, s.kind) for s in shots] == [
        (0, 10, "fade"),
        (10, 80, "shot"),
        (80, 90, "fade"),
    ]


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_a_video_without_a_boundary_is_one_shot(length: int) -> None:
    [shot] = _shots(length)
    assert (shot.start_frame, shot.end_frame, shot.pieces, shot.end_pts) == (0, length, 1, length * 40)


def test_a_shot_of_exactly_the_maximum_duration_is_not_split() -> None:
    assert len(_shots(50, max_duration_s=2.0)) == 1
    assert len(_shots(50, max_duration_s=1.99)) == 2


def test_pieces_have_at_least_one_frame() -> None:
    shots = _shots(3, max_duration_s=0.5, step_ms=1000)
    assert [(s.start_frame, s.end_frame) for s in shots] == [(0, 1), (1, 2), (2, 3)]


def test_all_frame_times_are_read_only_for_long_shots() -> None:
    def fail() -> np.ndarray:
        raise AssertionError("the signals were read")

    times = FrameTimes(100, Fraction(1, 25), fail, {0: 0, 40: 40, 60: 60, 100: 100})
    shots = list(split_video(times, [Boundary(40, 60, "wipe", 1.0)], 60.0, SIZES))
    assert [s.frames for s in shots] == [40, 20, 40]


def test_a_shot_ends_before_a_jump_of_the_clock() -> None:
    pts = np.array([0, 40, 80, 60_000, 60_040, 60_080])
    times = FrameTimes(5, Fraction(1, 1000), lambda: pts, {}, {3: 120})
    before, after = split_video(times, [Boundary(3, 3, "cut", 1.0)], 0, SIZES)
    assert (before.start_pts, before.end_pts, before.duration_s, before.frames) == (0, 120, 0.12, 3)
    assert (after.start_pts, after.end_pts, after.frames) == (60_000, 60_080, 2)


def test_a_held_frame_does_not_exceed_the_maximum_duration() -> None:
    pts = np.array([0, 40, 80, 9_000, 9_040, 30_000])
    times = FrameTimes(5, Fraction(1, 1000), lambda: pts, {})
    shots = list(split_video(times, [], 5, SIZES))
    assert [(s.start_frame, s.end_frame, s.start_pts, s.end_pts) for s in shots] == [
        (0, 3, 0, 5_000), (3, 5, 9_000, 14_000),
    ]  # fmt: skip


def test_each_shot_and_piece_has_the_size_of_its_first_frame() -> None:
    sizes = PictureSizes((640, 360), (100, 200), (320, 320), (240, 480))
    boundaries = [Boundary(100, 100, "cut", 1.0), Boundary(195, 205, "fade", 1.0)]
    shots = split_video(_times(300), boundaries, 2.0, sizes)
    assert [(s.start_frame, s.kind, s.width_px, s.height_px) for s in shots] == [
        (0, "shot", 640, 360), (50, "shot", 640, 360), (100, "shot", 320, 240), (148, "shot", 320, 240),
        (195, "fade", 320, 240), (205, "shot", 320, 480), (253, "shot", 320, 480),
    ]  # fmt: skip
