"""CaptionClip with a model in this process gives the same columns, one request at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_vlm import save_vlm

from manifests import Artifact
from stages.captions.caption_clip import Caption, CaptionClip, ScannedClip
from stages.models.image_text import image_text_digest
from stages.models.weights import WeightsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_vlm(tmp_path_factory.mktemp("vlm") / "small", "qwen2_5_vl"))


def test_captions_have_the_same_columns_and_a_digest_as_revision(
    clips: Callable[..., list[ScannedClip]], folder: str
) -> None:
    stage = CaptionClip(
        model=folder, max_tokens=7, window_frames=8, min_window_frames=4, refine_prompt="refine"
    )
    stage.open()
    [row] = stage.annotate(clips([5, 6], per_clip=2))
    assert isinstance(row, Caption), row
    assert row.caption_revision == image_text_digest(folder)
    assert row.caption_by == f"small, {row.caption_revision}"
    assert row.window_statuses == ("truncated", "truncated")
    assert row.caption_status == "truncated"
    assert row.caption_output_tokens == 2 * 2 * 7
    assert row.caption_latency_s > 0
    assert row.caption == " ".join(row.window_captions)
    assert row.window_captions[0] != row.window_captions[1]


def test_the_result_is_the_same_at_batch_1_and_8(
    clips: Callable[..., list[ScannedClip]], folder: str
) -> None:
    stage, rows = CaptionClip(model=folder, max_tokens=9), clips(list(range(8)))
    together = [row.caption for row in stage.annotate(rows)]
    alone = [row.caption for one in rows for row in stage.annotate([one])]
    assert together == alone
    assert len(set(together)) > 4


def test_a_row_that_fails_does_not_affect_the_others(
    clips: Callable[..., list[ScannedClip]], folder: str
) -> None:
    first, second, third = clips([1, 2, 3])
    broken = replace(second, strip=Artifact.of(b"no image!" * 10_000, ".jpg"))
    stage = CaptionClip(model=folder, max_tokens=3)
    one, error, three = stage.annotate([first, broken, third])
    assert isinstance(one, Caption)
    assert isinstance(three, Caption)
    assert isinstance(error, Exception)
    assert stage.annotate([third])


def test_the_key_depends_on_the_weights_and_missing_weights_are_errors(folder: str, tmp_path: Path) -> None:
    other = save_vlm(tmp_path / "other", "qwen2_5_vl", seed=1)
    assert CaptionClip(model=folder).digest() != CaptionClip(model=str(other)).digest()
    with pytest.raises(WeightsError):
        CaptionClip(model=str(tmp_path / "none")).digest()
    with pytest.raises(WeightsError, match="could not be loaded"):
        CaptionClip(model=str(tmp_path)).open()
