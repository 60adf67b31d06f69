"""Scores of boundaries in small cases computed by hand, and of clips with planted defects."""

import json
from pathlib import Path

import pytest

from stages.footage.score import score_boundaries, score_clips
from stages.footage.truth import Cut, ShotTruth, Span, Truth, read_truth, to_json

FILM = Truth(
    "a.mp4",
    frames=200,
    fps="25",
    cuts=(Cut(50, "cut"), Cut(53, "cut")),
    graduals=(Span(100, 120, "dissolve"),),
    negatives=(Span(150, 152, "flash"),),
    ignore=((180, 185),),
)


def score(*frames: int) -> dict:
    return score_boundaries({"a.mp4": FILM}, {"a.mp4": frames})


def test_exact_predictions_score_one() -> None:
    result = score(50, 53, 110)
    assert (result["precision"], result["recall"], result["f1"]) == (1.0, 1.0, 1.0)
    assert result["kinds"] == {"cut": {"found": 2, "planted": 2}, "dissolve": {"found": 1, "planted": 1}}


def test_one_prediction_finds_one_cut() -> None:
    result = score(51)
    assert result["kinds"]["cut"] == {"found": 1, "planted": 2}
    assert result["false_alarms"] == 0


def test_predictions_two_frames_off_count_and_three_frames_off_do_not() -> None:
    assert score(48)["found"] == 1
    assert score(47)["found"] == 0
    assert score(47)["false_alarms"] == 1
    assert score(98)["found"] == score(122)["found"] == 1
    assert score(97)["found"] == score(123)["found"] == 0


def test_a_gradual_transition_uses_all_predictions_in_it() -> None:
    result = score(101, 110, 119)
    assert (result["found"], result["false_alarms"]) == (1, 0)


def test_a_flash_predicted_as_boundary_is_counted_and_ignored_spans_are_not() -> None:
    result = score(150, 182)
    assert result["false_alarms"] == 1
    assert result["mistaken"] == {"flash": {"taken": 1, "planted": 1}}


def test_an_empty_list_misses_all_and_a_missing_key_leaves_the_film_out() -> None:
    assert score()["recall"] == 0.0
    assert score()["planted"] == 3
    assert score_boundaries({"a.mp4": FILM}, {})["films"] == 0


SHOTS = {
    "a.mp4": Truth(
        "a.mp4",
        frames=300,
        fps="25",
        shots=(
            ShotTruth(0, 100, motion="pan", good=True),
            ShotTruth(100, 200, defects=(Span(120, 190, "frozen"),)),
            ShotTruth(200, 230),
            ShotTruth(230, 300, motion="zoom", good=True),
        ),
    ),
    "b.mp4": Truth("b.mp4", frames=100, fps="25", shots=(ShotTruth(0, 100, duplicate_of=("a.mp4", 0)),)),
    "bad.mp4": Truth("bad.mp4", frames=0, reject="empty"),
}


def clip(source: str, start: int, end: int, outcome: str = "kept", **more: str) -> dict:
    return {"source": source, "start_frame": start, "end_frame": end, "outcome": outcome, **more}


def test_a_perfect_run() -> None:
    result = score_clips(
        SHOTS,
        [
            clip("a.mp4", 1, 99, camera="pan"),
            clip("a.mp4", 100, 200, "too still"),
            clip("a.mp4", 230, 300, camera="zoom"),
            clip("b.mp4", 0, 100, "a duplicate"),
            {"source": "bad.mp4", "outcome": "rejected"},
        ],
    )
    assert result == {
        "good": {"right": 2, "planted": 2},
        "duplicate": {"right": 1, "planted": 1},
        "bad_files": {"right": 1, "planted": 1},
        "camera": {"right": 2, "planted": 2},
        "defects": {"frozen": {"right": 1, "planted": 1}, "brief": {"right": 1, "planted": 1}},
    }


@pytest.mark.parametrize(("camera", "right"), [("travel", 1), ("pan", 1), ("zoom", 0)])
def test_pan_is_right_for_a_camera_that_travels_but_not_the_reverse(camera: str, right: int) -> None:
    film = {"a.mp4": Truth("a.mp4", frames=100, fps="25", shots=(ShotTruth(0, 100, motion="travel"),))}
    assert score_clips(film, [clip("a.mp4", 0, 100, camera=camera)])["camera"] == {
        "right": right,
        "planted": 1,
    }
    film = {"a.mp4": Truth("a.mp4", frames=100, fps="25", shots=(ShotTruth(0, 100, motion="pan"),))}
    assert score_clips(film, [clip("a.mp4", 0, 100, camera="travel")])["camera"]["right"] == 0


def test_keeping_everything_finds_no_defect() -> None:
    everything = [clip("a.mp4", 0, 300, camera="roll"), clip("b.mp4", 0, 100)]
    result = score_clips(SHOTS, everything)
    assert result["good"]["right"] == 2
    assert result["duplicate"]["right"] == result["bad_files"]["right"] == 0
    assert {kind["right"] for kind in result["defects"].values()} == {0}
    assert result["camera"]["planted"] == 0  # the clip covers no single shot


def test_a_good_shot_counts_as_kept_if_its_duplicate_was() -> None:
    result = score_clips(SHOTS, [clip("b.mp4", 0, 100)])
    assert result["good"] == {"right": 1, "planted": 2}
    assert result["duplicate"] == {"right": 1, "planted": 1}


def test_a_shot_counts_as_kept_from_half_of_its_frames() -> None:
    assert score_clips(SHOTS, [clip("a.mp4", 0, 50)])["good"]["right"] == 1
    assert score_clips(SHOTS, [clip("a.mp4", 0, 49)])["good"]["right"] == 0


def test_the_truth_is_read_as_it_was_written(tmp_path: Path) -> None:
    for number, truth in enumerate((FILM, *SHOTS.values())):
        (tmp_path / f"{number}.json").write_text(to_json(truth), encoding="utf-8")
        assert read_truth(tmp_path)[truth.video] == truth


def test_a_truth_with_boundaries_only_is_read(tmp_path: Path) -> None:
    record = {"video": "x.mp4", "frames": 9, "cuts": [], "shots": [[0, 9, "from.mp4", 67]]}
    (tmp_path / "x.json").write_text(json.dumps(record))
    (tmp_path / "index.json").write_text("[]")
    assert read_truth(tmp_path) == {"x.mp4": Truth("x.mp4", 9, shots=(ShotTruth(0, 9, world="from.mp4"),))}


def test_an_invalid_truth_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"video": "x.mp4", "frames": 9, "cuts": [{"kind": "cut"}]}))
    with pytest.raises(
        ValueError, match=r"x\.json is not a valid ground truth of a film: KeyError\('frame'\)"
    ):
        read_truth(tmp_path)
