"""Of clips that show the same the best is kept, and each of the others names a clip that is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from compared import compared

from stages.duplicates.errors import CannotCompare
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs

Clips = Callable[..., pa.Table]
Crowd = Callable[..., tuple[pa.Table, set[tuple[str, str]]]]


def told(table: pa.Table, threshold: float = 0.87, parts: int = 1) -> dict[str, dict[str, Any]]:
    """What is said of each clip, by id."""
    searched = compared(SearchPairs(), table, parts)
    rows = compared(FindDuplicates(threshold=threshold), searched, parts).to_pylist()
    answers = {row["id"]: row for row in rows}
    for row in rows:
        assert (row["twin"] is not None) == (row["duplicate_similarity"] is not None) == row["duplicate"]
        if row["duplicate"]:
            assert not answers[row["twin"]]["duplicate"]
            assert row["duplicate_similarity"] >= threshold
    return answers


def _turned(degrees: float) -> list[float]:
    return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0]


def test_of_each_planted_pair_the_better_is_kept(crowd: Crowd) -> None:
    table, planted = crowd(similarity=0.95)
    answers = told(table, 0.93)
    for pair in planted:
        better, worse = sorted(pair, key=lambda name: -answers[name]["sharpness"])
        assert answers[worse]["twin"] == better
        assert not answers[better]["duplicate"]
    assert sum(answer["duplicate"] for answer in answers.values()) == len(planted)


def test_order_and_parts_do_not_matter(crowd: Crowd) -> None:
    table, _ = crowd(600, 100, worlds=3)
    wanted = told(table, 0.8)
    assert 100 < sum(answer["duplicate"] for answer in wanted.values()) < 700
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    assert told(shuffled, 0.8, parts=7) == wanted


@pytest.mark.parametrize("order", ["abc", "bac", "cba"])
def test_in_a_chain_each_dropped_clip_has_a_kept_twin(order: str, clips: Clips) -> None:
    """a and c are alike to b, but not to each other."""
    quality = [-order.index(name) for name in "abc"]
    answers = told(clips([_turned(0), _turned(20), _turned(40)], "abc", sharpness=quality), 0.9)
    dropped = {name for name, answer in answers.items() if answer["duplicate"]}
    assert dropped == ({"a", "c"} if order[0] == "b" else {"b"})


def test_the_twin_is_the_most_similar_that_is_kept(clips: Clips) -> None:
    vectors = [_turned(0), _turned(27), _turned(10), _turned(18)]
    answers = told(clips(vectors, "abcd", sharpness=[4, 3, 2, 1]), 0.9)
    assert {name: answers[name]["twin"] for name in "abcd"} == {"a": None, "b": None, "c": "a", "d": "b"}
    assert answers["d"]["duplicate_similarity"] == pytest.approx(np.cos(np.radians(9)), abs=1e-6)


@pytest.mark.parametrize(
    "better",
    [
        {"width_px": 1280, "height_px": 720, "sharpness": 0.1, "end_s": 1.0},
        {"sharpness": 0.6, "end_s": 1.0},
        {"end_s": 5.0},
    ],
)
def test_pixels_then_sharpness_then_length_decide(better: dict[str, float], clips: Clips) -> None:
    table = pa.concat_tables([clips([_turned(0)], "a"), clips([_turned(1)], "z", **better)])
    answers = told(table)
    assert (answers["a"]["twin"], answers["z"]["twin"]) == ("z", None)


def test_among_equals_the_id_decides(clips: Clips) -> None:
    answers = told(clips([_turned(0)] * 3, "cab"))
    assert [answers[name]["twin"] for name in "abc"] == [None, "a", "a"]


def test_the_best_of_clips_with_equal_pictures_stands_for_all(clips: Clips) -> None:
    """b and d show the same pictures; a is like them and better; without a, d is better than b."""
    vectors, same = [_turned(8), _turned(0), _turned(0)], ["0" * 8, "1" * 8, "1" * 8]
    table = clips(vectors, "abd", pictures_sha256=same, sharpness=[0.9, 0.1, 0.5])
    answers = told(table)
    near = round(float(np.cos(np.radians(8))), 6)
    assert [(answers[n]["twin"], answers[n]["duplicate_similarity"]) for n in "bd"] == [
        ("a", near),
        ("a", near),
    ]
    answers = told(table.slice(1))
    assert (answers["b"]["twin"], answers["b"]["duplicate_similarity"], answers["d"]["twin"]) == (
        "d",
        1.0,
        None,
    )


def test_a_threshold_below_the_floor_is_refused(clips: Clips) -> None:
    searched = compared(SearchPairs(floor=0.9), clips(np.eye(3)))
    with pytest.raises(CannotCompare, match=r"from 0\.9 on, and 0\.75 is asked"):
        compared(FindDuplicates(), searched)


def test_no_clips_have_no_duplicates(clips: Clips) -> None:
    searched = compared(SearchPairs(), clips(np.eye(2)).slice(0, 0))
    assert compared(FindDuplicates(), searched).num_rows == 0
