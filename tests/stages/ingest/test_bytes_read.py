"""Test of the bytes that listing, probe, scan and cut read of a film on an HTTP server."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import serve

from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.media.decoding.video import open_video
from stages.media.remote.addresses import mark_private
from stages.scan.scan_video import ListedVideo, ScanVideo
from stages.shards.cut_clip import CutClip, KeptClip


def _noise(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 255, (180, 320, 3), np.uint8)


def test_a_film_is_read_once_by_the_scan_and_in_part_by_the_cut(
    film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = film(_noise(60), "noise.mkv", crf=20)
    size = path.stat().st_size
    shares: dict[str, float] = {}
    with serve({"/noise.mkv": path.read_bytes()}) as server:
        url, read = mark_private(f"{server.url}/noise.mkv"), 0

        def count(step: str, answers: Any) -> Any:
            nonlocal read
            [answer] = answers
            assert not isinstance(answer, Exception), answer
            shares[step], read = (server.sent_bytes - read) / size, server.sent_bytes
            return answer

        row = count("list", ListVideos(root=url).rows())
        count("probe", ProbeVideo().annotate([row]))
        scanned = count("scan", ScanVideo(meters=("light",)).annotate([ListedVideo(uri=url)]))
        with open_video(str(path)) as video:
            pts = [frame.pts for frame in video.frames()][:20]
        known = {**_values(row), **_values(scanned)}
        span = {"start_pts": 0, "end_pts": pts[10], "start_frame": 0, "end_frame": 10}
        clip = KeptClip(**{n: v for n, v in {**known, **span}.items() if n in KeptClip.names()})
        for step in ("first cut", "second cut"):
            count(step, CutClip(preset="ultrafast").annotate([clip]))
    print(f"\n{size:,} bytes", *(f"{step}: {share:.2f}" for step, share in shares.items()), sep="\n")
    assert shares["list"] < 1.1 * (1 << 20) / size
    assert shares["probe"] < 0.2
    assert shares["scan"] < 1.3
    assert shares["second cut"] < 0.6


def _values(row: Any) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}
