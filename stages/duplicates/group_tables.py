"""Arrow tables of the search: rows become members of groups, and pairs become lists of similar clips."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.duplicates import descriptor
from stages.duplicates.cells import Cells
from stages.duplicates.copies import copy_similarity, mirror
from stages.duplicates.errors import CannotCompare
from stages.duplicates.pairs import Pairs, similarity_of

if TYPE_CHECKING:
    import pyarrow as pa


_SURE_COPY = 0.9  # copy similarity from which a pair is not compared as mirror images


def embedding_kind(rows: "pa.Table", expected: str = "") -> str:
    """How the embeddings of the rows were computed: the value of column `embedding_kind`, "" without rows.

    Raises:
        CannotCompare: there are several kinds, or another one than `expected`.
    """
    kinds = {*rows["embedding_kind"].unique().to_pylist(), *([expected] if expected else [])}
    if len(kinds) > 1:
        raise CannotCompare(
            f"embeddings of different kinds cannot be compared: {', '.join(sorted(kinds))}",
            where="column embedding_kind",
            remedy="embed all clips with the same EmbedClip settings, those of earlier releases too",
        )
    return next(iter(kinds), "")


def embeddings(rows: "pa.Table", size: int = 0, kind: str = "") -> np.ndarray:
    """The embeddings of the rows, float32 [n d].

    Args:
        size: expected length d of an embedding; 0 takes the length from the rows.
        kind: expected value of `embedding_kind`; "" accepts any one kind.

    Raises:
        CannotCompare: the embeddings have another length or kind, or are not finite.
    """
    embedding_kind(rows, kind)
    column = rows["embedding"].combine_chunks()
    flat = column.flatten().to_numpy()
    size = size or (len(flat) // len(column) if len(column) else 0)
    lengths = np.diff(column.offsets.to_numpy())
    wrong = np.flatnonzero(lengths != size)
    if len(wrong) or not np.isfinite(flat).all():
        bad = int(wrong[0]) if len(wrong) else -1
        fault = f"has {lengths[bad]} numbers, not {size}" if bad >= 0 else "has a number that is not finite"
        raise CannotCompare(
            f"an embedding {fault}",
            where=f"row {rows['id'][bad].as_py()}" if bad >= 0 else "column embedding",
            remedy="fix the stage that embeds, raise its version, and run again",
        )
    return np.ascontiguousarray(flat.reshape(len(column), size))


def with_mirrored(vectors: np.ndarray, kind: str) -> np.ndarray:
    """The vectors [n d] and, if their kind is the descriptor, those of the mirror images: [2 n d]."""
    if kind != descriptor.KIND:
        return vectors
    return np.concatenate([vectors, descriptor.mirrored(vectors)])


def memberships(
    cells: Cells, rows: np.ndarray, row_cells: np.ndarray, stills: "pa.ChunkedArray"
) -> tuple[np.ndarray, "pa.Array"]:
    """The groups that rows are members of: index of the row and name of the group of each member.

    Args:
        rows: index of a row, int64 [n]; a row appears once for each of its cells.
        row_cells: the cell, int32 [n].
        stills: `stills_sha256` of all rows.
    """
    import pyarrow as pa

    whole = cells.splits[row_cells] == 1
    count = int(cells.groups.max(initial=-1)) + 1
    stride = rows.max(initial=0) + 1
    codes = np.unique(cells.groups[row_cells[whole]].astype(np.int64) * stride + rows[whole])
    group, indices = np.divmod(codes, stride)
    names = pa.array([f"group-{number:06d}" for number in range(count)], pa.string()).take(pa.array(group))
    split = sorted(_split_memberships(cells, rows[~whole], row_cells[~whole], stills))
    split_names = pa.array([name for name, _ in split], pa.string())
    split_indices = np.array([row for _, row in split], np.int64)
    return np.concatenate([split_indices, indices]), pa.concat_arrays([split_names, names])


def _split_memberships(
    cells: Cells, rows: np.ndarray, row_cells: np.ndarray, stills: "pa.ChunkedArray"
) -> set[tuple[str, int]]:
    """For split cells: a group for each two parts of a cell; each row is in all groups of its part."""
    found = set()
    for row, cell in zip(rows.tolist(), row_cells.tolist(), strict=True):
        parts = int(cells.splits[cell])
        own = int(stills[row].as_py()[:8], 16) % parts  # clips with equal stills stay together
        for other in {*range(parts)} - {own}:
            low, high = sorted((own, other))
            found.add((f"cell-{cell:06d}-{low:03d}-{high:03d}", row))
    return found


def cells_of_group(cells: Cells, group: str) -> np.ndarray:
    """The cells that a group settles, in ascending order."""
    word, number, *_ = group.split("-")
    if word == "cell":
        return np.array([int(number)])
    return np.flatnonzero((cells.groups == int(number)) & (cells.splits == 1))


def members_table(
    rows: "pa.Table", vectors: np.ndarray, row_cells: np.ndarray, indices: np.ndarray, groups: "pa.Array"
) -> "pa.Table":
    """One line for each member: its group and what `settle` needs of its row.

    Args:
        vectors: the embeddings of the rows, float32 [n d].
        row_cells: the cells of the rows, and of their mirror images if there are any, int32 [n cells].
        indices: index of the row of each member, int64 [m].
        groups: name of the group of each member, [m].
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = rows["id"].combine_chunks().take(pa.array(indices))
    return pa.table(
        {
            "group": groups,
            "id": ids,
            "released": pc.match_substring(ids, " "),
            "stills": rows["stills_sha256"].combine_chunks().take(pa.array(indices)),
            "signature": rows["frame_signature"].combine_chunks().take(pa.array(indices)),
            "vector": _list_column(vectors[indices]),
            "cells": _list_column(row_cells[indices]),
        }
    )


def no_members() -> "pa.Table":
    """A table of members without lines."""
    import pyarrow as pa

    return pa.table({"group": pa.array([], pa.string()), "id": pa.array([], pa.string())})


def _list_column(values: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def matrix(table: "pa.Table", name: str) -> np.ndarray:
    """A column of lists of equal length as an array [n size]."""
    column = table[name].combine_chunks()
    values: np.ndarray = column.flatten().to_numpy()
    return values.reshape(len(column), -1)


def first_of_equals(stills: "pa.ChunkedArray", released: np.ndarray) -> np.ndarray:
    """For each member the index of the first one with equal stills; a released clip has its own index."""
    codes = stills.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    codes = np.where(released, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    equal_to: np.ndarray = first[inverse]
    return equal_to


def pairs_of_equals(first: np.ndarray) -> Pairs:
    """The pairs of members with equal stills, each with the first of them."""
    copies = np.flatnonzero(first != np.arange(len(first)))
    return Pairs(first[copies], copies, np.ones(len(copies)))


def findings_table(
    members: "pa.Table",
    vectors: np.ndarray,
    first_equal: np.ndarray,
    found: Sequence[Pairs],
    min_similarity: float,
) -> "pa.Table":
    """Each pair once for each of its members that is a clip of this run.

    Args:
        vectors: result of `with_mirrored`.
        first_equal: for each member the first one with equal stills, int64 [m].
        found: pairs of vectors.
        min_similarity: lowest cosine similarity of a pair.
    """
    import pyarrow as pa

    released = members["released"].to_numpy()
    ends = np.stack([np.concatenate([part[end] for part in found]) for end in (0, 1)]) % len(released)
    first, second = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    equal = first_equal[first] == first_equal[second]
    similarity = np.where(equal, 1.0, similarity_of(vectors, np.stack([first, second], axis=1)))
    is_mirrored = ~equal
    if len(vectors) > len(released):
        mirrored = similarity_of(vectors, np.stack([first, second + len(released)], axis=1))
        is_mirrored &= mirrored >= min_similarity
        similarity = np.maximum(similarity, mirrored)
    pairs = np.stack([first, second], axis=1)
    copy, copy_mirrored = _copy_similarities(members["signature"], pairs, equal, is_mirrored)
    subject, other = np.concatenate([first, second]), np.concatenate([second, first])
    new = np.flatnonzero(~released[subject])
    names = members["id"].combine_chunks()
    return pa.table(
        {
            "id": names.take(pa.array(subject[new])),
            "other": names.take(pa.array(other[new])),
            "released": released[other[new]],
            "similarity": np.concatenate([similarity, similarity])[new],
            "copy": np.concatenate([copy, copy])[new],
            "copy_mirrored": np.concatenate([copy_mirrored, copy_mirrored])[new],
        }
    )


def _copy_similarities(
    signatures: "pa.ChunkedArray", pairs: np.ndarray, equal: np.ndarray, is_mirrored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The copy similarity of each pair of members, float64 [n], and whether one is mirrored, bool [n].

    Args:
        pairs: indices of members, int64 [n 2].
        equal: pairs with equal stills: their similarity is 1.
        is_mirrored: pairs of which one may be a mirror image of the other.
    """
    similarity, mirrored = equal.astype(np.float64), np.zeros(len(pairs), bool)
    for pair in np.flatnonzero(~equal):
        one, other = (signatures[int(member)].as_py() for member in pairs[pair])
        similarity[pair] = copy_similarity(one, other)
        if is_mirrored[pair] and similarity[pair] < _SURE_COPY:
            flipped = copy_similarity(one, mirror(other))
            mirrored[pair] = flipped > similarity[pair]
            similarity[pair] = max(similarity[pair], flipped)
    return similarity, mirrored


def similar_lists(ids: "pa.ChunkedArray", findings: "pa.Table | None", *, released: bool) -> list["pa.Array"]:
    """For each row the ids of the similar clips, the most similar first, both of their similarities, and
    whether the copy is mirrored.

    Args:
        released: whether to list clips of earlier releases, or those of this run.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if findings is None:
        others, row = pa.array([], pa.string()), np.zeros(0, np.int64)
        similarity = copy = np.zeros(0)
        mirrored = np.zeros(0, bool)
    else:
        findings = findings.filter(pc.equal(findings["released"], released)).combine_chunks()
        rows = pc.index_in(findings["id"], value_set=ids.combine_chunks())
        table = pa.table(
            {
                "row": rows,
                "distance": pc.negate(findings["similarity"]),
                "other": findings["other"],
                "copy": findings["copy"],
                "mirrored": findings["copy_mirrored"],
            }
        )
        keys = [("row", "ascending"), ("distance", "ascending"), ("other", "ascending")]
        table = table.take(pc.sort_indices(table, keys)).combine_chunks()
        row, similarity = table["row"].to_numpy(), -table["distance"].to_numpy()
        copy, others = table["copy"].to_numpy(), table["other"].combine_chunks()
        mirrored = table["mirrored"].to_numpy()
        if len(others) > 1:  # several groups may find a pair, with the same similarity
            again = pc.equal(others.slice(1), others.slice(0, len(others) - 1)).to_numpy(zero_copy_only=False)
            unique = np.concatenate([[True], ~(again & (row[1:] == row[:-1]))])
            row, similarity, copy, mirrored = (v[unique] for v in (row, similarity, copy, mirrored))
            others = others.filter(pa.array(unique))
    offsets = pa.array(np.searchsorted(row, np.arange(len(ids) + 1)), pa.int32())
    values = (others, pa.array(similarity), pa.array(copy), pa.array(mirrored, pa.bool_()))
    return [pa.ListArray.from_arrays(offsets, value) for value in values]
