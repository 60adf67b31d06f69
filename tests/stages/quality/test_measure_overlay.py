"""Marks and lines of speech are told by how they stay; where nothing tells them, none is claimed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import Reject
from stages.footage.draw import draw
from stages.footage.truth import read_truth
from stages.footage.words import letters, mark
from stages.quality.measure_overlay import Clip, MeasureOverlay, Overlay
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]
SIZE, FPS, COUNT = (180, 320), 12, 78
SPEECH = ("Where were you?", "At sea, all night.", "Then tell me again.")


def _marked(picture: np.ndarray, k: int) -> None:
    mark(picture)


def _written(picture: np.ndarray, k: int) -> None:
    letters(picture, SPEECH[k * len(SPEECH) // COUNT])


def _badged(picture: np.ndarray, k: int) -> None:
    cv2.circle(picture, (30, 30), 14, (230, 120, 20), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (24, 26), (36, 34), (20, 40, 120), -1)


def _painted_on_the_world(picture: np.ndarray, k: int) -> None:
    """Writing in the scene: it moves on as the camera does."""
    cv2.putText(picture, "BAKERY", (260 - 3 * k, 100), cv2.FONT_HERSHEY_DUPLEX, 1, (250, 250, 250), 2)


OVER = {"mark": _marked, "line": _written, "badge": _badged, "sign": _painted_on_the_world}


@pytest.fixture
def measured(film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw) -> Callable[..., Overlay]:
    """Measure a camera that pans or rests, with something over the picture."""

    def measure(over: str = "", *, pans: bool = True, size: tuple[int, int] = SIZE) -> Overlay:
        pictures = [p.copy() for p in moving(5, COUNT, size=SIZE, step=(3.0, 0.7) if pans else (0, 0))]
        for k, picture in enumerate(pictures):
            if over:
                OVER[over](picture, k)
        shown = [cv2.resize(p, size[::-1], interpolation=cv2.INTER_CUBIC) for p in pictures]
        [said] = MeasureOverlay().annotate([_clip(scan(film(shown, f"{over}{pans}{size}.mp4", FPS, crf=18)))])
        assert isinstance(said, Overlay)
        return said

    return measure


def _clip(scanned: Scanned, start_s: float = 0.0, end_s: float = 1e9) -> Clip:
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return Clip(**stored, start_s=start_s, end_s=end_s)


def test_what_stays_while_the_picture_moves_is_an_overlay(measured: Callable[..., Overlay]) -> None:
    assert measured().overlay_share == 0
    for over in ("mark", "badge"):
        said = measured(over)
        assert 0.002 < said.logo_share < 0.05
        assert said.overlay_share == max(said.logo_share, said.subtitle_share)
        assert said.overlay_moved_share > 0.9


def test_a_line_that_changes_its_words_is_told_whether_the_picture_moves_or_not(
    measured: Callable[..., Overlay],
) -> None:
    assert 0.01 < measured("line").subtitle_share < 0.15
    assert 0.01 < measured("line", pans=False).subtitle_share < 0.15


def test_writing_in_the_scene_is_none(measured: Callable[..., Overlay]) -> None:
    assert measured("sign").overlay_share == 0


def test_a_mark_on_a_picture_that_rests_is_not_claimed(measured: Callable[..., Overlay]) -> None:
    said = measured("mark", pans=False)
    assert said.overlay_share == 0
    assert said.overlay_moved_share == 0


def test_a_mark_that_stands_through_several_shots_is_told_where_they_rest(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    shots = [[p.copy() for p in moving(seed, 48, size=SIZE)] for seed in (1, 2, 3)]
    for marked in (True, False):
        for picture in (picture for shot in shots for picture in shot if marked):
            _badged(picture, 0)
        scanned = scan(film([picture for shot in shots for picture in shot], f"{marked}.mp4", FPS))
        shots = [[p.copy() for p in moving(seed, 48, size=SIZE)] for seed in (1, 2, 3)]
        for start_s in (0.0, 4.0, 8.0):
            row = _clip(scanned, start_s, start_s + 4)
            [together], [alone] = (MeasureOverlay(others=n).annotate([row]) for n in (8, 0))
            assert isinstance(together, Overlay)
            assert (together.logo_share > 0.002) is marked
            assert isinstance(alone, Overlay)
            assert alone.logo_share == 0


def test_the_size_of_the_video_matters_little(measured: Callable[..., Overlay]) -> None:
    large = measured("mark", size=(540, 960))
    assert 0.5 < large.logo_share / measured("mark").logo_share < 2


def test_bars_beside_the_picture_are_none(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    boxed = [
        cv2.copyMakeBorder(p, 0, 0, 40, 40, cv2.BORDER_CONSTANT)
        for p in moving(6, COUNT, size=(180, 240), step=(3, 1))
    ]
    [said] = MeasureOverlay().annotate([_clip(scan(film(boxed, fps=FPS)))])
    assert isinstance(said, Overlay)
    assert said.overlay_share == 0


def test_a_long_clip_is_looked_at_in_stretches_and_a_short_one_rejected(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    pictures = [p.copy() for p in moving(7, 150, size=(90, 160), step=(1.5, 0))]
    for picture in pictures:
        _badged(picture, 0)
    scanned = scan(film(pictures, fps=6))
    rows: Sequence[Clip] = [_clip(scanned), _clip(scanned, 0, 0.9)]
    whole, none = MeasureOverlay(most_stills=16).annotate(rows)
    assert isinstance(whole, Overlay)
    assert whole.logo_share > 0.002
    assert isinstance(none, Reject)
    assert "too short" in str(none)


def test_a_clip_too_small_to_show_corners_is_rejected(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    for size, rejected in (((16, 160), True), ((48, 64), False)):
        scanned = scan(film(moving(8, 36, size=size, step=(2, 0)), f"{size}.mp4", 12))
        [said] = MeasureOverlay().annotate([_clip(scanned)])
        assert isinstance(said, Reject) is rejected


@pytest.mark.slow
def test_the_lines_and_the_mark_of_the_demo_are_found(tmp_path: Path, scan: Callable[..., Scanned]) -> None:
    [path] = draw(tmp_path / "demo", films=["words"], processes=1)
    truth = read_truth(tmp_path / "demo")[path.name]
    scanned = scan(path, meters=())
    spans = [(shot.start / 25, shot.end / 25) for shot in truth.shots]
    lined, marked = MeasureOverlay().annotate([_clip(scanned, *span) for span in spans])
    assert isinstance(lined, Overlay)
    assert isinstance(marked, Overlay)
    assert lined.subtitle_share > 0.005
    assert marked.logo_share > 0.005
