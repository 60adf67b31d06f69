"""The search finds all similar pairs and no others, for any parts, split cells and order of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from run_comparison import run_comparison

from stages.duplicates.cells import load_cells
from stages.duplicates.errors import CannotCompare
from stages.duplicates.search_pairs import SearchPairs

Clips = Callable[..., pa.Table]
Crowd = Callable[..., tuple[pa.Table, set[tuple[str, str]]]]


def stored_pairs(table: pa.Table) -> dict[tuple[str, str], float]:
    """The pairs of a searched table and their similarity, after a check that both rows list each pair."""
    pairs = {}
    for row in table.to_pylist():
        assert row["similarities"] == sorted(row["similarities"], reverse=True)
        for other, similarity in zip(row["similar_ids"], row["similarities"], strict=True):
            assert (row["id"], other) not in pairs
            pairs[row["id"], other] = similarity
    assert all(pairs[other, one] == similarity for (one, other), similarity in pairs.items())
    return {pair: similarity for pair, similarity in pairs.items() if pair[0] < pair[1]}


def exact_pairs(table: pa.Table, min_similarity: float) -> dict[tuple[str, str], float]:
    ids = table["id"].to_pylist()
    vectors = np.stack(table["embedding"].to_numpy()).astype(np.float64)
    similarity = np.round(vectors @ vectors.T, 6)
    one, other = np.nonzero(np.triu(similarity >= min_similarity, 1))
    pairs = [tuple(sorted((ids[i], ids[j]))) for i, j in zip(one, other, strict=True)]
    return dict(zip(pairs, similarity[one, other].tolist(), strict=True))


def test_all_similar_pairs_are_found(crowd: Crowd) -> None:
    table, planted = crowd()
    for min_similarity in (0.9, 0.8, 0.7):
        pairs = stored_pairs(run_comparison(SearchPairs(min_similarity=min_similarity), table))
        assert planted <= set(pairs)
        expected = exact_pairs(table, min_similarity)
        assert set(pairs) <= set(expected)
        assert len(pairs) >= 0.995 * len(expected)  # the bits may miss some just above min_similarity
        assert all(pairs[pair] == pytest.approx(expected[pair], abs=1.1e-6) for pair in pairs)


@pytest.mark.parametrize("group_rows", [1000, 150])
def test_no_cell_and_no_split_cell_is_left_out(group_rows: int, crowd: Crowd) -> None:
    table, planted = crowd(2000, 200, centers=20)
    stage = SearchPairs(min_similarity=0.9, group_rows=group_rows)
    cells = load_cells(stage.fit(table, len(table)))
    assert len(cells.centroids) > 20
    assert (cells.splits.max() > 1) == (group_rows == 150)
    pairs = set(stored_pairs(run_comparison(stage, table)))
    assert pairs <= set(exact_pairs(table, 0.9))
    assert len(planted & pairs) >= 0.99 * len(planted)


@pytest.mark.parametrize("group_rows", [100_000, 300])
def test_order_and_parts_do_not_matter(group_rows: int, crowd: Crowd) -> None:
    table, _ = crowd(800, 80)
    stage = SearchPairs(group_rows=group_rows)
    expected = run_comparison(stage, table)
    for seed, parts in ((1, 1), (2, 3)):
        order = np.random.default_rng(seed).permutation(len(table))
        again = run_comparison(stage, table.take(order), parts)
        assert again.sort_by("id").equals(expected.sort_by("id"))


def test_clips_with_equal_stills_are_searched_for_as_one(clips: Clips) -> None:
    near, other = [1, 0.1, 0], [1, 0.3, 0]
    table = clips([near, other, near, near], "dcba", stills_sha256=["1" * 8, "2" * 8, "1" * 8, "1" * 8])
    pairs = stored_pairs(run_comparison(SearchPairs(), table))
    assert pairs == {("a", "b"): 1.0, ("a", "d"): 1.0, ("a", "c"): pytest.approx(0.981, abs=1e-3)}


def test_pairs_of_equal_vectors_and_of_few_rows_are_found(clips: Clips) -> None:
    assert stored_pairs(run_comparison(SearchPairs(), clips([[1, 2, 3]]))) == {}
    two = stored_pairs(run_comparison(SearchPairs(), clips([[1, 2, 3], [1, 2, 3]])))
    assert set(two) == {("00000", "00001")}
    many = stored_pairs(run_comparison(SearchPairs(min_similarity=0.99), clips(np.ones((300, 16)))))
    assert len(many) == 300 * 299 / 2


def test_embeddings_of_two_kinds_or_lengths_are_an_error(clips: Clips) -> None:
    mixed = clips(np.eye(4), embedding_kind=["old", "new", "new", "new"])
    with pytest.raises(CannotCompare, match="new, old"):
        run_comparison(SearchPairs(), mixed)
    ragged = pa.concat_tables([clips(np.eye(4)), clips(np.eye(3), ["a", "b", "c"])])
    with pytest.raises(CannotCompare, match=r"has \d numbers, not"):
        run_comparison(SearchPairs(), ragged)
    broken = clips(np.eye(2))
    broken = broken.set_column(
        1, "embedding", pa.array([[1.0, 0.0], [float("nan"), 1.0]], pa.list_(pa.float32()))
    )
    with pytest.raises(CannotCompare, match="a number that is not finite"):
        run_comparison(SearchPairs(), broken)


def test_no_rows_give_no_pairs(clips: Clips) -> None:
    nothing: Any = clips(np.eye(2)).slice(0, 0)
    assert run_comparison(SearchPairs(), nothing).num_rows == 0
