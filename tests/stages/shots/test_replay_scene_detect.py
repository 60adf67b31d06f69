"""Replayed detectors cut where PySceneDetect itself cuts."""

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests import Artifact, ClipmillError
from stages.ingest.probe_video import Header, ProbeVideo, Video
from stages.scan.scan_video import ScannedVideo as Scan
from stages.shots.replay_scene_detect import ReplaySceneDetect, ScannedVideo
from stages.shots.shot import Shot

Draw = Callable[..., Iterator[np.ndarray]]
FILMS = [
    "natural/psd__goldeneye-vfr-drop3.mp4",
    "natural/psd__issue-134-rotate.mp4",
    "natural/psd__issue-195-aspect-ratio.mp4",
    "natural/simpl__smaller.webm",
    "natural/torchcodec__nasa_13013.mp4",
    "odd/psd__delayed_start.mp4",
    "odd/psd__fades.mp4",
]


DETECTORS = {
    "adaptive": "AdaptiveDetector",
    "content": "ContentDetector",
    "hash": "HashDetector",
    "histogram": "HistogramDetector",
    "threshold": "ThresholdDetector",
}


def _scanned(path: Path, scan: Callable[..., Scan]) -> ScannedVideo:
    [header] = ProbeVideo().annotate([Video(uri=str(path))])
    assert isinstance(header, Header)
    scanned = scan(path, meters=("content", "light", "hash", "histogram"))
    return ScannedVideo(
        signals=scanned.signals,
        scanned_end_pts=scanned.scanned_end_pts,
        fps=header.fps,
        time_base_num=header.time_base_num,
        time_base_den=header.time_base_den,
        video_width_px=header.video_width_px,
        video_height_px=header.video_height_px,
    )


def _shots(row: ScannedVideo, **settings: Any) -> list[Shot]:
    return list(ReplaySceneDetect(**settings).expand(row))


def _cuts_checked_against_pyscenedetect(path: Path, row: ScannedVideo, *names: str) -> list[list[float]]:
    import scenedetect

    cuts = []
    for name in names:
        cuts.append([shot.start_s for shot in _shots(row, detector=name, max_duration_s=0.0)[1:]])
        manager = scenedetect.SceneManager()
        manager.add_detector(getattr(scenedetect, DETECTORS[name])())
        video = scenedetect.open_video(str(path), backend="pyav")  # OpenCV decodes other colors
        manager.detect_scenes(video)
        expected = [start.seconds for start, _ in manager.get_scene_list()[1:]]
        assert cuts[-1] == pytest.approx(expected, abs=0.002), name
    return cuts


@pytest.mark.parametrize("name", FILMS)
def test_real_videos_are_cut_where_pyscenedetect_cuts(
    footage: Path, scan: Callable[..., Scan], name: str
) -> None:
    _cuts_checked_against_pyscenedetect(footage / name, _scanned(footage / name, scan), *DETECTORS)


def test_synthetic_videos_are_cut_where_they_change(
    film: Callable[..., Path], scan: Callable[..., Scan], moving: Draw
) -> None:
    images = itertools.chain(
        *(moving(seed, n, size=(180, 320), step=(1, 0)) for seed, n in ((1, 30), (2, 40), (3, 25)))
    )
    path = film(images, fps=Fraction(30000, 1001))
    row = _scanned(path, scan)
    *all_cuts, _ = _cuts_checked_against_pyscenedetect(path, row, "adaptive", "content", "hash", "histogram")
    assert [len(cuts) for cuts in all_cuts] == [2, 2, 2]
    shots = _shots(row)
    assert [(s.start_frame, s.end_frame) for s in shots] == [(0, 30), (30, 70), (70, 95)]
    assert [(s.start_pts, s.end_pts) for s in shots] == [(0, 30030), (30030, 70070), (70070, 95095)]
    assert shots[1].duration_s == pytest.approx(40 * 1001 / 30000)


def _row(
    stored: Callable[..., Artifact], length: int, cuts: tuple[int, ...] = (), step_ms: int = 40
) -> ScannedVideo:
    change = np.full(length, 0.5)
    change[list(cuts)] = 60
    signals = stored(np.arange(length) * step_ms / 1000, delta_hue=change, delta_sat=change, delta_lum=change)
    return ScannedVideo(
        signals=signals,
        scanned_end_pts=length * step_ms,
        fps=1000 / step_ms,
        time_base_num=1,
        time_base_den=1000,
        video_width_px=64,
        video_height_px=48,
    )


def test_fades_are_cut_in_the_middle(
    film: Callable[..., Path], scan: Callable[..., Scan], moving: Draw
) -> None:
    bright = list(moving(1, 90, size=(180, 320), step=(1, 0)))
    light = np.concatenate(
        [np.ones(30), np.linspace(1, 0, 12), np.zeros(6), np.linspace(0, 1, 12), np.ones(30)]
    )
    path = film((p * share).astype(np.uint8) for p, share in zip(bright, light, strict=True))
    [[cut]] = _cuts_checked_against_pyscenedetect(path, _scanned(path, scan), "threshold")
    assert cut == pytest.approx(45 / 24, abs=2 / 24)


def test_an_unknown_detector_suggests_the_nearest() -> None:
    with pytest.raises(ClipmillError, match="adaptiv") as error:
        ReplaySceneDetect(detector="adaptiv")
    assert "'adaptive'" in error.value.remedy


def test_settings_change_the_cuts(stored: Callable[..., Artifact]) -> None:
    row = _row(stored, 200, cuts=(50, 58, 120))
    starts = {n: [s.start_frame for s in ReplaySceneDetect(min_scene_len=n).expand(row)] for n in (15, 5)}
    assert starts == {15: [0, 50, 120], 5: [0, 50, 58, 120]}
    assert len(list(ReplaySceneDetect(min_content_val=61.0).expand(row))) == 1
