"""How exactly is the picture inside borders found? Borders of known size, drawn around real clips.

    python -m benchmarks.borders CLIP … [--frames N]

Each clip is also measured as it is, without drawn borders: give clips that have none. IoU is the overlap of
the found and the true rectangle of the picture, divided by the area of both together. `outside` counts crops
that keep a line of the border. The clips are encoded by x264 and measured like any video.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.workloads.printing import table, write_json
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.quality.measure_borders import Borders, Clip, MeasureBorders
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

FPS = 12
Rect = tuple[int, int, int, int]  # x, y, width, height in px
# name: size of the film, aspect ratio of the picture, whether the bars are a blurred copy of the picture
KINDS: dict[str, tuple[int, int, float, bool]] = {
    "black, top and bottom": (1280, 720, 2.35, False),
    "black, left and right": (1280, 720, 4 / 3, False),
    "black, top and bottom, 360p": (640, 360, 2.35, False),
    "blurred, left and right, 9:16": (1280, 720, 9 / 16, True),
    "blurred, left and right, 4:3": (854, 480, 4 / 3, True),
    "blurred, top and bottom": (540, 960, 16 / 9, True),
}


def measure(film: Path) -> Borders:
    """Measure the borders of a film that is one clip."""
    [scanned] = ScanVideo(meters=("borders",)).annotate([ListedVideo(uri=str(film))])
    assert isinstance(scanned, ScannedVideo), scanned
    with open_video(str(film)) as video:
        width, height = next(iter(video.frames())).display_size
    clip = Clip(
        signals=scanned.signals,
        strip=scanned.strip,
        strip_times_s=scanned.strip_times_s,
        strip_offsets=scanned.strip_offsets,
        start_frame=0,
        end_frame=scanned.scanned_frames,
        start_s=0.0,
        end_s=scanned.scanned_s,
        width_px=width,
        height_px=height,
    )
    [found] = MeasureBorders().annotate([clip])
    for artifact in (scanned.signals, scanned.strip):
        if artifact.file is not None:
            artifact.file.unlink()
    assert isinstance(found, Borders), found
    return found


def read_frames(film: Path, limit: int) -> list[np.ndarray]:
    """Read every second frame of a film, at most `limit`."""
    found: list[np.ndarray] = []
    with open_video(str(film)) as video:
        for number, frame in enumerate(video.frames()):
            if number % 2 == 0 and len(found) < limit:
                found.append(frame.pixels())
    return found


def fill(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize an image so that it covers a size, and crop its center."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    large = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    x, y = (large.shape[1] - width) // 2, (large.shape[0] - height) // 2
    return large[y : y + height, x : x + width]


def draw_borders(frames: Sequence[np.ndarray], kind: str) -> tuple[list[np.ndarray], Rect]:
    """Draw borders around frames. Returns the films' frames and the rectangle of the picture."""
    width, height, aspect, is_blurred = KINDS[kind]
    inner_width = min(width, int(height * aspect) // 2 * 2)
    inner_height = min(height, int(width / aspect) // 2 * 2)
    x, y = (width - inner_width) // 2, (height - inner_height) // 2
    drawn = []
    for frame in frames:
        picture = fill(frame, inner_width, inner_height)
        film = np.zeros((height, width, 3), np.uint8)
        if is_blurred:
            film = cv2.GaussianBlur(fill(picture, width, height), (0, 0), width * 0.025).astype(np.uint8)
        film[y : y + inner_height, x : x + inner_width] = picture
        drawn.append(film)
    return drawn, (x, y, inner_width, inner_height)


def overlap(a: Rect, b: Rect) -> float:
    """Return the intersection over the union of two rectangles."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def measure_kind(kind: str, clips: dict[str, list[np.ndarray]], work: Path) -> dict[str, object]:
    """Measure all clips with drawn borders of one kind."""
    overlaps, outside = [], 0
    for frames in clips.values():
        film, truth = draw_borders(frames, kind)
        write_mp4(work / "film.mp4", film, FPS, preset="ultrafast", crf=23)
        found = measure(work / "film.mp4")
        if found.border_kind != "none":
            crop = found.crop_x_px, found.crop_y_px, found.crop_width_px, found.crop_height_px
            overlaps.append(overlap(crop, truth))
            right, bottom = truth[0] + truth[2], truth[1] + truth[3]
            is_inside = crop[0] >= truth[0] and crop[1] >= truth[1]
            outside += not (is_inside and crop[0] + crop[2] <= right and crop[1] + crop[3] <= bottom)
    return {
        "borders": kind,
        "clips": len(clips),
        "found": len(overlaps),
        "median IoU": round(median(overlaps), 3) if overlaps else None,
        "lowest IoU": round(min(overlaps), 3) if overlaps else None,
        "outside": outside,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=24, help="frames of each clip that are used")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        clips = {path.name: read_frames(path, args.frames) for path in args.clips}
        rows = [measure_kind(kind, clips, Path(folder)) for kind in KINDS]
        plain = {path.name: measure(path).border_kind for path in args.clips}
    cropped = sorted(name for name, kind in plain.items() if kind != "none")
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    print(f"clips without drawn borders: {len(plain)}, cropped: {len(cropped)} {' '.join(cropped)}")
    write_json(args.json, {"kinds": rows, "without_borders": len(plain), "cropped": cropped})


if __name__ == "__main__":
    main()
