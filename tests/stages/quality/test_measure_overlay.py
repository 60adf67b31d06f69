"""Logos and subtitles are detected by how they rest; without evidence, no overlay is reported."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import Reject
from stages.footage.draw import draw
from stages.footage.overlays import draw_logo, draw_subtitle
from stages.footage.truth import read_truth
from stages.quality.measure_overlay import Clip, MeasureOverlay, Overlay
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]
SIZE, FPS, COUNT = (180, 320), 12, 78
SPEECH = ("Where were you?", "At sea, all night.", "Then tell me again.")


def _logo(image: np.ndarray, k: int) -> None:
    draw_logo(image)


def _subtitle(image: np.ndarray, k: int) -> None:
    draw_subtitle(image, SPEECH[k * len(SPEECH) // COUNT])


def _badge(image: np.ndarray, k: int) -> None:
    cv2.circle(image, (30, 30), 14, (230, 120, 20), -1, cv2.LINE_AA)
    cv2.rectangle(image, (24, 26), (36, 34), (20, 40, 120), -1)


def _sign(image: np.ndarray, k: int) -> None:
    """Draw text in the scene, which moves as the camera does."""
    cv2.putText(image, "BAKERY", (260 - 3 * k, 100), cv2.FONT_HERSHEY_DUPLEX, 1, (250, 250, 250), 2)


def _notice(image: np.ndarray, k: int) -> None:
    """Draw text in the middle of a scene that rests."""
    cv2.putText(image, "BAKERY", (100, 90), cv2.FONT_HERSHEY_DUPLEX, 1, (250, 250, 250), 2)


OVERLAYS = {"logo": _logo, "subtitle": _subtitle, "badge": _badge, "sign": _sign, "notice": _notice}


@pytest.fixture
def measured(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> Callable[..., Overlay]:
    """Measure a camera that pans or rests, with an overlay or a sign."""

    def measure(over: str = "", *, pans: bool = True, size: tuple[int, int] = SIZE) -> Overlay:
        images = [p.copy() for p in moving(5, COUNT, size=SIZE, step=(3.0, 0.7) if pans else (0, 0))]
        for k, image in enumerate(images):
            if over:
                OVERLAYS[over](image, k)
        shown = [cv2.resize(p, size[::-1], interpolation=cv2.INTER_CUBIC) for p in images]
        [row] = MeasureOverlay().annotate([_clip(scan(film(shown, f"{over}{pans}{size}.mp4", FPS, crf=18)))])
        assert isinstance(row, Overlay)
        return row

    return measure


def _clip(scanned: ScannedVideo, start_s: float = 0.0, end_s: float = 1e9) -> Clip:
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return Clip(**stored, start_s=start_s, end_s=end_s)


def test_structure_that_rests_while_the_image_moves_is_an_overlay(measured: Callable[..., Overlay]) -> None:
    assert measured().overlay_share == 0
    for over in ("logo", "badge"):
        row = measured(over)
        assert 0.002 < row.logo_share < 0.05
        assert row.overlay_share == max(row.logo_share, row.subtitle_share)
        assert row.moving_area_share > 0.9


def test_a_subtitle_that_changes_is_found_whether_the_image_moves_or_not(
    measured: Callable[..., Overlay],
) -> None:
    assert 0.01 < measured("subtitle").subtitle_share < 0.15
    assert 0.01 < measured("subtitle", pans=False).subtitle_share < 0.15


def test_text_in_the_scene_is_no_overlay(measured: Callable[..., Overlay]) -> None:
    assert measured("sign").overlay_share == 0


@pytest.mark.parametrize(("seed", "parts"), [(2, 40), (3, 60), (0, 100)])
def test_a_subject_before_a_moving_background_is_no_overlay(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw, seed: int, parts: int
) -> None:
    rng, subject = np.random.default_rng(seed), np.full((200, 90, 3), 120, np.uint8)
    for _ in range(parts):
        color, (x, y) = rng.integers(20, 236, 3).tolist(), (int(rng.integers(0, n)) for n in (90, 200))
        axes, angle = (int(rng.integers(3, 20)), int(rng.integers(3, 14))), float(rng.uniform(0, 180))
        cv2.ellipse(subject, (x, y), axes, angle, 0, 360, color, -1, cv2.LINE_AA)
    shape = cv2.ellipse(np.zeros((200, 90), np.uint8), (45, 100), (43, 98), 0, 0, 360, 1, -1)
    images = [image.copy() for image in moving(seed + 9, 10, size=(252, 448), step=(48, 0))]
    for image in images:  # 2 per s; at 12 frames per s, the background moves by 8 px a frame
        image[42:242, 180:270][shape > 0] = subject[shape > 0]
    [row] = MeasureOverlay().annotate([_clip(scan(film(images, fps=2, crf=18), meters=()))])
    assert isinstance(row, Overlay)
    assert row.moving_area_share > 0.8
    assert row.overlay_share < 0.006


def test_a_mark_in_a_corner_of_a_static_image_is_found_as_text(measured: Callable[..., Overlay]) -> None:
    row = measured("logo", pans=False)
    assert row.logo_share > 0.006
    assert row.moving_area_share == 0
    assert measured(pans=False).overlay_share == 0
    assert measured("notice", pans=False).overlay_share == 0


def test_a_logo_over_several_static_shots_is_found(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    shots = [[p.copy() for p in moving(seed, 48, size=SIZE)] for seed in (1, 2, 3)]
    for has_logo in (True, False):
        for image in (image for shot in shots for image in shot if has_logo):
            _badge(image, 0)
        scanned = scan(film([image for shot in shots for image in shot], f"{has_logo}.mp4", FPS))
        shots = [[p.copy() for p in moving(seed, 48, size=SIZE)] for seed in (1, 2, 3)]
        for start_s in (0.0, 4.0, 8.0):
            clip = _clip(scanned, start_s, start_s + 4)
            [together], [alone] = (
                MeasureOverlay(max_other_stills=n, text_px=0).annotate([clip]) for n in (8, 0)
            )
            assert isinstance(together, Overlay)
            assert (together.logo_share > 0.002) is has_logo
            assert isinstance(alone, Overlay)
            assert alone.logo_share == 0


def test_the_size_of_the_video_matters_little(measured: Callable[..., Overlay]) -> None:
    large = measured("logo", size=(540, 960))
    assert 0.5 < large.logo_share / measured("logo").logo_share < 2


def test_black_bars_are_no_overlay(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    boxed = [
        cv2.copyMakeBorder(p, 0, 0, 40, 40, cv2.BORDER_CONSTANT)
        for p in moving(6, COUNT, size=(180, 240), step=(3, 1))
    ]
    [row] = MeasureOverlay().annotate([_clip(scan(film(boxed, fps=FPS)))])
    assert isinstance(row, Overlay)
    assert row.overlay_share == 0


def test_a_long_clip_is_sampled_in_stretches_and_a_short_one_rejected(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    images = [p.copy() for p in moving(7, 150, size=(90, 160), step=(1.5, 0))]
    for image in images:
        _badge(image, 0)
    scanned = scan(film(images, fps=6))
    rows: Sequence[Clip] = [_clip(scanned), _clip(scanned, 0, 0.9)]
    whole, reject = MeasureOverlay(max_stills=16).annotate(rows)
    assert isinstance(whole, Overlay)
    assert whole.logo_share > 0.002
    assert isinstance(reject, Reject)
    assert "too short" in str(reject)


def test_a_clip_too_small_for_corners_is_rejected(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    for size, rejected in (((16, 160), True), ((48, 64), False)):
        scanned = scan(film(moving(8, 36, size=size, step=(2, 0)), f"{size}.mp4", 12))
        [row] = MeasureOverlay().annotate([_clip(scanned)])
        assert isinstance(row, Reject) is rejected


@pytest.mark.slow
def test_the_subtitles_and_the_logo_of_the_demo_are_found(
    tmp_path: Path, scan: Callable[..., ScannedVideo]
) -> None:
    [path] = draw(tmp_path / "demo", films=["words"], processes=1)
    truth = read_truth(tmp_path / "demo")[path.name]
    scanned = scan(path, meters=())
    spans = [(shot.start / 25, shot.end / 25) for shot in truth.shots]
    subtitled, branded = MeasureOverlay().annotate([_clip(scanned, *span) for span in spans])
    assert isinstance(subtitled, Overlay)
    assert isinstance(branded, Overlay)
    assert subtitled.subtitle_share > 0.005
    assert branded.logo_share > 0.005
