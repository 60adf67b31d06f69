"""Images of a window: source and strip of real films show the same, upright and in order."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from manifests.stores.folder import FolderStore
from stages.captions.caption_clip import ScannedClip
from stages.captions.requests.images import ImageSampling, window_images
from stages.captions.requests.windows import Window
from stages.ingest.probe_video import ProbeVideo, Video
from stages.media.signals import read_signals
from stages.scan.scan_video import ListedVideo, ScanVideo

REAL = (
    "odd/decord__video_90.mov",
    "odd/tfio__cradle.gif",
    "odd/psd__delayed_start.mp4",
    "odd/mdnie__flower.webm",
)


def scan_film(path: Path, store: FolderStore, still_px: int) -> tuple[ScannedClip, Window]:
    """Scan a film; return it as one clip and as one window."""
    [head] = ProbeVideo().annotate([Video(uri=str(path))])
    [row] = ScanVideo(meters=(), still_px=still_px).annotate([ListedVideo(uri=str(path))])
    row = replace(row, strip=row.strip.save(store, "scan"), signals=row.signals.save(store, "scan"))
    first = int(read_signals(row.signals, ["pts"])["pts"][0])
    window = Window(0, row.scanned_frames, first, row.scanned_end_pts, 0.0, row.scanned_s)
    clip = ScannedClip(
        uri=str(path),
        width_px=head.video_width_px,
        height_px=head.video_height_px,
        fps=head.fps,
        signals=row.signals,
        strip=row.strip,
        strip_times_s=row.strip_times_s,
        strip_offsets=row.strip_offsets,
        start_frame=0,
        end_frame=row.scanned_frames,
        start_pts=first,
        end_pts=row.scanned_end_pts,
        start_s=0.0,
        end_s=row.scanned_s,
    )
    return clip, window


def small(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).astype(float)


@pytest.mark.parametrize("name", REAL)
def test_the_source_shows_what_the_strip_shows(footage: Path, tmp_path: Path, name: str) -> None:
    store, sampling = FolderStore(tmp_path / "s"), ImageSampling(fps=2.0, longer_side_px=320, max_images=8)
    large, window = scan_film(footage / name, store, 320)
    tiny, _ = scan_film(footage / name, store, 48)
    from_strip, from_source = window_images(large, window, sampling), window_images(tiny, window, sampling)
    assert set(from_strip) & {large.strip.read_range(a, b - a) for a, b in spans(large)}
    assert 1 <= len(from_source) == len(from_strip) <= 8
    shapes = [
        cv2.imdecode(np.frombuffer(j, np.uint8), cv2.IMREAD_COLOR).shape for j in (*from_strip, *from_source)
    ]
    assert np.ptp(np.array(shapes), axis=0).max() <= 2  # sides are rounded
    difference = np.array([[np.abs(small(a) - small(b)).mean() for b in from_strip] for a in from_source])
    nearest = difference.argmin(axis=1)
    assert np.abs(nearest - np.arange(len(nearest))).max() <= 1
    assert difference.min(axis=1).max() < 12


def spans(row: ScannedClip) -> list[tuple[int, int]]:
    """Return start and end of each still in the strip, in bytes."""
    return list(zip(row.strip_offsets, [*row.strip_offsets[1:], row.strip.size_bytes], strict=True))
