"""Tests of KeepImage: the bytes of an image stay, and other formats become an upright PNG."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline import Reject
from stages.images.keep_image import ImageFile, KeepImage, KeptImage
from stages.ingest.probe_video import ProbeVideo, Video
from stages.latents.media_member import read_image
from stages.media.fingerprint import fingerprint

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)


def _keep(path: Path) -> ImageFile | Reject:
    size, sha256 = fingerprint(str(path))
    [answer] = KeepImage().annotate([KeptImage(uri=str(path), size_bytes=size, content_sha256=sha256)])
    return answer


@pytest.mark.parametrize(
    ("name", "method", "ending"),
    [
        ("a.jpg", "copied", ".jpg"),
        ("a.JPEG", "copied", ".jpg"),
        ("a.png", "copied", ".png"),
        ("a.webp", "copied", ".webp"),
        ("a.bmp", "encoded", ".png"),
        ("a.tiff", "encoded", ".png"),
    ],
)
def test_formats_that_trainers_read_are_copied(name: str, method: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert cv2.imwrite(str(path), PIXELS)
    kept = _keep(path)
    assert isinstance(kept, ImageFile), kept
    assert (kept.clip_method, kept.clip.path[-len(ending) :]) == (method, ending)
    assert (kept.clip_width_px, kept.clip_height_px, kept.clip_frames) == (40, 24, 1)
    assert kept.clip.data is not None
    assert (kept.clip.data == path.read_bytes()) == (method == "copied")
    stored = cv2.imdecode(np.frombuffer(kept.clip.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(stored, cv2.imread(str(path)))


@pytest.mark.parametrize(("written", "name"), [("a.png", "b.jpg"), ("a.webp", "b.png"), ("a.jpg", "b.webp")])
def test_the_bytes_of_an_image_decide_and_not_its_name(written: str, name: str, tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / written), PIXELS)
    path = (tmp_path / written).rename(tmp_path / name)
    kept = _keep(path)
    assert isinstance(kept, ImageFile), kept
    assert (kept.clip_method, Path(kept.clip.path).suffix) == ("copied", Path(written).suffix)
    assert read_image(path).display_size == (40, 24)


def test_an_image_without_square_pixels_becomes_one_with_the_size_of_its_row(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", dpi=(72, 144))
    kept = _keep(tmp_path / "a.jpg")
    assert isinstance(kept, ImageFile), kept
    assert kept.clip.data is not None
    stored = cv2.imdecode(np.frombuffer(kept.clip.data, np.uint8), cv2.IMREAD_COLOR)
    assert stored.shape[1::-1] == (kept.clip_width_px, kept.clip_height_px) == (20, 24)


def test_a_changed_image_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), PIXELS)
    row = KeptImage(uri=str(path), size_bytes=1, content_sha256="0")
    [answer] = KeepImage().annotate([row])
    assert isinstance(answer, Reject)
    assert "changed" in str(answer)


@pytest.mark.parametrize("content", [b"", b"#EXTM3U\n/etc/passwd\n", b"\xff\xd8\xff\xe0 cut"])
def test_a_file_that_is_no_image_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    [answer] = ProbeVideo().annotate([Video(uri=str(tmp_path / "a.jpg"))])
    assert isinstance(answer, Reject)
