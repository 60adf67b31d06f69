"""Finds the clips that copy or resemble a better clip, and names for each a clip that is kept.

From the best to the worst clip, a clip that is similar to a kept one is a duplicate (`greedy.py`). Clips with
equal stills count as one: the best of them stands for all.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from manifests import Row, Share, column
from pipeline import Compare, Needs
from stages.duplicates.errors import CannotCompare
from stages.duplicates.greedy import choose_duplicates

if TYPE_CHECKING:
    import pyarrow as pa


class SearchedClip(Row):
    id: str
    stills_sha256: str
    width_px: int
    height_px: int
    sharpness: float
    start_s: float
    end_s: float
    similar_ids: tuple[str, ...]
    similarities: tuple[float, ...]
    copy_similarities: tuple[float, ...]
    copies_mirrored: tuple[bool, ...]
    released_ids: tuple[str, ...]
    released_similarities: tuple[float, ...]
    released_copy_similarities: tuple[float, ...]
    released_copies_mirrored: tuple[bool, ...]
    pair_min_similarity: float
    camera_number: int = 0


class DuplicateDecision(Row):
    duplicate: bool = column("whether it copies or resembles a better clip that is kept, or a released clip")
    duplicate_kind: str | None = column(
        "copies: the frames of the clip in `duplicate_of`; semantic: a similar scene; null if not a duplicate"
    )
    duplicate_of: str | None = column("id of the most similar of these clips; null if not a duplicate")
    duplicate_release: str | None = column(
        "name of the release of the clip in `duplicate_of`; null if that is a clip of this run"
    )
    duplicate_mirrored: bool | None = column(
        "whether the copy is mirrored left to right; null if the clip is not a duplicate, or semantic"
    )
    duplicate_similarity: float | None = column(
        "copy similarity (for copies) or cosine similarity (semantic) to the clip in `duplicate_of`", unit="1"
    )


COPIES, SEMANTIC = "copies", "semantic"
_SIMILARITIES = {
    COPIES: {"similar_ids": "copy_similarities", "released_ids": "released_copy_similarities"},
    SEMANTIC: {"similar_ids": "similarities", "released_ids": "released_similarities"},
}
_MIRRORED = {"similar_ids": "copies_mirrored", "released_ids": "released_copies_mirrored"}


class FindDuplicates(Compare[SearchedClip, DuplicateDecision]):
    """Decides which clips are duplicates, from the pairs that `SearchPairs` stored.

    The better of two clips has more pixels; if equal, it is sharper; if equal, longer; if equal, its id sorts
    first. A clip of an earlier release is better than any clip of this run. All clips that have a pair are
    decided in one memory, about 1 GB per million clips. Of the cameras of a recording, only the first one is
    compared, with the first cameras of others: cameras that show the same place are no duplicates.

    Attributes:
        duplicates: copies (the same frames: also encoded again, resized, cropped, faster or trimmed) or
            semantic (a similar scene, such as another moment of a take).
        max_copy_similarity: Copy similarity, 0 to 1, from which a clip is a duplicate with copies. A higher
            value keeps more clips.
        max_semantic_similarity: Cosine similarity of the embeddings, 0 to 1, from which a clip is a duplicate
            with semantic. A higher value keeps more clips. At least `SearchPairs.min_similarity`. The default
            is for the descriptor.
    """

    duplicates: str = COPIES
    max_copy_similarity: Share = 0.7
    max_semantic_similarity: Share = 0.75

    version = 3
    from_store = True
    needs = Needs(cpus=1, memory_gb=2)

    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        stored_from = pc.max(rows["pair_min_similarity"]).as_py() or 0.0
        if self.duplicates == SEMANTIC and stored_from > self.max_semantic_similarity:
            raise CannotCompare(
                f"max_semantic_similarity is {self.max_semantic_similarity}, and only pairs with a "
                f"similarity of {stored_from} or more are stored",
                where="FindDuplicates",
                remedy=f"set min_similarity of SearchPairs to {self.max_semantic_similarity} or less",
            )
        if "camera_number" in rows.column_names:
            rows = rows.filter(pc.equal(rows["camera_number"], 0)).drop_columns(["camera_number"])
        has_pair = np.zeros(rows.num_rows, bool)
        for pairs in self._pairs(rows):
            has_pair[pairs.row] = True
        members = rows.filter(pa.array(has_pair)).drop_columns(["pair_min_similarity"])
        return members.append_column("group", pa.repeat("linked", members.num_rows))

    def _pairs(self, rows: "pa.Table") -> "list[_StoredPairs]":
        """The pairs with clips of this run, and those with released clips, that make a duplicate."""
        if self.duplicates not in _SIMILARITIES:
            raise CannotCompare(
                f"duplicates is {self.duplicates!r}",
                where="FindDuplicates",
                remedy=f"set it to {COPIES} or {SEMANTIC}",
            )
        limit = self.max_copy_similarity if self.duplicates == COPIES else self.max_semantic_similarity
        columns = _SIMILARITIES[self.duplicates]
        return [_stored_pairs(rows, ids, similarities, limit) for ids, similarities in columns.items()]

    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        ids = members["id"].combine_chunks()
        order = _best_first(members)
        rank = np.argsort(order)  # of each row; 0 is the best clip
        node = _best_of_equals(members["stills_sha256"], rank)  # of each row: the rank that stands for it
        own, released = self._pairs(members)
        own = own.among(ids)
        other = pc.index_in(own.other, value_set=ids).to_numpy()
        ends = np.sort(np.stack([node[own.row], node[other]]), axis=0)
        better, worse, similarity, mirrored = (
            column[ends[0] < ends[1]] for column in (*ends, own.similarity, own.mirrored)
        )
        release_pair = _most_similar(node[released.row], released.similarity, len(ids))
        pair = choose_duplicates(better, worse, similarity, release_pair >= 0)

        pair, release_pair = pair[node], release_pair[node]  # from here on of each row
        kept = np.where(pair >= 0, better[pair] if len(better) else node, node)
        highest = np.where(pair >= 0, similarity[pair] if len(similarity) else 1.0, 1.0)
        flipped = np.where(pair >= 0, mirrored[pair] if len(mirrored) else False, False)
        names = ids.take(pa.array(order[kept]))
        releases = pa.nulls(len(ids), pa.string())
        if len(released.row):
            parts = pc.split_pattern(released.other, " ", max_splits=1, reverse=True).take(
                pa.array(np.maximum(release_pair, 0))
            )
            is_released = pa.array(release_pair >= 0)
            names = pc.if_else(is_released, pc.list_element(parts, 1), names)
            releases = pc.if_else(is_released, pc.list_element(parts, 0), releases)
            highest = np.where(release_pair >= 0, released.similarity[release_pair], highest)
            flipped = np.where(release_pair >= 0, released.mirrored[release_pair], flipped)
        findings = pa.table(
            {
                "id": ids,
                "duplicate_kind": pa.repeat(self.duplicates, len(ids)),
                "duplicate_of": names,
                "duplicate_release": releases,
                "duplicate_mirrored": pa.array(flipped, mask=np.full(len(ids), self.duplicates != COPIES)),
                "duplicate_similarity": highest,
            }
        )
        return findings.filter(pa.array((release_pair >= 0) | (pair >= 0) | (node != rank)))

    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        if findings is None:
            kinds = (
                ("duplicate_kind", pa.string()),
                ("duplicate_of", pa.string()),
                ("duplicate_release", pa.string()),
                ("duplicate_mirrored", pa.bool_()),
                ("duplicate_similarity", pa.float64()),
            )
            nulls = {name: pa.nulls(rows.num_rows, kind) for name, kind in kinds}
            return pa.table({"duplicate": pa.repeat(False, rows.num_rows), **nulls})
        found = pc.index_in(rows["id"], value_set=findings["id"].combine_chunks())
        return findings.take(found).append_column("duplicate", pc.is_valid(found))


class _StoredPairs(NamedTuple):
    """Stored pairs of sufficient similarity."""

    row: np.ndarray  # index of the row, int64 [n]
    other: "pa.Array"  # id of the other clip [n]
    similarity: np.ndarray  # float64 [n]
    mirrored: np.ndarray  # whether the copy is mirrored, bool [n]

    def among(self, ids: "pa.Array") -> "_StoredPairs":
        """The pairs whose other clip is one of `ids`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        kept = pc.is_in(self.other, value_set=ids)
        mask = kept.to_numpy(zero_copy_only=False)
        return _StoredPairs(
            self.row[mask], self.other.filter(pa.array(mask)), self.similarity[mask], self.mirrored[mask]
        )


def _stored_pairs(rows: "pa.Table", name: str, similarities: str, min_similarity: float) -> _StoredPairs:
    import pyarrow as pa

    lists = rows[name].combine_chunks()
    similarity = rows[similarities].combine_chunks().flatten().to_numpy()
    row = np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))
    similar = similarity >= min_similarity
    flags = rows[_MIRRORED[name]].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    others = lists.flatten().filter(pa.array(similar))
    return _StoredPairs(row[similar], others, similarity[similar], flags[similar])


def _best_first(members: "pa.Table") -> np.ndarray:
    """The indices of the rows from the best to the worst; the rows come sorted by id."""
    names = ("width_px", "height_px", "sharpness", "aesthetic_mean", "start_s", "end_s")
    values = {name: members[name].to_numpy() for name in names if name in members.column_names}
    length_s = values["end_s"] - values["start_s"]
    pixels = values["width_px"] * values["height_px"]
    aesthetics = values.get("aesthetic_mean", np.zeros(len(pixels)))
    return np.lexsort((-length_s, -aesthetics, -values["sharpness"], -pixels))


def _best_of_equals(stills: "pa.ChunkedArray", rank: np.ndarray) -> np.ndarray:
    """For each row the best rank of all rows with equal stills."""
    codes = stills.combine_chunks().dictionary_encode().indices.to_numpy()
    best: np.ndarray = np.full(codes.max(initial=-1) + 1, len(rank), np.int64)
    np.minimum.at(best, codes, rank)
    ranks: np.ndarray = best[codes]
    return ranks


def _most_similar(node: np.ndarray, similarity: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` nodes the index of its first most similar pair, or -1."""
    order = np.lexsort((-similarity, node))
    found = np.full(count, -1, np.int64)
    first = np.flatnonzero(np.diff(node[order], prepend=-1))
    found[node[order[first]]] = order[first]
    return found
