"""Tests of the common time of several cameras, and of the clips that are cut at common times."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.shots.align_cameras import AlignCameras, CommonSpans, ScoredCamera
from stages.shots.split_recording import AlignedCamera, CameraClip, SplitRecording

SECOND = 10**9  # ns


def camera(
    name: str, *, start_s: float = 0.0, end_s: float = 10.0, fps: int = 25, cuts: Any = ()
) -> ScoredCamera:
    """A camera with a time base of 1 ms and a first pts of 500. `cuts`: (start, end, kind) in seconds."""
    frames = [(round(a * fps), round(b * fps)) for a, b, _ in cuts]
    return ScoredCamera(
        recording="street",
        recording_cameras=("left", "right"),
        camera_name=name,
        camera_start_s=start_s,
        time_base_num=1,
        time_base_den=1000,
        first_pts=500,
        scanned_end_pts=500 + round(end_s * 1000),
        boundary_starts=tuple(a for a, _ in frames),
        boundary_ends=tuple(b for _, b in frames),
        boundary_start_pts=tuple(500 + a * 1000 // fps for a, _ in frames),
        boundary_end_pts=tuple(500 + b * 1000 // fps for _, b in frames),
        boundary_kinds=tuple(kind for *_, kind in cuts),
        boundary_scores=(0.9,) * len(cuts),
    )


def align(*cameras: ScoredCamera) -> list[CommonSpans | Reject]:
    return list(AlignCameras().annotate(cameras))


def spans(*cameras: ScoredCamera) -> list[tuple[float, float, str]]:
    """The common spans in seconds; all cameras have the same."""
    first, *others = align(*cameras)
    assert isinstance(first, CommonSpans), first
    assert all(other == first for other in others)
    columns = zip(first.common_starts_ns, first.common_ends_ns, first.common_kinds, strict=True)
    return [(start / SECOND, end / SECOND, kind) for start, end, kind in columns]


def test_the_common_time_is_what_all_cameras_show() -> None:
    assert spans(camera("left"), camera("right", start_s=2.5, end_s=6)) == [(2.5, 8.5, "shot")]
    assert spans(camera("left", start_s=-1.0), camera("right", end_s=20)) == [(0.0, 9.0, "shot")]


def test_a_cut_of_one_camera_cuts_all() -> None:
    left, right = camera("left", cuts=[(4, 4, "cut")]), camera("right", start_s=1.0, cuts=[(6, 7, "fade")])
    assert spans(left, right) == [
        (1.0, 4.0, "shot"),
        (4.0, 7.0, "shot"),
        (7.0, 8.0, "fade"),
        (8.0, 10.0, "shot"),
    ]


def test_boundaries_of_several_cameras_at_about_the_same_time_are_one() -> None:
    left, right = camera("left", cuts=[(4, 4, "cut")]), camera("right", cuts=[(4.04, 4.04, "cut")])
    assert spans(left, right) == [(0.0, 4.0, "shot"), (4.0, 4.04, "cut"), (4.04, 10.0, "shot")]
    assert spans(left, camera("right", cuts=[(4, 4, "cut")])) == [(0.0, 4.0, "shot"), (4.0, 10.0, "shot")]


def test_a_boundary_outside_the_common_time_cuts_nothing() -> None:
    left = camera("left", cuts=[(1, 1, "cut"), (9, 9, "cut")])
    assert spans(left, camera("right", start_s=2.0, end_s=5)) == [(2.0, 7.0, "shot")]


@pytest.mark.parametrize(
    ("cameras", "reason"),
    [
        ((camera("left"),), "lacks the camera right"),
        ((camera("left"), camera("right", start_s=10.0)), "no common time"),
        (
            (camera("left"), replace(camera("right"), clock_jumps=(7,))),
            "clock jumps in the file of the camera right",
        ),
    ],
)
def test_cameras_that_cannot_be_aligned_are_rejected_together(
    cameras: Sequence[ScoredCamera], reason: str
) -> None:
    answers = align(*cameras)
    assert len(answers) == len(cameras)
    assert all(isinstance(answer, Reject) and reason in str(answer) for answer in answers)


@pytest.fixture
def split(stored: Callable[..., Artifact]) -> Callable[..., list[CameraClip]]:
    """split(common, start_s, fps, seconds, **settings) -> the clips of a camera with these common spans."""

    def run(
        common: Sequence[tuple[float, float, str]],
        *,
        start_s: float = 0.0,
        fps: Fraction | float = 25,
        seconds: float = 10,
        name: str = "left",
        **settings: Any,
    ) -> list[CameraClip]:
        times = [k / float(fps) for k in range(round(seconds * float(fps)))]
        row = AlignedCamera(
            parent="recording",
            camera_name=name,
            camera_start_s=start_s,
            common_starts_ns=tuple(round(a * SECOND) for a, _, _ in common),
            common_ends_ns=tuple(round(b * SECOND) for _, b, _ in common),
            common_kinds=tuple(kind for *_, kind in common),
            signals=stored(times, light=np.zeros(len(times))),
            first_pts=0,
            scanned_end_pts=round(seconds * 1000),
            time_base_num=1,
            time_base_den=1000,
            video_width_px=64,
            video_height_px=48,
        )
        return list(SplitRecording(**settings).expand(row))

    return run


Split = Callable[..., list[CameraClip]]


def test_cameras_with_an_offset_and_other_rates_get_the_same_clips(split: Split) -> None:
    common = [(1.0, 9.5, "shot")]
    left = split(common, start_s=0.5, fps=24)
    right = split(common, start_s=1.0, fps=Fraction(30000, 1001))
    clips = [[c for c in cameras if c.kind == "shot"] for cameras in (left, right)]
    for one, other in zip(*clips, strict=True):
        assert one.recording_clip == other.recording_clip
        assert one.recording_start_s == other.recording_start_s
        assert one.recording_frames == other.recording_frames == 204  # 8.5 s at 24 frames per second
        assert one.start_s == pytest.approx(other.start_s + 0.5, abs=0.001)
        assert one.duration_s == pytest.approx(8.5, abs=0.001)


def test_a_long_shot_is_split_at_the_same_frames(split: Split) -> None:
    clips = [c for c in split([(0.0, 10.0, "shot")], max_duration_s=4.0, fps=25) if c.kind == "shot"]
    assert [c.recording_frames for c in clips] == [80, 80, 80]  # at the default of 24 frames per second
    assert [c.start_s for c in clips] == pytest.approx([0, 80 / 24, 160 / 24], abs=0.001)
    assert [(c.piece, c.pieces) for c in clips] == [(0, 3), (1, 3), (2, 3)]
    assert clips[0].end_frame == clips[1].start_frame


def test_what_only_some_cameras_show_is_a_row_of_its_own(split: Split) -> None:
    clips = split([(2.0, 8.0, "shot")])
    found = sorted((c.start_s, c.end_s, c.kind) for c in clips)
    assert found == [(0.0, 2.0, "partial"), (2.0, 8.0, "shot"), (8.0, 10.0, "partial")]
    other = split([(2.0, 8.0, "shot")], name="right")
    shared = {c.recording_clip for c in clips} & {c.recording_clip for c in other}
    assert shared == {c.recording_clip for c in clips if c.kind == "shot"}


def test_a_camera_without_a_frame_in_a_clip_says_so(split: Split) -> None:
    kinds = [c.kind for c in split([(0.5, 1.0, "shot")], fps=0.5, seconds=10)]
    assert "no_frames" in kinds
    assert "shot" not in kinds


def test_the_frames_of_a_clip_are_those_between_its_times(split: Split) -> None:
    [clip] = [c for c in split([(2.0, 8.0, "shot")], fps=25) if c.kind == "shot"]
    assert (clip.start_frame, clip.end_frame, clip.frames) == (50, 200, 150)
    assert (clip.start_pts, clip.end_pts) == (2000, 8000)
