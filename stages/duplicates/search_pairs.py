"""Searches for similar clips: for each clip all others of this run and of earlier releases.

The vectors are assigned to cells (`cells.py`). Each vector belongs to a few cells, so that pairs on a border
are found too. Each group of cells is settled by itself. Clips with equal stills are searched for as one, the
first by id. `FindDuplicates` decides from the stored pairs which clips are duplicates.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from manifests import PositiveInt, Row, Share, Vector, column
from pipeline import Compare, Needs
from stages.duplicates import group_tables as tables
from stages.duplicates.cells import Cells, fit_cells, load_cells
from stages.duplicates.pairs import find_pairs, random_directions

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.duplicates.released import Release

_BATCH_ROWS = 1 << 14  # rows projected at a time


class EmbeddedClip(Row):
    id: str
    embedding: Vector
    embedding_kind: str
    frame_signature: bytes
    stills_sha256: str


class SimilarClips(Row):
    similar_ids: tuple[str, ...] = column(
        "ids of the other clips of this run with at least `pair_min_similarity`, the most similar first"
    )
    similarities: tuple[float, ...] = column(
        "cosine similarity to each clip of `similar_ids`, or to its mirror image if that is higher", unit="1"
    )
    copy_similarities: tuple[float, ...] = column(
        "how well the frames agree over time with those of each clip of `similar_ids`", unit="0..1"
    )
    copies_mirrored: tuple[bool, ...] = column(
        "whether the frames of each clip of `similar_ids` agree better if they are mirrored left to right"
    )
    released_ids: tuple[str, ...] = column(
        "the same for clips of earlier releases: name of the release, a space, and the clip's id there"
    )
    released_similarities: tuple[float, ...] = column(
        "cosine similarity to each clip of `released_ids`, or to its mirror image if that is higher", unit="1"
    )
    released_copy_similarities: tuple[float, ...] = column(
        "how well the frames agree over time with those of each clip of `released_ids`", unit="0..1"
    )
    released_copies_mirrored: tuple[bool, ...] = column(
        "whether the frames of each clip of `released_ids` agree better if they are mirrored left to right"
    )
    pair_min_similarity: float = column("lowest cosine similarity of the pairs that were stored", unit="1")


class SearchPairs(Compare[EmbeddedClip, SimilarClips]):
    """Stores all pairs of similar clips, of this run and with earlier releases.

    Each pair has two similarities: the cosine of the embeddings, which searches for it, and the copy
    similarity of the frame signatures (`copies.py`). Both are the higher one of two: of the clips, and of one
    clip and the mirror image of the other. The descriptor of a mirror image follows from the descriptor, and
    is assigned to cells too. Vectors of models hardly depend on left and right.

    Embeddings have unit length and are of one kind. A group has about `group_rows` members. A larger cell is
    split into parts, and each two parts are compared by themselves. At 512 dimensions 3 GB of memory are
    enough for any number of rows.

    Attributes:
        min_similarity: Lowest cosine similarity of a stored pair, 0 to 1. A lower value stores more pairs and
            takes longer.
        released_stores: Stores (folders or URLs) of earlier releases. The output clips of the newest finished
            run of each store are compared as well, by the embeddings that it stored.
        group_rows: Clips per group, about. A higher value needs more memory and reads each part less often.
    """

    min_similarity: Share = 0.7
    released_stores: tuple[str, ...] = ()
    group_rows: PositiveInt = 1 << 17

    version = 4
    execution_settings = frozenset({"released_stores"})  # the content of the stores is in the digest
    needs = Needs(cpus=1, memory_gb=3)
    sample = 1 << 16
    max_preview_rows = 20_000

    @cached_property
    def releases(self) -> "Sequence[Release]":
        from stages.duplicates.released import read_release

        return [read_release(url) for url in self.released_stores]

    def digest(self) -> str:
        return " ".join(release.digest for release in self.releases)

    def num_external_tables(self) -> int:
        return sum(len(release.parts) for release in self.releases)

    def external_table(self, number: int) -> "pa.Table":
        release, part = [(r, n) for r in self.releases for n in r.parts][number]
        return release.read(part)

    def fit(self, sample: "pa.Table", rows: int) -> bytes:
        if not sample.num_rows:
            return b""
        kind = tables.embedding_kind(sample)
        total = rows + sum(release.rows for release in self.releases)
        vectors = tables.embeddings(sample)
        searched = tables.with_mirrored(vectors, kind)
        total = total * len(searched) // len(vectors)
        return fit_cells(searched, total, self.min_similarity, self.group_rows, kind).to_bytes()

    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        if not fitted:
            return tables.no_members()
        cells = load_cells(fitted)
        vectors = tables.embeddings(rows, cells.centroids.shape[1], cells.embedding_kind)
        searched = cells.assign(tables.with_mirrored(vectors, cells.embedding_kind))
        row_cells = np.hstack(np.split(searched, max(1, len(searched) // max(1, len(vectors)))))
        row, place = np.nonzero(row_cells >= 0)
        indices, groups = tables.memberships(cells, row, row_cells[row, place], rows["stills_sha256"])
        return tables.members_table(rows, vectors, row_cells, indices, groups)

    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        cells = load_cells(fitted)
        vectors = tables.with_mirrored(tables.matrix(members, "vector"), cells.embedding_kind)
        member_cells = np.vstack(
            np.split(tables.matrix(members, "cells"), len(vectors) // len(members), axis=1)
        )
        released = members["released"].to_numpy()
        first = tables.first_of_equals(members["stills"], released)
        projections = np.empty((len(vectors), len(random_directions(1)[0])), np.float32)
        directions = random_directions(vectors.shape[1])
        for start in range(0, len(vectors), _BATCH_ROWS):
            projections[start : start + _BATCH_ROWS] = vectors[start : start + _BATCH_ROWS] @ directions
        found = [tables.pairs_of_equals(first)]
        is_first = np.tile(first == np.arange(len(first)), len(vectors) // len(members))
        searched = np.where(is_first[:, None], member_cells, -1)
        search = partial(find_pairs, vectors, projections, min_similarity=self.min_similarity)
        for primaries, secondaries in _members_by_cell(cells, group, searched):
            mirrored = np.concatenate([part[part >= len(members)] for part in (primaries, secondaries)])
            primaries, secondaries = (part[part < len(members)] for part in (primaries, secondaries))
            old, new = primaries[released[primaries]], primaries[~released[primaries]]
            found.append(search(new, np.concatenate([secondaries, old])))
            found.append(search(old, secondaries[~released[secondaries]], among_primaries=False))
            found.append(search(new, mirrored, among_primaries=False))
        return tables.findings_table(members, vectors, first, found, self.min_similarity)

    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        similar = tables.similar_lists(rows["id"], findings, released=False)
        released = tables.similar_lists(rows["id"], findings, released=True)
        min_similarity = pa.repeat(pa.scalar(self.min_similarity), rows.num_rows)
        return pa.table([*similar, *released, min_similarity], names=list(SimilarClips.names()))


def _members_by_cell(
    cells: Cells, group: str, member_cells: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The primary and the secondary members of each cell of a group, as indices of members, in order."""
    wanted = tables.cells_of_group(cells, group)
    members, places = np.nonzero(np.isin(member_cells, wanted))
    cell = member_cells[members, places]
    order = np.argsort(cell, kind="stable")
    members, places, cell = members[order], places[order], cell[order]
    for number in wanted:
        part = slice(*np.searchsorted(cell, [number, number + 1]))
        is_primary = places[part] == 0
        yield members[part][is_primary], members[part][~is_primary]
