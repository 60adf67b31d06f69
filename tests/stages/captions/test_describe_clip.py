"""Captions from measured facts are grammatical sentences, and equal facts give equal text."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.stores.folder import FolderStore
from stages.captions.colors import name_colors
from stages.captions.describe_clip import DescribeClip, MeasuredClip
from stages.media.encoding.arrays import write_mp4
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

FACTS: dict[str, Any] = {
    "start_s": 0.0,
    "end_s": 2.0,
    "width_px": 640,
    "height_px": 360,
    "light_mean": 0.5,
    "sharpness": 0.9,
    "object_motion": 0.02,
    "camera": "pan left",
    "camera_pan": -0.02,
    "camera_tilt": 0.0,
    "camera_zoom": 0.0,
    "camera_roll": 0.0,
}


@pytest.fixture
def strip(tmp_path: Path) -> dict[str, Any]:
    """Return the strip of a film of 2 s that is blue, and red from 1 s."""
    blue = np.full((90, 160, 3), (30, 60, 200), np.uint8)
    red = np.full((90, 160, 3), (200, 20, 20), np.uint8)
    write_mp4(tmp_path / "a.mp4", [blue] * 6 + [red] * 6, 6, crf=10)
    [row] = ScanVideo(meters=()).annotate([ListedVideo(uri=str(tmp_path / "a.mp4"))])
    assert isinstance(row, ScannedVideo), row
    stored = row.strip.save(FolderStore(tmp_path / "store"), "scan")
    return {"strip": stored, "strip_times_s": row.strip_times_s, "strip_offsets": row.strip_offsets}


def _caption(strip: dict[str, Any], **facts: Any) -> str:
    [answer] = DescribeClip().annotate([MeasuredClip(**strip, **(FACTS | facts))])
    assert answer.caption_by == "measured facts, version 1"
    return answer.caption


def test_a_whole_caption(strip: dict[str, Any]) -> None:
    assert _caption(strip) == (
        "An evenly lit, sharp landscape shot of 2 seconds, mostly blue and red. "
        "The camera pans left slowly, and little in the scene moves."
    )


def test_the_caption_of_a_list_is_taken(strip: dict[str, Any]) -> None:
    rows = [MeasuredClip(**strip, **FACTS, list_caption=text) for text in (" A dog.", "  ", None)]
    found = [(answer.caption, answer.caption_by) for answer in DescribeClip().annotate(rows)]
    assert found[0] == ("A dog.", "list")
    assert {by for _, by in found[1:]} == {"measured facts, version 1"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"light_mean": 0.02}, "A very dark, sharp"),
        ({"light_mean": 0.9, "sharpness": 0.1}, "A very bright, blurred"),
        ({"width_px": 360, "height_px": 640}, "portrait shot"),
        ({"width_px": 500, "height_px": 500}, "square shot"),
        ({"end_s": 1.0}, "1 second, mostly blue."),
        ({"start_s": 1.0, "end_s": 1.25}, "0.2 seconds, mostly red."),
        ({"end_s": 9.97}, "of 10 seconds"),
        ({"camera": "static", "object_motion": 0.0}, "stays still, and hardly anything in the scene moves."),
        ({"camera": "shake"}, "The camera shakes, and"),
        ({"camera": "zoom in", "camera_zoom": 0.2}, "zooms in, and"),
        ({"camera": "roll right", "camera_roll": -40.0}, "rolls to the right quickly, and"),
        ({"camera": "handheld", "object_motion": 0.5}, "camera moves slowly, and much in the scene moves."),
    ],
)  # fmt: skip
def test_each_fact_gives_its_words(strip: dict[str, Any], facts: dict[str, Any], words: str) -> None:
    assert words in _caption(strip, **facts)


def test_every_combination_gives_two_clean_sentences(strip: dict[str, Any]) -> None:
    captions = set()
    for light, detail, motion, camera in product(
        (0.05, 0.5, 1.0), (0.1, 0.6), (0, 0.1, 9), ("static", "tilt up")
    ):
        facts = {"light_mean": light, "sharpness": detail, "object_motion": motion, "camera": camera}
        captions.add(caption := _caption(strip, **facts))
        assert re.fullmatch(r"An? [^.]+(\.\d)?[^.]*\. The camera [^.]+ moves?\.", caption), caption
        assert "  " not in caption
    assert len(captions) == 3 * 2 * 3 * 2


def test_a_span_without_stills_names_no_color(strip: dict[str, Any]) -> None:
    assert "0.1 seconds. The camera" in _caption(strip, start_s=0.1, end_s=0.2)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((5, 5, 8), "black"),
        ((60, 60, 60), "dark grey"),
        ((128, 130, 128), "grey"),
        ((250, 250, 250), "white"),
        ((210, 30, 30), "red"),
        ((240, 140, 20), "orange"),
        ((110, 70, 30), "brown"),
        ((230, 220, 40), "yellow"),
        ((40, 160, 60), "green"),
        ((30, 170, 170), "teal"),
        ((90, 140, 220), "blue"),
        ((130, 60, 200), "purple"),
        ((230, 90, 170), "pink"),
    ],
)
def test_colors_have_names(rgb: tuple[int, int, int], name: str) -> None:
    assert name_colors([np.full((40, 30, 3), rgb, np.uint8)]) == [name]


def test_only_colors_of_large_areas_are_named() -> None:
    image = np.full((100, 100, 3), (40, 160, 60), np.uint8)
    image[:10] = (210, 30, 30)
    assert name_colors([image]) == ["green"]
    assert name_colors([]) == []
