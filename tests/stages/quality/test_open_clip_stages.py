"""Scores and types from open_clip models: real code on small weights, equal results for any batch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_towers import save_towers

from manifests import ClipmillError
from pipeline import Reject
from stages.media.strip import decode_still, read_strip
from stages.models.open_clip import OpenClipModel
from stages.models.still_vectors import Clip
from stages.models.weights import WeightsError
from stages.quality.classify_video import DEFAULT_TYPES, ClassifyVideo, VideoType, read_types
from stages.quality.score_aesthetics import Aesthetics, ScoreAesthetics
from stages.quality.score_technical import ScoreTechnical, Technical
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_towers(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def clips(film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw) -> list[Clip]:
    """Return a bright clip, a dark clip, and a clip without a still."""
    bright = [255 - p // 4 for p in moving(3, 24)]
    scanned = scan(film([*bright, *(p // 5 for p in moving(3, 24))], fps=12))
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return [Clip(**stored, start_s=a, end_s=b) for a, b in ((0, 2), (2, 4), (0.1, 0.2))]


def _stills(clip: Clip) -> list[np.ndarray]:
    return [decode_still(still) for still in read_strip(clip, clip.start_s, clip.end_s, 4)]


def _train_head(model: Path, clips: list[Clip], file: Path) -> Path:
    """Fit a head that scores 9 for the bright clip's stills and 1 for the dark clip's."""
    loaded = OpenClipModel(str(model))
    parts = [loaded.embed_images(_stills(clip)) for clip in clips[:2]]
    scores = np.repeat([9.0, 1.0], [len(part) for part in parts])
    vectors = np.concatenate(parts).astype(np.float64)
    weight = np.linalg.lstsq(np.c_[vectors, np.ones(len(vectors))], scores, rcond=None)[0]
    save_file(
        {"weight": torch.from_numpy(weight[None, :-1].copy()), "bias": torch.from_numpy(weight[-1:].copy())},
        file,
    )
    return file


def _annotate_all(stage: Any, clips: list[Clip]) -> list[Any]:
    """Annotate all clips in one batch; one by one, in any order, they give the same rows."""
    together = list(stage.annotate(clips))
    alone = [row for clip in clips[::-1] for row in stage.annotate([clip])][::-1]
    assert [str(row) for row in together] == [str(row) for row in alone]
    return together


def test_a_head_trained_on_brightness_scores_the_bright_clip_higher(
    model: Path, clips: list[Clip], tmp_path: Path
) -> None:
    head = _train_head(model, clips, tmp_path / "head.safetensors")
    bright, dark, reject = _annotate_all(ScoreAesthetics(model=str(model), head=str(head)), clips)
    assert isinstance(bright, Aesthetics)
    assert bright.aesthetic_mean == pytest.approx(9, abs=0.5)
    assert dark.aesthetic_mean == pytest.approx(1, abs=0.5)
    assert bright.aesthetic_min <= bright.aesthetic_mean
    assert isinstance(reject, Reject)


def test_the_score_compares_the_two_descriptions_of_each_pair(model: Path, clips: list[Clip]) -> None:
    pairs = ("a bright room | a dark cellar", "snow | coal")
    row, _, reject = _annotate_all(ScoreTechnical(model=str(model), prompt_pairs=pairs), clips)
    swapped = tuple(" | ".join(reversed(pair.split(" | "))) for pair in pairs)
    reverse, *_ = ScoreTechnical(model=str(model), prompt_pairs=swapped).annotate(clips)
    assert isinstance(row, Technical)
    assert isinstance(reverse, Technical)
    assert 0 < row.technical_min <= row.technical_mean < 1
    assert row.technical_mean != pytest.approx(0.5, abs=1e-3)
    assert row.technical_mean + reverse.technical_mean == pytest.approx(1, abs=2e-4)
    assert isinstance(reject, Reject)
    with pytest.raises(ValueError, match="write each of prompt_pairs"):
        ScoreTechnical(model=str(model), prompt_pairs=("good",))


def test_the_type_is_the_one_with_the_most_similar_descriptions(
    model: Path, clips: list[Clip], tmp_path: Path
) -> None:
    file = tmp_path / "types.txt"
    file.write_text("# own\nlight: a white wall; the sun\nnight: a black cat\n\nwater: the sea  # waves\n")
    stage = ClassifyVideo(model=str(model), types_file=str(file))
    row, _, reject = _annotate_all(stage, clips)
    loaded = OpenClipModel(str(model))
    near = (
        loaded.embed_images(_stills(clips[0])).mean(axis=0) @ loaded.embed_texts(["a black cat", "the sea"]).T
    )
    assert isinstance(row, VideoType)
    assert {row.video_type, row.video_type_second} < {"light", "night", "water"}
    order = [row.video_type, row.video_type_second, "light", "night", "water"]
    assert (order.index("night") < order.index("water")) == (near[0] > near[1])
    assert 1 / 3 <= row.video_type_score <= 1
    assert isinstance(reject, Reject)


def test_the_default_types_all_have_their_own_descriptions() -> None:
    known = read_types(DEFAULT_TYPES)
    assert len(known) >= 27
    assert len({text for kind in known for text in kind.descriptions}) == sum(
        len(k.descriptions) for k in known
    )


def test_other_types_give_another_digest(model: Path, tmp_path: Path) -> None:
    (tmp_path / "types.txt").write_text("a: one\nb: two\n")
    default, other = (
        ClassifyVideo(model=str(model)),
        ClassifyVideo(model=str(model), types_file=str(tmp_path / "types.txt")),
    )
    assert default.digest() != other.digest()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: one\na: two\n", "appears twice"),
        ("a one\n", "does not describe"),
        ("a: one\n", "at least two types"),
    ],
)
def test_a_wrong_types_file_is_an_error(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "types.txt").write_text(text)
    with pytest.raises(ClipmillError, match=reason) as error:
        read_types(tmp_path / "types.txt")
    assert "types.txt" in error.value.where
    with pytest.raises(ClipmillError, match="no file of video types"):
        read_types(tmp_path / "none.txt")


def test_missing_weights_are_errors_before_the_run(model: Path, tmp_path: Path) -> None:
    for stage in (
        ScoreAesthetics(model="none", head="none"),
        ScoreTechnical(model="none"),
        ClassifyVideo(model="none"),
    ):
        with pytest.raises(WeightsError, match="no open_clip model"):
            stage.digest()
    with pytest.raises(WeightsError, match="the head has no weights"):
        ScoreAesthetics(model=str(model), head=str(tmp_path / "none.pth")).digest()
