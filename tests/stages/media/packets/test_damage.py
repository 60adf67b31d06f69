"""Missing data is seen in every container; what is whole, joined, or cut off at its end is not damaged."""

from pathlib import Path

import av
import numpy as np
import pytest
from counted_videos import blank, cut_out, encode_counts, read_counts

from stages.media.decoding.video import frames
from stages.media.errors import UnreadableFile

KINDS = {
    "h264.ts": ("mpegts", "libx264"),
    "mpeg2.ts": ("mpegts", "mpeg2video"),
    "mpeg2.mpg": ("mpeg", "mpeg2video"),
    "h264.mkv": ("matroska", "libx264"),
    "vp9.webm": ("webm", "libvpx-vp9"),
    "h264.mp4": ("mp4", "libx264"),
    "mpeg4.avi": ("avi", "mpeg4"),
}


@pytest.fixture(scope="module")
def films() -> dict[str, bytes]:
    return {name: encode_counts(range(60), *kind, g="40") for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_zeros_in_the_middle_are_damage(tmp_path: Path, films: dict[str, bytes], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(films[name])
    assert read_counts(path) == [*range(60)]
    path.write_bytes(blank(films[name], 0.4, 3000))
    with pytest.raises(UnreadableFile, match=r"damaged|decoding failed"):
        list(frames(str(path)))


@pytest.mark.parametrize(
    ("name", "unit"), [("h264.ts", 188), ("mpeg2.ts", 188), ("h264.mkv", 1), ("vp9.webm", 1)]
)
def test_missing_bytes_are_damage(tmp_path: Path, films: dict[str, bytes], name: str, unit: int) -> None:
    path = tmp_path / name
    path.write_bytes(cut_out(films[name], 0.4, 4000, unit))
    with pytest.raises(UnreadableFile, match=r"damaged|decoding failed"):
        list(frames(str(path)))


def test_a_recording_that_ends_within_a_frame_keeps_the_frames_before(
    tmp_path: Path, films: dict[str, bytes]
) -> None:
    path = tmp_path / "film.ts"
    path.write_bytes(films["h264.ts"][: len(films["h264.ts"]) // 2 + 50])
    shown = read_counts(path)
    assert shown == [*range(len(shown))]
    assert 20 < len(shown) < 40


@pytest.mark.parametrize("name", ["h264.ts", "mpeg2.ts"])
def test_a_join_within_a_frame_is_not_damage(tmp_path: Path, films: dict[str, bytes], name: str) -> None:
    path, first = tmp_path / name, films[name]
    following = encode_counts(range(1000, 1030), *KINDS[name], start_s=100)
    path.write_bytes(first[: len(first) // 376 * 188] + following)
    shown = read_counts(path)
    begins = shown.index(1000)
    assert shown[:begins] == [*range(begins)]
    assert shown[begins:] == [*range(1000, 1030)]


def test_zeros_that_pad_a_stream_are_not_damage(tmp_path: Path) -> None:
    path = tmp_path / "padded.ts"
    with av.open(str(path), "w", format="mpegts") as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": "0", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        image = np.random.default_rng(0).integers(0, 256, (64, 160, 3), dtype=np.uint8)
        for number in range(13):
            shown = np.ascontiguousarray(image[:, 4 * number : 4 * number + 96])
            frame = av.VideoFrame.from_ndarray(shown, format="bgr24") if number < 12 else None
            for packet in stream.encode(frame):
                padded = av.Packet(bytes(packet) + bytes(1000))
                padded.pts, padded.dts, padded.time_base = packet.pts, packet.dts, packet.time_base
                padded.stream, padded.is_keyframe = stream, packet.is_keyframe
                output.mux(padded)
    assert len(list(frames(str(path)))) == 12


def test_real_videos_are_not_damaged(footage: Path) -> None:
    names = ["webrtc__mixed-content.webm", "psd__issue-236-split-copy.mkv", "simpl__smaller.webm"]
    for name in names:
        [path] = footage.rglob(name)
        assert sum(1 for _ in frames(str(path)))
