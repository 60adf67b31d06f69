"""Scores and types from open_clip towers: real code on small weights, equal for any batch."""

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
from stages.media.strip import pixels_of, read_strip
from stages.models.open_clip import Towers
from stages.models.weights import NoWeights
from stages.quality.classify_video import OWN, ClassifyVideo, VideoType, types_of
from stages.quality.score_aesthetics import Aesthetics, ScoreAesthetics
from stages.quality.score_technical import ScoreTechnical, Technical
from stages.quality.seen import Clip
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_towers(tmp_path_factory.mktemp("models") / "towers")


@pytest.fixture
def clips(film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw) -> list[Clip]:
    """A bright clip, a dark one, and one between two stills."""
    bright = [255 - p // 4 for p in moving(3, 24)]
    scanned = scan(film([*bright, *(p // 5 for p in moving(3, 24))], fps=12))
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return [Clip(**stored, start_s=a, end_s=b) for a, b in ((0, 2), (2, 4), (0.1, 0.2))]


def _pictures(clip: Clip) -> list[np.ndarray]:
    return [pixels_of(still) for still in read_strip(clip, clip.start_s, clip.end_s, 4)]


def _head_for(towers: Path, clips: list[Clip], file: Path) -> Path:
    """A head that was fitted to say 9 of the bright clip's stills and 1 of the dark one's."""
    seen = Towers(str(towers))
    parts = [seen.images(_pictures(clip)) for clip in clips[:2]]
    wanted = np.repeat([9.0, 1.0], [len(part) for part in parts])
    known = np.concatenate(parts).astype(np.float64)
    weight = np.linalg.lstsq(np.c_[known, np.ones(len(known))], wanted, rcond=None)[0]
    save_file(
        {"weight": torch.from_numpy(weight[None, :-1].copy()), "bias": torch.from_numpy(weight[-1:].copy())},
        file,
    )
    return file


def _all_ways(stage: Any, clips: list[Clip]) -> list[Any]:
    """The answers to all clips at once, which are the answers to each by itself, in any order."""
    together = list(stage.annotate(clips))
    alone = [said for clip in clips[::-1] for said in stage.annotate([clip])][::-1]
    assert [str(said) for said in together] == [str(said) for said in alone]
    return together


def test_a_head_that_likes_light_scores_the_bright_clip_higher(
    towers: Path, clips: list[Clip], tmp_path: Path
) -> None:
    head = _head_for(towers, clips, tmp_path / "head.safetensors")
    bright, dark, short = _all_ways(ScoreAesthetics(towers=str(towers), head=str(head)), clips)
    assert isinstance(bright, Aesthetics)
    assert bright.aesthetic_mean == pytest.approx(9, abs=0.5)
    assert dark.aesthetic_mean == pytest.approx(1, abs=0.5)
    assert bright.aesthetic_min <= bright.aesthetic_mean
    assert isinstance(short, Reject)


def test_the_better_word_of_each_pair_is_weighed_against_the_worse(towers: Path, clips: list[Clip]) -> None:
    pairs = ("a bright room | a dark cellar", "snow | coal")
    said, _, short = _all_ways(ScoreTechnical(towers=str(towers), pairs=pairs), clips)
    turned = tuple(" | ".join(reversed(pair.split(" | "))) for pair in pairs)
    back, *_ = ScoreTechnical(towers=str(towers), pairs=turned).annotate(clips)
    assert isinstance(said, Technical)
    assert isinstance(back, Technical)
    assert 0 < said.technical_min <= said.technical_mean < 1
    assert said.technical_mean != pytest.approx(0.5, abs=1e-3)
    assert said.technical_mean + back.technical_mean == pytest.approx(1, abs=2e-4)
    assert isinstance(short, Reject)
    with pytest.raises(ValueError, match="are written"):
        ScoreTechnical(towers=str(towers), pairs=("good",))


def test_the_type_is_the_one_described_nearest(towers: Path, clips: list[Clip], tmp_path: Path) -> None:
    file = tmp_path / "types.txt"
    file.write_text("# own\nlight: a white wall; the sun\nnight: a black cat\n\nwater: the sea  # waves\n")
    stage = ClassifyVideo(towers=str(towers), types=str(file))
    said, _, short = _all_ways(stage, clips)
    seen = Towers(str(towers))
    near = seen.images(_pictures(clips[0])).mean(axis=0) @ seen.texts(["a black cat", "the sea"]).T
    assert isinstance(said, VideoType)
    assert {said.video_type, said.video_type_second} < {"light", "night", "water"}
    order = [said.video_type, said.video_type_second, "light", "night", "water"]
    assert (order.index("night") < order.index("water")) == (near[0] > near[1])
    assert 1 / 3 <= said.video_type_score <= 1
    assert isinstance(short, Reject)


def test_the_types_that_come_along_are_many_and_each_is_described() -> None:
    known = types_of(OWN)
    assert len(known) >= 27
    assert len({words for kind in known for words in kind.described}) == sum(len(k.described) for k in known)


def test_another_list_of_types_is_another_result(towers: Path, tmp_path: Path) -> None:
    (tmp_path / "types.txt").write_text("a: one\nb: two\n")
    own, given = (
        ClassifyVideo(towers=str(towers)),
        ClassifyVideo(towers=str(towers), types=str(tmp_path / "types.txt")),
    )
    assert own.digest() != given.digest()


@pytest.mark.parametrize(
    ("text", "why"),
    [("a: one\na: two\n", "of one type"), ("a one\n", "does not describe"), ("a: one\n", "must be two")],
)
def test_a_list_of_types_that_is_wrong_is_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "types.txt").write_text(text)
    with pytest.raises(ClipmillError, match=why) as error:
        types_of(tmp_path / "types.txt")
    assert "types.txt" in error.value.where
    with pytest.raises(ClipmillError, match="no file of video types"):
        types_of(tmp_path / "none.txt")


def test_without_weights_a_run_does_not_begin(towers: Path, tmp_path: Path) -> None:
    for stage in (
        ScoreAesthetics(towers="none", head="none"),
        ScoreTechnical(towers="none"),
        ClassifyVideo(towers="none"),
    ):
        with pytest.raises(NoWeights, match="no open_clip model"):
            stage.digest()
    with pytest.raises(NoWeights, match="the head has no weights"):
        ScoreAesthetics(towers=str(towers), head=str(tmp_path / "none.pth")).digest()
