"""All pairs above the floor are found and no others, however the rows are dealt, split and ordered."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from compared import compared

from stages.duplicates.cells import read_cells
from stages.duplicates.errors import CannotCompare
from stages.duplicates.search_pairs import SearchPairs

Clips = Callable[..., pa.Table]
Crowd = Callable[..., tuple[pa.Table, set[tuple[str, str]]]]


def found(table: pa.Table) -> dict[tuple[str, str], float]:
    """The pairs of a searched table, each from both sides, and their similarity."""
    pairs = {}
    for row in table.to_pylist():
        assert row["similarities"] == sorted(row["similarities"], reverse=True)
        for other, similarity in zip(row["alike"], row["similarities"], strict=True):
            assert (row["id"], other) not in pairs
            pairs[row["id"], other] = similarity
    assert all(pairs[other, one] == similarity for (one, other), similarity in pairs.items())
    return {pair: similarity for pair, similarity in pairs.items() if pair[0] < pair[1]}


def exact(table: pa.Table, floor: float) -> dict[tuple[str, str], float]:
    ids = table["id"].to_pylist()
    vectors = np.stack(table["embedding"].to_numpy()).astype(np.float64)
    alike = np.round(vectors @ vectors.T, 6)
    one, other = np.nonzero(np.triu(alike >= floor, 1))
    pairs = [tuple(sorted((ids[i], ids[j]))) for i, j in zip(one, other, strict=True)]
    return dict(zip(pairs, alike[one, other].tolist(), strict=True))


def test_all_pairs_above_the_floor_are_found(crowd: Crowd) -> None:
    table, planted = crowd()
    for floor in (0.9, 0.8, 0.7):
        pairs = found(compared(SearchPairs(floor=floor), table))
        assert planted <= set(pairs)
        wanted = exact(table, floor)
        assert set(pairs) <= set(wanted)
        assert len(pairs) >= 0.995 * len(wanted)  # bits may miss some just above the floor
        assert all(pairs[pair] == pytest.approx(wanted[pair], abs=1.1e-6) for pair in pairs)


@pytest.mark.parametrize("group_rows", [1000, 150])
def test_of_many_cells_and_split_cells_none_is_left_out(group_rows: int, crowd: Crowd) -> None:
    table, planted = crowd(2000, 200, worlds=20)
    stage = SearchPairs(floor=0.9, group_rows=group_rows)
    cells = read_cells(stage.fit(table, len(table)))
    assert len(cells.centroids) > 20
    assert (cells.splits.max() > 1) == (group_rows == 150)
    pairs = set(found(compared(stage, table)))
    assert pairs <= set(exact(table, 0.9))
    assert len(planted & pairs) >= 0.99 * len(planted)


@pytest.mark.parametrize("group_rows", [100_000, 300])
def test_order_and_parts_do_not_matter(group_rows: int, crowd: Crowd) -> None:
    table, _ = crowd(800, 80)
    stage = SearchPairs(group_rows=group_rows)
    wanted = compared(stage, table)
    for seed, parts in ((1, 1), (2, 3)):
        order = np.random.default_rng(seed).permutation(len(table))
        again = compared(stage, table.take(order), parts)
        assert again.sort_by("id").equals(wanted.sort_by("id"))


def test_clips_of_equal_pictures_are_searched_for_as_one(clips: Clips) -> None:
    near, other = [1, 0.1, 0], [1, 0.3, 0]
    table = clips([near, other, near, near], "dcba", pictures_sha256=["1" * 8, "2" * 8, "1" * 8, "1" * 8])
    pairs = found(compared(SearchPairs(), table))
    assert pairs == {("a", "b"): 1.0, ("a", "d"): 1.0, ("a", "c"): pytest.approx(0.981, abs=1e-3)}


def test_pairs_of_equal_vectors_and_of_few_rows_are_found(clips: Clips) -> None:
    assert found(compared(SearchPairs(), clips([[1, 2, 3]]))) == {}
    assert set(found(compared(SearchPairs(), clips([[1, 2, 3], [1, 2, 3]])))) == {("00000", "00001")}
    many = found(compared(SearchPairs(floor=0.99), clips(np.ones((300, 16)))))
    assert len(many) == 300 * 299 / 2


def test_vectors_of_two_kinds_or_lengths_are_refused(clips: Clips) -> None:
    mixed = clips(np.eye(4), embedding_kind=["old", "new", "new", "new"])
    with pytest.raises(CannotCompare, match="new, old"):
        compared(SearchPairs(), mixed)
    ragged = pa.concat_tables([clips(np.eye(4)), clips(np.eye(3), ["a", "b", "c"])])
    with pytest.raises(CannotCompare, match=r"has \d numbers and not"):
        compared(SearchPairs(), ragged)
    broken = clips(np.eye(2))
    broken = broken.set_column(
        1, "embedding", pa.array([[1.0, 0.0], [float("nan"), 1.0]], pa.list_(pa.float32()))
    )
    with pytest.raises(CannotCompare, match="a number that is none"):
        compared(SearchPairs(), broken)


def test_no_rows_give_no_pairs(clips: Clips) -> None:
    nothing: Any = clips(np.eye(2)).slice(0, 0)
    assert compared(SearchPairs(), nothing).num_rows == 0
