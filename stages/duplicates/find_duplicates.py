"""Find clips that show what a better clip shows, and name for each a twin that is kept.

From the best to the worst clip, what is like a better one that is kept is a duplicate (`leader.py`).
Clips of equal pictures are one: the best of them stands for all.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from manifests import Row, column
from pipeline import Compare, Needs
from stages.duplicates.errors import CannotCompare
from stages.duplicates.leader import twins

if TYPE_CHECKING:
    import pyarrow as pa


class SearchedClip(Row):
    id: str
    pictures_sha256: str
    width_px: int
    height_px: int
    sharpness: float
    start_s: float
    end_s: float
    alike: tuple[str, ...]
    similarities: tuple[float, ...]
    shipped: tuple[str, ...]
    released_similarities: tuple[float, ...]
    pairs_floor: float


class Twinned(Row):
    duplicate: bool = column("a better clip that is kept shows the same, or one that was shipped before")
    twin: str | None = column("id of the most similar of these, where this is a duplicate")
    duplicate_release: str | None = column(
        "the release that shipped the twin; missing where it is of this run"
    )
    duplicate_similarity: float | None = column("cosine similarity to the twin", unit="1")


class FindDuplicates(Compare[SearchedClip, Twinned]):
    """Decides from the pairs that `SearchPairs` stored. What was shipped before is better than any clip.

    The better of two clips has more pixels; else is sharper; else longer; else its id sorts first. All
    clips that have a pair are decided in one memory, of some 1 GB for each million of them.
    """

    threshold: float = 0.75  # similarity from which on two clips show the same, by the descriptor

    from_store = True
    needs = Needs(cpus=1, memory_gb=2)

    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        floor = pc.max(rows["pairs_floor"]).as_py() or 0.0
        if floor > self.threshold:
            raise CannotCompare(
                f"pairs were looked for from {floor} on, and {self.threshold} is asked for",
                where="FindDuplicates",
                remedy=f"give SearchPairs floor={self.threshold} or less",
            )
        linked = np.zeros(rows.num_rows, bool)
        for name in ("alike", "shipped"):
            linked[_pairs(rows, name, self.threshold).row] = True
        some = rows.filter(pa.array(linked)).drop_columns(["pairs_floor"])
        return some.append_column("group", pa.repeat("linked", some.num_rows))

    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        ids = members["id"].combine_chunks()
        order = _best_first(members)
        place = np.argsort(order)  # 0 is the best clip
        leads = _best_of_equals(members["pictures_sha256"], place)
        new, old = (_pairs(members, name, self.threshold) for name in ("alike", "shipped"))
        other = pc.index_in(new.other, value_set=ids).to_numpy()
        ends = np.sort(np.stack([leads[new.row], leads[other]]), axis=0)
        better, worse, near = (column[ends[0] < ends[1]] for column in (*ends, new.similarity))
        earlier = _most_similar(leads[old.row], old.similarity, len(ids))
        found = twins(better, worse, near, earlier >= 0)

        mine = leads.copy()  # of each row, by place, the row that stands for it
        pair, ship = found[mine], earlier[mine]
        twin = np.where(pair >= 0, better[pair] if len(better) else mine, mine)
        similarity = np.where(pair >= 0, near[pair] if len(near) else 1.0, 1.0)
        names = ids.take(pa.array(order[twin]))
        releases = pa.nulls(len(ids), pa.string())
        if len(old.row):
            said = pc.split_pattern(old.other, " ", max_splits=1, reverse=True).take(
                pa.array(np.maximum(ship, 0))
            )
            shipped = pa.array(ship >= 0)
            names = pc.if_else(shipped, pc.list_element(said, 1), names)
            releases = pc.if_else(shipped, pc.list_element(said, 0), releases)
            similarity = np.where(ship >= 0, old.similarity[ship], similarity)
        told = pa.table(
            {"id": ids, "twin": names, "duplicate_release": releases, "duplicate_similarity": similarity}
        )
        return told.filter(pa.array((ship >= 0) | (pair >= 0) | (mine != place)))

    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        if findings is None:
            kinds = (
                ("twin", pa.string()),
                ("duplicate_release", pa.string()),
                ("duplicate_similarity", pa.float64()),
            )
            nothing = {name: pa.nulls(rows.num_rows, kind) for name, kind in kinds}
            return pa.table({"duplicate": pa.repeat(False, rows.num_rows), **nothing})
        at = pc.index_in(rows["id"], value_set=findings["id"].combine_chunks())
        return findings.take(at).append_column("duplicate", pc.is_valid(at))


class _Stored(NamedTuple):
    """Stored pairs that reach the threshold: the row of each, the name of the other, their similarity."""

    row: np.ndarray
    other: "pa.Array"
    similarity: np.ndarray


def _pairs(rows: "pa.Table", name: str, threshold: float) -> _Stored:
    import pyarrow as pa

    listed = rows[name].combine_chunks()
    similarity = rows[f"{name}_similarity"].combine_chunks().flatten().to_numpy()
    row = np.repeat(np.arange(len(listed)), np.diff(listed.offsets.to_numpy()))
    enough = similarity >= threshold
    return _Stored(row[enough], listed.flatten().filter(pa.array(enough)), similarity[enough])


def _best_first(members: "pa.Table") -> np.ndarray:
    """The rows from the best to the worst; they come sorted by id."""
    names = ("width_px", "height_px", "sharpness", "aesthetic_mean", "start_s", "end_s")
    given = {name: members[name].to_numpy() for name in names if name in members.column_names}
    length_s = given["end_s"] - given["start_s"]
    pixels = given["width_px"] * given["height_px"]
    looks = given.get("aesthetic_mean", np.zeros(len(pixels)))
    return np.lexsort((-length_s, -looks, -given["sharpness"], -pixels))


def _best_of_equals(pictures: "pa.ChunkedArray", place: np.ndarray) -> np.ndarray:
    """For each row the best place that one with equal pictures has."""
    codes = pictures.combine_chunks().dictionary_encode().indices.to_numpy()
    best = np.full(codes.max(initial=-1) + 1, len(place), np.int64)
    np.minimum.at(best, codes, place)
    return best[codes]


def _most_similar(node: np.ndarray, similarity: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` nodes its first most similar pair, or -1."""
    order = np.lexsort((-similarity, node))
    found = np.full(count, -1, np.int64)
    first = np.flatnonzero(np.diff(node[order], prepend=-1))
    found[node[order[first]]] = order[first]
    return found
