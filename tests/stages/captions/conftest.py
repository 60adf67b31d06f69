"""Clips to caption: rows as earlier steps give them, of films that are drawn and scanned."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numbered_frames import numbered_frames

from manifests.stores.folder import FolderStore
from stages.captions.caption_clip import ScannedClip
from stages.media.encoding.arrays import write_mp4
from stages.media.signals import read_signals
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

SIZE = {"width": 160, "height": 90}


@pytest.fixture
def clips(tmp_path: Path) -> Callable[..., list[ScannedClip]]:
    """Write a film of numbers, scan it, and split it into clips of `per_clip` numbers each."""

    def make(
        numbers: Sequence[int],
        frames_each: int = 8,
        per_clip: int = 1,
        fps: int = 8,
        *,
        size: dict[str, int] = SIZE,
        **scan: Any,
    ) -> list[ScannedClip]:
        path = tmp_path / f"film-{len(list(tmp_path.iterdir()))}.mp4"
        write_mp4(path, numbered_frames(numbers, frames_each, **size), fps, crf=12, preset="ultrafast")
        [row] = ScanVideo(meters=(), **scan).annotate([ListedVideo(uri=str(path))])
        assert isinstance(row, ScannedVideo), row
        store = FolderStore(tmp_path / "store")
        row = replace(row, strip=row.strip.save(store, "scan"), signals=row.signals.save(store, "scan"))
        times = read_signals(row.signals, ["pts", "time_s"])
        pts, times_s = [*times["pts"], row.scanned_end_pts], [*times["time_s"], row.scanned_s]
        found = []
        for start in range(0, row.scanned_frames, frames_each * per_clip):
            end = min(start + frames_each * per_clip, row.scanned_frames)
            found.append(
                ScannedClip(
                    uri=str(path),
                    width_px=size["width"],
                    height_px=size["height"],
                    fps=float(fps),
                    signals=row.signals,
                    strip=row.strip,
                    strip_times_s=row.strip_times_s,
                    strip_offsets=row.strip_offsets,
                    start_frame=start,
                    end_frame=end,
                    start_pts=int(pts[start]),
                    end_pts=int(pts[end]),
                    start_s=float(times_s[start]),
                    end_s=float(times_s[end]),
                )
            )
        return found

    return make
