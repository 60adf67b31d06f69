"""Tests of scans of films with HDR, a crop in the container, and a size or pixel aspect that changes."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from manifests import Row
from pipeline import Expand
from stages.ingest.probe_video import ProbeVideo, Video
from stages.media.signals import read_signals, read_thumbnails
from stages.media.strip import decode_still, read_strip
from stages.scan.scan_video import ScannedVideo
from stages.shots.find_shots import FindShots
from stages.shots.replay_scene_detect import ReplaySceneDetect
from stages.shots.score_boundaries import ScannedVideo as SignalsOfVideo
from stages.shots.score_boundaries import ScoreBoundaries
from stages.shots.shot import Shot
from tests.toys.media.color_films import PATCHES, patch_colors, write_patches
from tests.toys.media.picture_formats import with_pixel_crop, write_parts
from tests.toys.media.unusual_videos import write_video

Scan = Callable[..., ScannedVideo]
Moving = Callable[..., list[np.ndarray]]
ONE = Fraction(1)


def _stills(scanned: ScannedVideo) -> list[np.ndarray]:
    return [decode_still(still) for still in read_strip(scanned)]


def _shots(path: Path, scanned: ScannedVideo) -> list[tuple[int, int, int, int]]:
    """The first frame, the frame after the last, the width and the height of each shot."""
    row = SignalsOfVideo(
        signals=scanned.signals,
        scanned_frames=scanned.scanned_frames,
        scanned_end_pts=scanned.scanned_end_pts,
        format_changes=scanned.format_changes,
    )
    [scores] = ScoreBoundaries().annotate([row])
    [header] = ProbeVideo().annotate([Video(uri=str(path))])
    rows = cast("list[Row]", [header, scanned, scores])
    columns = {name: getattr(row, name) for row in rows for name in row.names()}
    found = []
    for stage in cast("list[Expand[Any, Shot]]", [FindShots(), ReplaySceneDetect()]):
        video = stage.reads(**{name: columns[name] for name in stage.reads.names() if name in columns})
        found.append([(s.start_frame, s.end_frame, s.width_px, s.height_px) for s in stage.expand(video)])
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("kind", ["bt2020_pq", "bt2020_hlg", "bt2020_sdr", "bt709_untagged"])
def test_stills_have_the_colors_of_the_scene(kind: str, scan: Scan, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", kind, frames=2)
    scanned = scan(tmp_path / "film.mp4")
    [still] = _stills(scanned)
    assert np.abs(patch_colors(still) - PATCHES).max() <= 12
    light = float(read_signals(scanned.signals, ["light_mean"])["light_mean"][0])
    assert light == pytest.approx(np.mean(np.array(PATCHES) @ (0.299, 0.587, 0.114)) / 255, abs=0.02)


def test_large_hdr_frames_are_measured_at_a_smaller_size(scan: Scan, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt2020_pq", frames=2, height=1080)
    [still] = _stills(scan(tmp_path / "film.mp4"))
    assert still.shape == (252, 448, 3)
    assert np.abs(patch_colors(still) - PATCHES).max() <= 12


def test_a_scan_shows_the_cropped_picture(scan: Scan, tmp_path: Path) -> None:
    image = np.full((96, 160, 3), (255, 0, 255), np.uint8)
    image[24:72, 32:128] = 60
    write_video(tmp_path / "source.mkv", [image] * 3)
    mkv = (tmp_path / "source.mkv").read_bytes()
    (tmp_path / "film.mkv").write_bytes(with_pixel_crop(mkv, 32, 32, 24, 24, display=(192, 48)))
    scanned = scan(tmp_path / "film.mkv")
    [still] = _stills(scanned)
    assert still.shape == (48, 192, 3)
    assert np.abs(still[2:-2, 4:-4].astype(int) - 60).max() < 16
    assert read_thumbnails(scanned.signals)[0].mean() == pytest.approx(60, abs=3)


@pytest.mark.parametrize(
    ("second", "shape"), [((160, 96), (160, 96)), ((48, 80), (48, 80)), ((128, 160), (128, 160))]
)
def test_a_change_of_size_is_a_boundary(
    second: tuple[int, int], shape: tuple[int, int], scan: Scan, moving: Moving, tmp_path: Path
) -> None:
    """The second part shows the same view: only the size tells."""
    parts = [(moving(1, 20), ONE), (moving(1, 20, size=second), ONE)]
    write_parts(tmp_path / "film.ts", parts)
    scanned = scan(tmp_path / "film.ts")
    assert scanned.format_changes == (20,)
    assert [still.shape[:2] for still in _stills(scanned)] == [(96, 160)] * 2 + [shape] * 3
    assert _shots(tmp_path / "film.ts", scanned) == [(0, 20, 160, 96), (20, 40, *shape[::-1])]
    assert len(read_thumbnails(scanned.signals)[0]) == 40


def test_a_change_of_the_pixel_aspect_is_a_boundary(scan: Scan, moving: Moving, tmp_path: Path) -> None:
    images = list(moving(1, 40))
    write_parts(tmp_path / "film.ts", [(images[:20], Fraction(4, 5)), (images[20:], Fraction(16, 15))])
    scanned = scan(tmp_path / "film.ts")
    assert scanned.format_changes == (20,)
    assert [still.shape[:2] for still in _stills(scanned)] == [(96, 128)] * 2 + [(96, 171)] * 3
    assert _shots(tmp_path / "film.ts", scanned) == [(0, 20, 128, 96), (20, 40, 171, 96)]


def test_a_film_of_one_size_has_no_change(scan: Scan, moving: Moving, tmp_path: Path) -> None:
    write_parts(tmp_path / "film.ts", [(moving(1, 10), ONE), (moving(2, 10), ONE)])
    assert scan(tmp_path / "film.ts").format_changes == ()
