"""Clips hold the frames that were scanned, also where the clock of the source jumps or repeats."""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from counted_videos import encode_counts, read_counts

from pipeline import Reject
from stages.media.decoding.video import open_video
from stages.media.fingerprint import fingerprint
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip

Cut = Callable[[CutClip, KeptClip], ClipFile]
STAGE = CutClip(preset="ultrafast", constant_frame_rate=False, crf=20)
PARTS = [range(30), range(1000, 1030), range(2000, 2030)]


def scan(path: Path) -> ScannedVideo:
    [scanned] = ScanVideo(meters=()).annotate([ListedVideo(uri=str(path))])
    assert isinstance(scanned, ScannedVideo), scanned
    return scanned


def clips(path: Path, scanned: ScannedVideo, at: list[int], **values: Any) -> list[KeptClip]:
    """Rows for the clips between the frames `at`."""
    with open_video(str(path)) as video:
        pts = [frame.pts for frame in video.frames()] + [scanned.scanned_end_pts]
    size, digest = fingerprint(str(path))
    rows = [
        KeptClip(
            uri=str(path),
            size_bytes=size,
            content_sha256=digest,
            variable_rate=scanned.variable_rate,
            start_pts=pts[first],
            end_pts=pts[last],
            start_frame=first,
            end_frame=last,
            signals=scanned.signals,
            time_repair=scanned.time_repair,
        )
        for first, last in pairwise(at)
    ]
    return [replace(row, **values) for row in rows]


def counts(out: ClipFile, folder: Path) -> list[int]:
    (folder / "clip.mp4").write_bytes(out.clip.read())
    return read_counts(folder / "clip.mp4")


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
@pytest.mark.parametrize(
    "starts_s",
    [(10, 10, 10), (3000, 0), (10, 1500), (100, 10, 5000), (10, 10.8), (10, 10000), (95442.6, 60)],
    ids=["equal", "back", "ahead", "back and ahead", "a little back", "hours ahead", "wrapped"],
)
def test_joined_recordings_are_cut_at_their_joins(
    tmp_path: Path, cut: Cut, starts_s: tuple[float, ...], codec: str
) -> None:
    path, parts = tmp_path / "film.ts", PARTS[: len(starts_s)]
    path.write_bytes(
        b"".join(
            encode_counts(p, codec=codec, start_s=start) for p, start in zip(parts, starts_s, strict=True)
        )
    )
    scanned = scan(path)
    joins = [30 * number for number in range(1, len(parts))]
    assert scanned.scanned_frames == 30 * len(parts)
    assert scanned.scanned_s == pytest.approx(1.2 * len(parts), abs=0.1)
    assert (scanned.time_repair, list(scanned.clock_jumps)) == ("joined", joins)
    for row in clips(path, scanned, [0, 13, *(j + k for j in joins for k in (0, 17)), 30 * len(parts)]):
        expected = [number for part in parts for number in part][row.start_frame : row.end_frame]
        assert counts(cut(STAGE, row), tmp_path) == expected


def test_other_frames_are_found_from_the_start_or_rejected(tmp_path: Path, cut: Cut) -> None:
    path = tmp_path / "film.ts"
    path.write_bytes(b"".join(encode_counts(part, start_s=10) for part in PARTS))
    scanned = scan(path)
    [row] = clips(path, scanned, [34, 48], time_repair="none")
    assert counts(cut(STAGE, row), tmp_path) == [*range(1004, 1018)]
    [last_differs] = clips(path, scanned, [34, 48])
    shifted = replace(last_differs, start_frame=35, end_frame=49)
    [reject] = STAGE.annotate([shifted])
    assert isinstance(reject, Reject)
    assert "the first frame of the span is not the scanned one" in str(reject)
    [reject] = CutClip(audio="aac").annotate([last_differs])
    assert "the clock of the source jumps, so its audio cannot be found: set audio to none, or" in str(reject)


def test_a_recording_that_begins_within_a_group_of_pictures(tmp_path: Path, cut: Cut) -> None:
    """Frames before its first key frame, and frames shown before it, refer to frames that are not there."""
    path, parts = tmp_path / "film.ts", []
    for numbers in (range(30), range(1000, 1045)):
        parts.append(encode_counts(numbers, start_s=10, bf="2"))
    packets = len(parts[1]) // 188
    path.write_bytes(parts[0] + parts[1][packets // 3 * 188 :])
    scanned = scan(path)
    assert list(scanned.clock_jumps) == [30]
    [first, second] = clips(path, scanned, [0, 30, scanned.scanned_frames])
    assert counts(cut(STAGE, first), tmp_path) == [*range(30)]
    shown = counts(cut(STAGE, second), tmp_path)
    assert shown == [*range(shown[0], 1045)]
    assert 1010 < shown[0] < 1030


@pytest.mark.parametrize(
    ("name", "container", "codec", "gap_s", "repair", "jumps"),
    [
        ("a.mkv", "matroska", "libx264", 20, "none", []),
        ("a.mkv", "matroska", "libx264", 100, "none", [20]),
        ("a.mkv", "matroska", "libx264", 10_000, "none", [20]),
        ("a.mp4", "mp4", "libx264", 100, "none", [20]),
        ("a.mp4", "mp4", "libx264", 10_000, "none", [20]),
        ("a.flv", "flv", "flv", 100, "joined", [20]),
    ],
)
def test_a_gap_is_a_boundary(
    tmp_path: Path,
    cut: Cut,
    name: str,
    container: str,
    codec: str,
    gap_s: int,
    repair: str,
    jumps: list[int],
) -> None:
    path, times = tmp_path / name, [*range(20), *range(20 + 25 * gap_s, 40 + 25 * gap_s)]
    path.write_bytes(encode_counts(range(40), container, codec, times=times))
    scanned = scan(path)
    assert (scanned.time_repair, list(scanned.clock_jumps)) == (repair, jumps)
    [first_pts, *_] = [row.start_pts for row in clips(path, scanned, [0, 40])]
    with open_video(str(path)) as video:
        assert [float((p - first_pts) * video.time_base) for p in scanned.clock_jump_end_pts] == (
            pytest.approx([0.8] * len(jumps), abs=0.05)
        )
    shown = [counts(cut(STAGE, row), tmp_path) for row in clips(path, scanned, [0, 20, 40])]
    assert shown == [[*range(20)], [*range(20, 40)]]


def test_times_that_repeat_are_counted(tmp_path: Path, cut: Cut) -> None:
    path = tmp_path / "film.mkv"
    source: Any = av.open(io.BytesIO(encode_counts(range(40), "matroska", "mpeg4")))
    with source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.pts -= 40 * (number in (12, 27))
                packet.dts = packet.pts
                packet.stream = stream
                out.mux(packet)
    scanned = scan(path)
    assert scanned.time_repair == "counted"
    assert list(scanned.clock_jumps) == []
    for row in clips(path, scanned, [0, 12, 25, 35]):
        assert counts(cut(STAGE, row), tmp_path) == [*range(row.start_frame, row.end_frame)]
