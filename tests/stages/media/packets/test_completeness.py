"""Headers that announce more than a whole file holds are not believed; truncated files are rejected."""

import struct
from pathlib import Path

import pytest
from counted_videos import encode_counts, read_counts

from stages.media.decoding.video import open_video
from stages.media.errors import UnreadableFile

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def check(path: Path) -> list[int]:
    """Check that a film is complete, and return the numbers of its frames."""
    with open_video(str(path)) as video:
        for _ in video.frames():
            pass
        video.check_complete()
    return read_counts(path)


@pytest.mark.parametrize(
    ("name", "container", "codec", "muxer"),
    [
        ("a.mkv", "matroska", "libx264", {}),
        ("a.webm", "webm", "libvpx-vp9", {}),
        ("a.mp4", "mp4", "libx264", {}),
        ("a.mp4", "mp4", "libx264", {"movflags": "frag_keyframe+empty_moov+dash"}),
        ("a.ts", "mpegts", "mpeg2video", {}),
        ("a.flv", "flv", "flv", {}),
    ],
)
def test_a_film_may_start_late(
    tmp_path: Path, name: str, container: str, codec: str, muxer: dict[str, str]
) -> None:
    path = tmp_path / name
    path.write_bytes(encode_counts(range(30), container, codec, start_s=3600, muxer=muxer))
    assert check(path) == [*range(30)]


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, data[at : at + size]))
        at += size
    return found


def test_fragments_from_the_middle_keep_the_header_of_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    parts = boxes(encode_counts(range(100), "mp4", "libx264", g="10", bf="0", muxer=FRAGMENTS))
    head = [data for kind, data in parts if kind in (b"ftyp", b"moov")]
    body = [data for kind, data in parts if kind in (b"moof", b"mdat")]
    path.write_bytes(b"".join(head + body[2 * 7 :]))
    assert check(path) == [*range(70, 100)]


def with_edits(mp4: bytes, edits: list[tuple[float, float]]) -> bytes:
    """The mp4 (one stream, index at the end) with another edit list: length and start in the media, in s.

    A start of -1 is an empty edit.
    """
    scales = []
    for kind in (b"mvhd", b"mdhd"):
        at = mp4.index(kind) + 16
        scales.append(struct.unpack(">I", mp4[at : at + 4])[0])
    body = struct.pack(">II", 0, len(edits)) + b"".join(
        struct.pack(">IiI", round(s * scales[0]), -1 if m < 0 else round(m * scales[1]), 1 << 16)
        for s, m in edits
    )
    elst = struct.pack(">I4s", len(body) + 8, b"elst") + body
    edts = struct.pack(">I4s", len(elst) + 8, b"edts") + elst
    old = mp4.index(b"edts") - 4
    old_bytes = struct.unpack(">I", mp4[old : old + 4])[0]
    data = bytearray(mp4[:old] + edts + mp4[old + old_bytes :])
    for kind in (b"moov", b"trak"):
        at = data.index(kind) - 4
        size = struct.unpack(">I", data[at : at + 4])[0] + len(edts) - old_bytes
        data[at : at + 4] = struct.pack(">I", size)
    return bytes(data)


@pytest.mark.parametrize(
    ("edits", "shown"),
    [
        ([(0.8, 2.4)], [*range(60, 80)]),
        ([(3, -1), (4, 0)], [*range(100)]),
        ([(400, -1), (4, 0)], [*range(100)]),
        ([(0.8, 0), (0.8, 0)], [*range(20)] * 2),
        ([(0.8, 2.4), (0.8, 0)], [*range(60, 80), *range(20)]),
    ],
    ids=["part", "delay", "long delay", "repeat", "swap"],
)
def test_edit_lists_hide_and_repeat_frames(
    tmp_path: Path, edits: list[tuple[float, float]], shown: list[int]
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(with_edits(encode_counts(range(100), "mp4", "libx264", g="10", bf="0"), edits))
    assert check(path) == shown


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_repeats_frames_by_chunks_without_content(tmp_path: Path, codec: str) -> None:
    path, times = tmp_path / "film.avi", [n + 5 * (n >= 20) + 30 * (n >= 40) for n in range(50)]
    path.write_bytes(encode_counts(range(50), "avi", codec, times=times, bf="0"))
    assert check(path) == [*range(50)]
    with open_video(str(path)) as video:
        assert [frame.pts for frame in video.frames()] == times


@pytest.mark.parametrize(
    ("container", "codec", "muxer"),
    [
        ("mp4", "libx264", FRAGMENTS),
        ("matroska", "libx264", {}),
        ("avi", "mpeg4", {}),
    ],
    ids=["fragments", "mkv", "avi"],
)
def test_files_that_are_cut_off_are_rejected(
    tmp_path: Path, container: str, codec: str, muxer: dict[str, str]
) -> None:
    data = encode_counts(range(100), container, codec, start_s=20 * (container == "matroska"), muxer=muxer)
    path = tmp_path / "film"
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(UnreadableFile, match=r"cut short|decoding failed|damaged"):
        check(path)
