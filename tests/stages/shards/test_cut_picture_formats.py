"""Tests of clips cut from films with HDR, other color tags, a crop, and a size that changes."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from manifests import ClipmillError
from pipeline import Reject
from stages.media.decoding.color import color_tags
from stages.media.decoding.frame import Frame
from stages.media.decoding.video import frames
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip
from tests.toys.media.color_films import PATCHES, patch_colors, write_patches
from tests.toys.media.picture_formats import with_pixel_crop, write_parts
from tests.toys.media.unusual_videos import write_video

RowOf = Callable[..., KeptClip]
Cut = Callable[[CutClip, KeptClip], ClipFile]


def _frames(clip: ClipFile) -> list[Frame]:
    with clip.clip.local() as path:
        return list(frames(str(path)))


@pytest.mark.parametrize("kind", ["bt2020_pq", "bt2020_hlg"])
def test_hdr_is_tone_mapped(kind: str, row_of: RowOf, cut: Cut, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", kind)
    clip = cut(CutClip(), row_of(tmp_path / "film.mp4", 0, -1))
    assert (clip.clip_codec, clip.clip_bit_depth, clip.clip_color_transfer) == ("h264", 8, "bt709")
    for frame in _frames(clip):
        assert color_tags(frame.raw) == ("bt709", "bt709", "bt709", "tv")
        assert np.abs(patch_colors(frame.pixels()) - PATCHES).max() <= 10


@pytest.mark.parametrize(("kind", "transfer"), [("bt2020_pq", "smpte2084"), ("bt2020_hlg", "arib-std-b67")])
@pytest.mark.parametrize("crf", [0, 12])
def test_hdr_is_kept(kind: str, transfer: str, crf: int, row_of: RowOf, cut: Cut, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", kind)
    stage = CutClip(hdr="keep", crf=crf, preset="ultrafast")
    clip = cut(stage, row_of(tmp_path / "film.mp4", 0, -1))
    assert (clip.clip_codec, clip.clip_bit_depth, clip.clip_color_transfer) == ("hevc", 10, transfer)
    for kept, source in zip(_frames(clip), frames(str(tmp_path / "film.mp4")), strict=True):
        assert color_tags(kept.raw) == (transfer, "bt2020", "bt2020nc", "tv")
        difference = kept.raw.to_ndarray().astype(int) - source.raw.to_ndarray()
        assert np.abs(difference).max() <= (0 if crf == 0 else 24)
    again = cut(stage, row_of(tmp_path / "film.mp4", 0, -1))
    assert again.clip.sha256 == clip.clip.sha256


def test_an_sdr_clip_is_the_same_for_both_settings(row_of: RowOf, cut: Cut, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt709")
    one, two = (cut(CutClip(hdr=hdr), row_of(tmp_path / "film.mp4", 0, -1)) for hdr in ("keep", "tonemap"))
    assert one.clip.sha256 == two.clip.sha256


def test_hdr_is_kept_upright(row_of: RowOf, cut: Cut, tmp_path: Path) -> None:
    from tests.toys.media.unusual_videos import with_display_matrix

    write_patches(tmp_path / "film.mp4", "bt2020_pq")
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(with_display_matrix((tmp_path / "film.mp4").read_bytes(), 0, 1, -1, 0))
    clip = cut(CutClip(hdr="keep", crf=0), row_of(turned, 0, -1))
    assert clip.clip_width_px < clip.clip_height_px
    expected = np.rot90(next(frames(str(tmp_path / "film.mp4"))).pixels(), -1)
    assert np.abs(_frames(clip)[0].pixels().astype(int) - expected).mean() < 2


@pytest.mark.parametrize("kind", ["bt709", "bt601", "bt601_untagged", "bt709_untagged", "bt2020_sdr"])
@pytest.mark.parametrize("side", [0, 60])
def test_clips_have_the_colors_of_their_source(
    kind: str, side: int, row_of: RowOf, cut: Cut, tmp_path: Path
) -> None:
    """Shrunk clips too: a small clip without tags would be read as BT.601."""
    write_patches(tmp_path / "film.mp4", kind, frames=2)
    clip = cut(CutClip(crf=8, max_short_side_px=side), row_of(tmp_path / "film.mp4", 0, -1))
    frame = _frames(clip)[0]
    assert np.abs(patch_colors(frame.pixels()) - PATCHES).max() <= 6
    source = color_tags(next(frames(str(tmp_path / "film.mp4"))).raw)
    expected = source._replace(color_space="bt709") if kind == "bt709_untagged" else source
    assert color_tags(frame.raw)._replace(color_range=expected.color_range) == expected


@pytest.mark.parametrize("side", [0, 60])
def test_full_range_stays_full_range(side: int, row_of: RowOf, cut: Cut, tmp_path: Path) -> None:
    write_patches(tmp_path / "film.mp4", "bt709", full_range=True)
    clip = cut(CutClip(crf=8, max_short_side_px=side), row_of(tmp_path / "film.mp4", 0, -1))
    frame = _frames(clip)[0]
    assert color_tags(frame.raw) == ("bt709", "bt709", "bt709", "pc")
    assert np.abs(patch_colors(frame.pixels()) - PATCHES).max() <= 6


@pytest.mark.parametrize("copy", [False, True])
def test_a_clip_shows_the_cropped_picture(copy: bool, row_of: RowOf, cut: Cut, tmp_path: Path) -> None:
    image = np.full((96, 160, 3), (255, 0, 255), np.uint8)
    image[24:72, 32:128] = 60
    write_video(tmp_path / "source.mkv", [image] * 3)
    mkv = (tmp_path / "source.mkv").read_bytes()
    (tmp_path / "film.mkv").write_bytes(with_pixel_crop(mkv, 32, 32, 24, 24))
    clip = cut(CutClip(copy_packets=copy), row_of(tmp_path / "film.mkv", 0, -1))
    assert (clip.clip_width_px, clip.clip_height_px, clip.clip_method) == (96, 48, "encoded")
    assert np.abs(_frames(clip)[0].pixels()[2:-2, 2:-2].astype(int) - 60).mean() < 8


@pytest.mark.parametrize("copy", [False, True])
def test_each_part_has_its_size_and_a_span_with_both_is_rejected(
    copy: bool, row_of: RowOf, cut: Cut, moving: Callable[..., list[np.ndarray]], tmp_path: Path
) -> None:
    parts = [(moving(1, 8), Fraction(4, 5)), (moving(2, 8, size=(128, 96)), Fraction(1))]
    write_parts(tmp_path / "film.ts", parts)
    stage = CutClip(copy_packets=copy)
    one, two = (cut(stage, row_of(tmp_path / "film.ts", *span)) for span in ((0, 8), (8, 16)))
    assert (one.clip_width_px, one.clip_height_px) == (128, 96)
    assert (two.clip_width_px, two.clip_height_px) == (96, 128)
    [reject] = stage.annotate([row_of(tmp_path / "film.ts", 4, 12)])
    assert isinstance(reject, Reject)
    assert "160 x 96 px, pixel aspect 4/5 to 96 x 128 px" in str(reject)


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ClipmillError, match="no hdr 'drop'"):
        CutClip(hdr="drop")
