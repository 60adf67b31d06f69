"""The similarity of caption and stills is that of open_clip, and a long caption is read to its end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_towers import save_towers

from pipeline import Reject
from stages.captions.measure_caption_similarity import (
    CaptionedStills,
    CaptionSimilarity,
    MeasureCaptionSimilarity,
)
from stages.media.strip import decode_still, read_strip
from stages.models.open_clip import OpenClipModel
from stages.models.weights import WeightsError
from stages.scan.scan_video import ScannedVideo

SHORT = "A bright room."
LONG = " ".join(f"Sentence {n} speaks about a dog that runs over the grass." for n in range(12))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_towers(tmp_path_factory.mktemp("models") / "model"))


@pytest.fixture
def clip(
    film: Callable[..., Path],
    scan: Callable[..., ScannedVideo],
    moving: Callable[..., Iterator[np.ndarray]],
) -> CaptionedStills:
    scanned = scan(film(moving(3, 24), fps=12))
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return CaptionedStills(**stored, start_s=0, end_s=2, caption=SHORT)


def test_the_similarity_is_the_mean_cosine_over_stills_and_parts(clip: CaptionedStills, model: str) -> None:
    stage, loaded = MeasureCaptionSimilarity(model=model), OpenClipModel(model)
    images = loaded.embed_images([decode_still(s) for s in read_strip(clip, 0, 2, 8)])
    short = (images @ loaded.embed_texts([SHORT]).T).mean()
    parts = loaded.split_text(LONG)
    cosines = [(images @ loaded.embed_texts([part]).T).mean() for part in parts]
    rows = [clip, replace(clip, caption=LONG), replace(clip, caption="x", enhanced_caption=SHORT)]
    rows += [replace(clip, caption=""), replace(clip, end_s=0.01, start_s=0.005)]
    one, many, enhanced, empty, no_still = together = list(stage.annotate(rows))
    assert [str(row) for row in together] == [str(row) for row in map(_alone(stage), rows)]
    assert isinstance(one, CaptionSimilarity)
    assert isinstance(many, CaptionSimilarity)
    assert one.caption_similarity == one.caption_similarity_min == pytest.approx(short, abs=1e-4)
    assert one == enhanced
    assert len(images) > 1
    assert many.caption_parts == len(parts) == 2
    assert many.caption_similarity == pytest.approx(np.mean(cosines), abs=1e-4)
    assert many.caption_similarity_min == pytest.approx(min(cosines), abs=1e-4)
    assert empty == CaptionSimilarity(caption_similarity=None, caption_similarity_min=None, caption_parts=0)
    assert isinstance(no_still, Reject)
    assert stage.digest() != ""
    with pytest.raises(WeightsError, match="no open_clip model"):
        MeasureCaptionSimilarity(model="none").digest()


def _alone(stage: MeasureCaptionSimilarity) -> Callable[[CaptionedStills], object]:
    return lambda row: next(iter(stage.annotate([row])))


def test_a_long_text_is_split_into_parts_that_fit(model: str) -> None:
    loaded = OpenClipModel(model)
    parts = loaded.split_text(LONG)
    assert " ".join(parts) == LONG
    assert all(part.endswith(".") for part in parts)
    assert all(int((loaded._tokenize([part], 500) != 0).sum()) <= 77 for part in parts)
    words = " ".join(["dog"] * 200)
    assert [len(part.split()) for part in loaded.split_text(words)] == [75, 75, 50]
    assert loaded.split_text("雨が降る。犬が走る。") == ["雨が降る。 犬が走る。"]
    assert loaded.split_text(" \n ") == []
    assert loaded.split_text("y" * 2000) == ["y" * 2000]
