"""Shots: the cuts are PySceneDetect's, and the pieces cover the video without holes."""

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests import Artifact
from stages.ingest.probe_video import Header, ProbeVideo, Video
from stages.scan.scan_video import Scanned as Scan
from stages.shots.find_shots import FindShots, Scanned, Shot

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


def _shots(path: Path, scan: Callable[..., Scan], **settings: Any) -> list[Shot]:
    [header] = ProbeVideo().annotate([Video(uri=str(path))])
    assert isinstance(header, Header)
    scanned = scan(path, meters=("content",))
    row = Scanned(
        signals=scanned.signals,
        scanned_end_pts=scanned.scanned_end_pts,
        fps=header.fps,
        time_base_num=header.time_base_num,
        time_base_den=header.time_base_den,
    )
    return list(FindShots(**settings).expand(row))


def _same_as_pyscenedetect(path: Path, scan: Callable[..., Scan]) -> None:
    from scenedetect import AdaptiveDetector, detect

    ours = [shot.start_s for shot in _shots(path, scan, max_s=0.0)[1:]]
    theirs = [start.seconds for start, _ in detect(str(path), AdaptiveDetector())[1:]]
    assert ours == pytest.approx(theirs, abs=0.002)


@pytest.mark.parametrize("name", FILMS)
def test_real_films_are_cut_where_pyscenedetect_cuts(
    footage: Path, scan: Callable[..., Scan], name: str
) -> None:
    _same_as_pyscenedetect(footage / name, scan)


def test_drawn_films_are_cut_where_they_change(
    film: Callable[..., Path], scan: Callable[..., Scan], moving: Draw
) -> None:
    pictures = itertools.chain(
        *(moving(seed, n, size=(180, 320), step=(1, 0)) for seed, n in ((1, 30), (2, 40), (3, 25)))
    )
    path = film(pictures, fps=Fraction(30000, 1001))
    _same_as_pyscenedetect(path, scan)
    shots = _shots(path, scan)
    assert [(s.start_frame, s.end_frame) for s in shots] == [(0, 30), (30, 70), (70, 95)]
    assert [(s.start_pts, s.end_pts) for s in shots] == [(0, 30030), (30030, 70070), (70070, 95095)]
    assert shots[1].duration_s == pytest.approx(40 * 1001 / 30000)


def _row(
    stored: Callable[..., Artifact], length: int, cuts: tuple[int, ...] = (), step_ms: int = 40
) -> Scanned:
    change = np.full(length, 0.5)
    change[list(cuts)] = 60
    signals = stored(np.arange(length) * step_ms / 1000, delta_hue=change, delta_sat=change, delta_lum=change)
    return Scanned(
        signals=signals,
        scanned_end_pts=length * step_ms,
        fps=1000 / step_ms,
        time_base_num=1,
        time_base_den=1000,
    )


def test_long_shots_are_split_evenly_without_holes(stored: Callable[..., Artifact]) -> None:
    row = _row(stored, 4000, cuts=(1000,))  # 40 s and 120 s
    shots = list(FindShots(max_s=50).expand(row))
    assert [(s.shot, s.piece, s.pieces) for s in shots] == [(0, 0, 1), (1, 0, 3), (1, 1, 3), (1, 2, 3)]
    assert [s.duration_s for s in shots] == [40, 40, 40, 40]
    for one, two in itertools.pairwise(shots):
        assert (one.end_pts, one.end_frame, one.end_s) == (two.start_pts, two.start_frame, two.start_s)
    assert (shots[0].start_pts, shots[-1].end_pts) == (0, row.scanned_end_pts)
    assert sum(s.frames for s in shots) == 4000


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_a_video_without_a_cut_is_one_shot(stored: Callable[..., Artifact], length: int) -> None:
    [shot] = FindShots().expand(_row(stored, length))
    assert (shot.start_frame, shot.end_frame, shot.pieces) == (0, length, 1)
    assert shot.end_pts == length * 40


def test_exactly_the_longest_length_stays_whole(stored: Callable[..., Artifact]) -> None:
    row = _row(stored, 50)
    assert len(list(FindShots(max_s=2.0).expand(row))) == 1
    assert len(list(FindShots(max_s=1.99).expand(row))) == 2


def test_few_frames_are_not_split_finer_than_frames(stored: Callable[..., Artifact]) -> None:
    shots = list(FindShots(max_s=0.5).expand(_row(stored, 3, step_ms=1000)))
    assert [(s.start_frame, s.end_frame) for s in shots] == [(0, 1), (1, 2), (2, 3)]


def test_settings_decide(stored: Callable[..., Artifact]) -> None:
    row = _row(stored, 200, cuts=(50, 58, 120))
    starts = {n: [s.start_frame for s in FindShots(min_shot_frames=n).expand(row)] for n in (15, 5)}
    assert starts == {15: [0, 50, 120], 5: [0, 50, 58, 120]}
    assert len(list(FindShots(min_content=61.0).expand(row))) == 1
