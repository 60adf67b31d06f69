"""Search for clips that are alike: for each those whose similarity reaches a floor, in this run and before.

Vectors are parted into cells (`cells.py`), and each is in a few of them, so that pairs on a border are
seen; each group of cells is settled by itself. Clips of equal pictures are searched for as one: the first
by id. Which of them are duplicates `FindDuplicates` decides, from what is stored here.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from manifests import Row, Vector, column
from pipeline import Compare, Needs
from stages.duplicates import members as rows_in
from stages.duplicates.cells import Cells, fit_cells, read_cells
from stages.duplicates.likeness import alike, directions

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.duplicates.released import Shipped

_AT_ONCE = 1 << 14  # rows projected at a time


class EmbeddedClip(Row):
    id: str
    embedding: Vector
    embedding_kind: str
    pictures_sha256: str


class Searched(Row):
    alike: tuple[str, ...] = column(
        "ids of other clips whose similarity reaches the floor, the most similar first"
    )
    similarities: tuple[float, ...] = column("cosine similarity to each of them", unit="1")
    shipped: tuple[str, ...] = column(
        "the same among clips of earlier stores: the release, a space, and the clip's id there"
    )
    released_similarities: tuple[float, ...] = column("cosine similarity to each of them", unit="1")
    pairs_floor: float = column("the lowest similarity of which pairs were looked for", unit="1")


class SearchPairs(Compare[EmbeddedClip, Searched]):
    """Compares each clip with all that may be alike. Vectors have unit length and are of one kind.

    A group has about `group_rows` members, and a cell that is larger is settled part by part, each with
    each: at 512 dimensions 2 GB are enough for any number of rows.

    `against` names stores of earlier releases, folders or URLs. What the newest finished run of each
    shipped is compared as well, by the vectors that it stored.
    """

    floor: float = 0.7
    against: tuple[str, ...] = ()
    group_rows: int = 1 << 17

    place = frozenset({"against"})  # what is there is in the digest
    needs = Needs(cpus=1, memory_gb=2)
    sample = 1 << 16
    quick_rows = 20_000

    @cached_property
    def earlier(self) -> "Sequence[Shipped]":
        from stages.duplicates.released import shipped_from

        return [shipped_from(url) for url in self.against]

    def digest(self) -> str:
        return " ".join(release.digest for release in self.earlier)

    def outside(self) -> int:
        return sum(len(release.parts) for release in self.earlier)

    def beside(self, number: int) -> "pa.Table":
        release, part = [(r, n) for r in self.earlier for n in r.parts][number]
        return release.read(part)

    def fit(self, sample: "pa.Table", rows: int) -> bytes:
        if not sample.num_rows:
            return b""
        kind = rows_in.one_kind(sample)
        every = rows + sum(release.rows for release in self.earlier)
        return fit_cells(rows_in.vectors_of(sample), every, self.floor, self.group_rows, kind).saved()

    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        if not fitted:
            return rows_in.no_members()
        cells = read_cells(fitted)
        vectors = rows_in.vectors_of(rows, cells.centroids.shape[1], cells.kind)
        places = cells.of(vectors)
        which, where = np.nonzero(places >= 0)
        lines, names = rows_in.memberships(cells, which, places[which, where], rows["pictures_sha256"])
        return rows_in.members(rows, vectors, places, lines, names)

    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        cells = read_cells(fitted)
        vectors, places = rows_in.matrix(members, "vector"), rows_in.matrix(members, "places")
        outside = members["outside"].to_numpy()
        first = rows_in.first_of_equals(members["pictures"], outside)
        shadows = np.empty((len(vectors), len(directions(1)[0])), np.float32)
        aims = directions(vectors.shape[1])
        for start in range(0, len(vectors), _AT_ONCE):
            shadows[start : start + _AT_ONCE] = vectors[start : start + _AT_ONCE] @ aims
        found = [rows_in.equals(first)]
        for homes, guests in _cells(
            cells, group, np.where((first == np.arange(len(first)))[:, None], places, -1)
        ):
            old_homes, new_homes = homes[outside[homes]], homes[~outside[homes]]
            others = np.concatenate([guests, old_homes])
            found.append(alike(vectors, shadows, new_homes, others, self.floor))
            new_guests = guests[~outside[guests]]
            found.append(alike(vectors, shadows, old_homes, new_guests, self.floor, among=False))
        return rows_in.findings(members["id"], outside, found)

    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        own = rows_in.lists(rows["id"], findings, outside=False)
        old = rows_in.lists(rows["id"], findings, outside=True)
        floor = pa.repeat(pa.scalar(self.floor), rows.num_rows)
        return pa.table([*own, *old, floor], names=list(Searched.names()))


def _cells(cells: Cells, group: str, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The homes and guests of each cell of a group, as places of its members, in order."""
    wanted = rows_in.cells_of(cells, group)
    lines, columns = np.nonzero(np.isin(places, wanted))
    at = places[lines, columns]
    order = np.argsort(at, kind="stable")
    lines, columns, at = lines[order], columns[order], at[order]
    for cell in wanted:
        here = slice(*np.searchsorted(at, [cell, cell + 1]))
        home = columns[here] == 0
        yield lines[here][home], lines[here][~home]
