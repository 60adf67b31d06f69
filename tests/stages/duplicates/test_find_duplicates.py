"""The best of several similar clips is kept, and each of the others names a clip that is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from run_comparison import run_comparison

from stages.duplicates.copies import signature_of
from stages.duplicates.errors import CannotCompare
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs

Clips = Callable[..., pa.Table]
Crowd = Callable[..., tuple[pa.Table, set[tuple[str, str]]]]


def decide(table: pa.Table, similarity: float = 0.87, parts: int = 1) -> dict[str, dict[str, Any]]:
    """The row of each clip after both stages, by id."""
    searched = run_comparison(SearchPairs(), table, parts)
    rows = run_comparison(
        FindDuplicates(duplicates="semantic", max_semantic_similarity=similarity), searched, parts
    ).to_pylist()
    decisions = {row["id"]: row for row in rows}
    for row in rows:
        assert (
            (row["duplicate_of"] is not None) == (row["duplicate_similarity"] is not None) == row["duplicate"]
        )
        assert row["duplicate_kind"] == ("semantic" if row["duplicate"] else None)
        if row["duplicate"]:
            assert not decisions[row["duplicate_of"]]["duplicate"]
            assert row["duplicate_similarity"] >= similarity
    return decisions


def _direction(degrees: float) -> list[float]:
    return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0]


def test_of_each_planted_pair_the_better_is_kept(crowd: Crowd) -> None:
    table, planted = crowd(similarity=0.95)
    decisions = decide(table, 0.93)
    for pair in planted:
        better, worse = sorted(pair, key=lambda name: -decisions[name]["sharpness"])
        assert decisions[worse]["duplicate_of"] == better
        assert not decisions[better]["duplicate"]
    assert sum(row["duplicate"] for row in decisions.values()) == len(planted)


def test_order_and_parts_do_not_matter(crowd: Crowd) -> None:
    table, _ = crowd(600, 100, centers=3)
    expected = decide(table, 0.8)
    assert 100 < sum(row["duplicate"] for row in expected.values()) < 700
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    assert decide(shuffled, 0.8, parts=7) == expected


@pytest.mark.parametrize("order", ["abc", "bac", "cba"])
def test_in_a_chain_each_duplicate_names_a_kept_clip(order: str, clips: Clips) -> None:
    """a and c are similar to b, but not to each other."""
    quality = [-order.index(name) for name in "abc"]
    decisions = decide(clips([_direction(0), _direction(20), _direction(40)], "abc", sharpness=quality), 0.9)
    dropped = {name for name, row in decisions.items() if row["duplicate"]}
    assert dropped == ({"a", "c"} if order[0] == "b" else {"b"})


def test_a_duplicate_names_the_most_similar_kept_clip(clips: Clips) -> None:
    vectors = [_direction(0), _direction(27), _direction(10), _direction(18)]
    decisions = decide(clips(vectors, "abcd", sharpness=[4, 3, 2, 1]), 0.9)
    assert {name: decisions[name]["duplicate_of"] for name in "abcd"} == {
        "a": None,
        "b": None,
        "c": "a",
        "d": "b",
    }
    assert decisions["d"]["duplicate_similarity"] == pytest.approx(np.cos(np.radians(9)), abs=1e-6)


@pytest.mark.parametrize(
    "better",
    [
        {"width_px": 1280, "height_px": 720, "sharpness": 0.1, "end_s": 1.0},
        {"sharpness": 0.6, "end_s": 1.0},
        {"end_s": 5.0},
    ],
)
def test_pixels_then_sharpness_then_length_decide(better: dict[str, float], clips: Clips) -> None:
    table = pa.concat_tables([clips([_direction(0)], "a"), clips([_direction(1)], "z", **better)])
    decisions = decide(table)
    assert (decisions["a"]["duplicate_of"], decisions["z"]["duplicate_of"]) == ("z", None)


def test_among_equals_the_id_decides(clips: Clips) -> None:
    decisions = decide(clips([_direction(0)] * 3, "cab"))
    assert [decisions[name]["duplicate_of"] for name in "abc"] == [None, "a", "a"]


def test_the_best_of_clips_with_equal_stills_stands_for_all(clips: Clips) -> None:
    """b and d have equal stills; a is similar and better; without a, d is better than b."""
    vectors, same = [_direction(8), _direction(0), _direction(0)], ["0" * 8, "1" * 8, "1" * 8]
    table = clips(vectors, "abd", stills_sha256=same, sharpness=[0.9, 0.1, 0.5])
    decisions = decide(table)
    similarity = round(float(np.cos(np.radians(8))), 6)
    assert [(decisions[n]["duplicate_of"], decisions[n]["duplicate_similarity"]) for n in "bd"] == [
        ("a", similarity),
        ("a", similarity),
    ]
    decisions = decide(table.slice(1))
    assert (
        decisions["b"]["duplicate_of"],
        decisions["b"]["duplicate_similarity"],
        decisions["d"]["duplicate_of"],
    ) == (
        "d",
        1.0,
        None,
    )


def test_a_similarity_below_that_of_the_search_is_an_error(clips: Clips) -> None:
    searched = run_comparison(SearchPairs(min_similarity=0.9), clips(np.eye(3)))
    with pytest.raises(CannotCompare, match=r"is 0\.75, and only pairs .* of 0\.9 or more are stored"):
        run_comparison(FindDuplicates(duplicates="semantic"), searched)


def test_no_clips_have_no_duplicates(clips: Clips) -> None:
    searched = run_comparison(SearchPairs(), clips(np.eye(2)).slice(0, 0))
    assert run_comparison(FindDuplicates(), searched).num_rows == 0


def test_copies_agree_over_time_and_semantic_duplicates_only_resemble_each_other(clips: Clips) -> None:
    """b is a copy of a; c, of the same scene, is another moment; clips with equal stills are copies."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (2, 24, 18, 32)).astype(np.uint8)
    one, other = (signature_of(luma, np.arange(24) / 6, 0.0, 4.0) for luma in frames)
    vectors, quality = [_direction(0), _direction(5), _direction(10), _direction(10)], [4, 3, 2, 1]
    stills = ["0" * 8, "1" * 8, "2" * 8, "2" * 8]
    signatures = [one, one, other, other]
    table = clips(vectors, "abcd", frame_signature=signatures, sharpness=quality, stills_sha256=stills)
    searched = run_comparison(SearchPairs(), table)
    found = {}
    for kind in ("copies", "semantic"):
        rows = run_comparison(FindDuplicates(duplicates=kind), searched).to_pylist()
        found[kind] = {r["id"]: (r["duplicate_of"], r["duplicate_kind"]) for r in rows if r["duplicate"]}
    assert found["copies"] == {"b": ("a", "copies"), "d": ("c", "copies")}
    assert found["semantic"] == dict.fromkeys("bcd", ("a", "semantic"))


def test_an_unknown_kind_of_duplicates_is_an_error(clips: Clips) -> None:
    searched = run_comparison(SearchPairs(), clips(np.eye(3)))
    with pytest.raises(CannotCompare, match="duplicates is 'alike'"):
        run_comparison(FindDuplicates(duplicates="alike"), searched)


def test_of_a_recording_only_the_first_camera_can_be_a_duplicate(crowd: Crowd) -> None:
    table, pairs = crowd()
    one, other = sorted(pairs)[0]
    ids = table["id"].to_pylist()
    first = table.append_column("camera_number", pa.array([0] * len(ids), pa.int64()))
    assert decide(first)[one]["duplicate"] or decide(first)[other]["duplicate"]
    numbers = pa.array([int(row == one) for row in ids], pa.int64())
    second = decide(table.append_column("camera_number", numbers))
    assert not second[one]["duplicate"]
    assert second[other]["duplicate_of"] != one
