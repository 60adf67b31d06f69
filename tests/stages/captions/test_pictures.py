"""The pictures of a window: the source's show what the strip's show, of real films, upright and in order."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from manifests.stores.folder import FolderStore
from stages.captions.caption_clip import Shown
from stages.captions.pictures import Look, pictures_of
from stages.captions.windows import Window
from stages.ingest.probe_video import ProbeVideo, Video
from stages.media.signals import read_signals
from stages.scan.scan_video import Listed, ScanVideo

REAL = (
    "odd/decord__video_90.mov",
    "odd/tfio__cradle.gif",
    "odd/psd__delayed_start.mp4",
    "odd/mdnie__flower.webm",
)


def scanned(path: Path, store: FolderStore, still_px: int) -> tuple[Shown, Window]:
    """A whole film as one clip, and as one window."""
    [head] = ProbeVideo().annotate([Video(uri=str(path))])
    [row] = ScanVideo(meters=(), still_px=still_px).annotate([Listed(uri=str(path))])
    row = replace(row, strip=row.strip.stored(store, "scan"), signals=row.signals.stored(store, "scan"))
    first = int(read_signals(row.signals, ["pts"])["pts"][0])
    window = Window(0, row.scanned_frames, first, row.scanned_end_pts, 0.0, row.scanned_s)
    clip = Shown(
        uri=str(path),
        width_px=head.width_px,
        height_px=head.height_px,
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
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(picture, (24, 24), interpolation=cv2.INTER_AREA).astype(float)


@pytest.mark.parametrize("name", REAL)
def test_the_source_shows_what_the_strip_shows(footage: Path, tmp_path: Path, name: str) -> None:
    store, look = FolderStore(tmp_path / "s"), Look(fps=2.0, px=320, most=8)
    large, window = scanned(footage / name, store, 320)
    tiny, _ = scanned(footage / name, store, 48)
    of_strip, of_source = pictures_of(large, window, look), pictures_of(tiny, window, look)
    assert set(of_strip) & {large.strip.read_range(a, b - a) for a, b in spans(large)}
    assert 1 <= len(of_source) == len(of_strip) <= 8
    shapes = [
        cv2.imdecode(np.frombuffer(j, np.uint8), cv2.IMREAD_COLOR).shape for j in (*of_strip, *of_source)
    ]
    assert np.ptp(np.array(shapes), axis=0).max() <= 2  # sides are rounded
    unlike = np.array([[np.abs(small(a) - small(b)).mean() for b in of_strip] for a in of_source])
    nearest = unlike.argmin(axis=1)
    assert np.abs(nearest - np.arange(len(nearest))).max() <= 1
    assert unlike.min(axis=1).max() < 12


def spans(row: Shown) -> list[tuple[int, int]]:
    """Where each still begins and ends in the strip."""
    return list(zip(row.strip_offsets, [*row.strip_offsets[1:], row.strip.size_bytes], strict=True))
