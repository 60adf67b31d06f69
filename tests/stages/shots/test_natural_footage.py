"""What real footage shows and is no boundary, and cuts that are easily missed, on short encoded videos."""

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stages.scan.scan_video import ScannedVideo as Scan
from stages.shots.boundary import Boundary, select_boundaries
from stages.shots.score_boundaries import ScannedVideo, ScoreBoundaries

Frames = list[np.ndarray]
Find = Callable[[Frames], list[Boundary]]
WIDTH, HEIGHT, FRAMES = 160, 96, 90


def texture(seed: int, width: int = WIDTH) -> np.ndarray:
    """Return blobs of several sizes and colors, uint8 BGR."""
    rng = np.random.default_rng(seed)
    total = np.zeros((HEIGHT, width, 3))
    for cells in (4, 12, 36):
        grid = rng.normal(0, 1, (cells * HEIGHT // WIDTH + 2, cells * width // WIDTH + 2, 3))
        total += cv2.resize(grid, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(total * 35 + 120, 0, 255).astype(np.uint8)


def pan(seed: int, step: int = 2, held: int = 1) -> Frames:
    wide = texture(seed, WIDTH + step * FRAMES)
    return [wide[:, x : x + WIDTH] for x in (k // held * held * step for k in range(FRAMES))]


def held_pan() -> Frames:
    return pan(3, step=3, held=6)


def fast_pan() -> Frames:
    return pan(4, step=9)


def turning_hue() -> Frames:
    hsv = cv2.cvtColor(texture(5), cv2.COLOR_BGR2HSV)
    hsv[..., 1] = np.maximum(hsv[..., 1], 110)
    turned = [np.dstack([(hsv[..., 0] + 2 * k) % 180, hsv[..., 1:]]) for k in range(FRAMES)]
    return [cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_HSV2BGR) for image in turned]


def light_switched_on() -> Frames:
    image = texture(6)
    return [cv2.convertScaleAbs(image, alpha=0.45 if k < 45 else 1.0) for k in range(FRAMES)]


def box_pops_in() -> Frames:
    frames = [frame.copy() for frame in pan(7, step=1)]
    for frame in frames[45:]:
        frame[-16:] = 20, 20, 200
    return frames


def inset_pops_in() -> Frames:
    frames = [frame.copy() for frame in pan(8, step=1)]
    for frame in frames[45:]:
        frame[50:90, 10:70] = texture(9)[:40, :60]
    return frames


def near_object_crosses_a_pan() -> Frames:
    frames = [frame.copy() for frame in pan(10, step=1)]
    thing = cv2.convertScaleAbs(texture(11), alpha=0.6)
    for k, frame in enumerate(frames):
        x = -WIDTH + 2 * WIDTH * (k - 40) // 18  # within 18 frames, from the left edge to the right one
        first, last = max(0, x), min(WIDTH, x + WIDTH)
        if first < last:
            frame[6:, first:last] = thing[6:, first - x : last - x]
    return frames


def mixed_cut(mixed: int) -> Frames:
    """Return a bright and a dark pan joined by a cut through mixed frames; the first of them is frame 45."""
    one, two = pan(12), [cv2.convertScaleAbs(frame, alpha=0.4) for frame in pan(13)]
    frames = one[:45] + two[45:]
    for k in range(mixed):
        frames[45 + k] = cv2.addWeighted(
            one[45 + k], 1 - (k + 1) / (mixed + 1), two[45 + k], (k + 1) / (mixed + 1), 0
        )
    return frames


def slides(kind: str) -> Frames:
    """Return five still images of 18 frames each: textures, or plain pages with a number."""
    pages = [texture(20 + number) for number in range(5)]
    if kind == "pages":
        colors = [(40, 160, 30), (200, 60, 30), (40, 200, 220), (30, 30, 200), (235, 235, 235)]
        pages = [np.full((HEIGHT, WIDTH, 3), color, np.uint8) for color in colors]
        for number, page in enumerate(pages):
            cv2.putText(page, str(number * 37), (30, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 3)
    return [page for page in pages for _ in range(18)]


def boundaries(path: Path, scan: Callable[..., Scan]) -> list[Boundary]:
    """Return the boundaries of the fast detector at the default score."""
    scanned = scan(path)
    row = ScannedVideo(
        signals=scanned.signals,
        scanned_frames=scanned.scanned_frames,
        scanned_end_pts=scanned.scanned_end_pts,
    )
    [scored] = ScoreBoundaries().annotate([row])
    columns = scored.boundary_starts, scored.boundary_ends, scored.boundary_kinds, scored.boundary_scores
    return select_boundaries([Boundary(*values) for values in zip(*columns, strict=True)], 0.5, 0.5)


@pytest.fixture
def find(tmp_path: Path, scan: Callable[..., Scan]) -> Find:
    """Encode frames, and return the boundaries of the video."""

    def run(frames: Frames) -> list[Boundary]:
        path = tmp_path / "video.mp4"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("libx264", rate=25, options={"crf": "26", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for image in frames:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")))
            output.mux(stream.encode())
        return boundaries(path, scan)

    return run


@pytest.mark.parametrize(
    "shot",
    [
        held_pan,
        fast_pan,
        turning_hue,
        light_switched_on,
        box_pops_in,
        inset_pops_in,
        near_object_crosses_a_pan,
    ],
)
def test_one_shot_has_no_boundary(find: Find, shot: Callable[[], Frames]) -> None:
    assert find(shot()) == []


@pytest.mark.parametrize("mixed", [0, 1, 2, 3])
def test_a_cut_through_mixed_frames_is_found(find: Find, mixed: int) -> None:
    [boundary] = find(mixed_cut(mixed))
    assert abs((boundary.start + boundary.end) / 2 - 45 - mixed / 2) <= 2


@pytest.mark.parametrize("kind", ["textures", "pages"])
def test_a_still_image_that_is_replaced_ends_a_shot(find: Find, kind: str) -> None:
    assert [(place.start, place.kind) for place in find(slides(kind))] == [
        (18, "cut"), (36, "cut"), (54, "cut"), (72, "cut"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "cuts"), [("panda__GH7Jlmx3riU.98.mp4", []), ("panda__vsMjj2Pu9TM.99.mp4", [185])]
)
def test_real_films(footage: Path, scan: Callable[..., Scan], name: str, cuts: list[int]) -> None:
    path = footage / "natural_more" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    assert [place.start for place in boundaries(path, scan)] == cuts
