"""Members: rows as they are dealt out to groups, and what is found about them, in Arrow's columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.duplicates.cells import Cells
from stages.duplicates.errors import CannotCompare
from stages.duplicates.likeness import Pairs

if TYPE_CHECKING:
    import pyarrow as pa


def one_kind(rows: "pa.Table", wanted: str = "") -> str:
    """How the vectors of some rows were made.

    Raises:
        CannotCompare: in several ways, or not as wanted.
    """
    kinds = {*rows["embedding_kind"].unique().to_pylist(), *([wanted] if wanted else [])}
    if len(kinds) > 1:
        raise CannotCompare(
            f"vectors of different kinds cannot be compared: {', '.join(sorted(kinds))}",
            where="column embedding_kind",
            remedy="embed all clips in one way; an earlier release is to be embedded again as this one is",
        )
    return next(iter(kinds), "")


def vectors_of(rows: "pa.Table", size: int = 0, kind: str = "") -> np.ndarray:
    """The embeddings, float32 [n d].

    Raises:
        CannotCompare: they are not of `size` numbers, or of another `kind`, or not finite.
    """
    one_kind(rows, kind)
    listed = rows["embedding"].combine_chunks()
    flat = listed.flatten().to_numpy()
    size = size or (len(flat) // len(listed) if len(listed) else 0)
    lengths = np.diff(listed.offsets.to_numpy())
    if (lengths != size).any() or not np.isfinite(flat).all():
        bad = int(np.flatnonzero(lengths != size)[0]) if (lengths != size).any() else -1
        said = f"has {lengths[bad]} numbers and not {size}" if bad >= 0 else "holds a number that is none"
        raise CannotCompare(
            f"an embedding {said}",
            where=f"row {rows['id'][max(bad, 0)].as_py()}" if bad >= 0 else "column embedding",
            remedy="mend the stage that embeds, raise its version, and run again",
        )
    return np.ascontiguousarray(flat.reshape(len(listed), size))


def memberships(
    cells: Cells, rows: np.ndarray, at: np.ndarray, pictures: "pa.ChunkedArray"
) -> tuple[np.ndarray, "pa.Array"]:
    """The groups that rows are members of, by their cells: places of rows, and the name of each group."""
    import pyarrow as pa

    whole = cells.splits[at] == 1
    count = int(cells.groups.max(initial=-1)) + 1
    codes = np.unique(cells.groups[at[whole]].astype(np.int64) * (rows.max(initial=0) + 1) + rows[whole])
    group, lines = np.divmod(codes, rows.max(initial=0) + 1)
    names = pa.array([f"group-{number:06d}" for number in range(count)], pa.string()).take(pa.array(group))
    split = sorted(_in_split_cells(cells, rows[~whole], at[~whole], pictures))
    others = pa.array([name for name, _ in split], pa.string())
    more = np.array([row for _, row in split], np.int64)
    return np.concatenate([more, lines]), pa.concat_arrays([others, names])


def _in_split_cells(
    cells: Cells, rows: np.ndarray, at: np.ndarray, pictures: "pa.ChunkedArray"
) -> set[tuple[str, int]]:
    """Of cells that are split: a group for each two parts, and each row in those of its part."""
    found = set()
    for row, cell in zip(rows.tolist(), at.tolist(), strict=True):
        parts = int(cells.splits[cell])
        mine = int(pictures[row].as_py()[:8], 16) % parts  # equals stay together
        for other in {*range(parts)} - {mine}:
            low, high = sorted((mine, other))
            found.add((f"cell-{cell:06d}-{low:03d}-{high:03d}", row))
    return found


def cells_of(cells: Cells, group: str) -> np.ndarray:
    """The cells that are settled in a group, in order."""
    word, number, *_ = group.split("-")
    if word == "cell":
        return np.array([int(number)])
    return np.flatnonzero((cells.groups == int(number)) & (cells.splits == 1))


def members(
    rows: "pa.Table", vectors: np.ndarray, places: np.ndarray, lines: np.ndarray, groups: "pa.Array"
) -> "pa.Table":
    """The members that some rows make: the row of each, by its place, and its group."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = rows["id"].combine_chunks().take(pa.array(lines))
    return pa.table(
        {
            "group": groups,
            "id": ids,
            "outside": pc.match_substring(ids, " "),
            "pictures": rows["pictures_sha256"].combine_chunks().take(pa.array(lines)),
            "vector": _matrix(vectors[lines]),
            "places": _matrix(places[lines]),
        }
    )


def no_members() -> "pa.Table":
    import pyarrow as pa

    return pa.table({"group": pa.array([], pa.string()), "id": pa.array([], pa.string())})


def _matrix(values: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def matrix(table: "pa.Table", name: str) -> np.ndarray:
    """A column of lists of one length, as it was given: [n size]."""
    found = table[name].combine_chunks()
    return found.flatten().to_numpy().reshape(len(found), -1)


def first_of_equals(pictures: "pa.ChunkedArray", outside: np.ndarray) -> np.ndarray:
    """For each member the place of the first with equal pictures; one from elsewhere stands for itself."""
    codes = pictures.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    codes = np.where(outside, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first[inverse]


def equals(first: np.ndarray) -> Pairs:
    """The pairs of members with equal pictures: each with the first of them."""
    copies = np.flatnonzero(first != np.arange(len(first)))
    return Pairs(first[copies], copies, np.ones(len(copies)))


def findings(ids: "pa.ChunkedArray", outside: np.ndarray, found: Sequence[Pairs]) -> "pa.Table":
    """Each pair once for each of its members that is of this run."""
    import pyarrow as pa

    one, other, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    about, seen = np.concatenate([one, other]), np.concatenate([other, one])
    _, once = np.unique(about * len(outside) + seen, return_index=True)
    once = once[~outside[about[once]]]
    names = ids.combine_chunks()
    return pa.table(
        {
            "id": names.take(pa.array(about[once])),
            "other": names.take(pa.array(seen[once])),
            "outside": outside[seen[once]],
            "similarity": np.concatenate([similarity, similarity])[once],
        }
    )


def lists(ids: "pa.ChunkedArray", found: "pa.Table | None", *, outside: bool) -> list["pa.Array"]:
    """For each row the others that were found, the most similar first, and their similarities."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if found is None:
        others, alike, about = pa.array([], pa.string()), np.zeros(0), np.zeros(0, np.int64)
    else:
        found = found.filter(pc.equal(found["outside"], outside)).combine_chunks()
        about = pc.index_in(found["id"], value_set=ids.combine_chunks()).to_numpy()
        table = pa.table({"row": about, "alike": pc.negate(found["similarity"]), "other": found["other"]})
        order = pc.sort_indices(table, [("row", "ascending"), ("alike", "ascending"), ("other", "ascending")])
        table = table.take(order).combine_chunks()
        about, alike = table["row"].to_numpy(), -table["alike"].to_numpy()
        others = table["other"].combine_chunks()
        if len(others) > 1:  # a pair may be found in several groups, with one similarity
            again = pc.equal(others.slice(1), others.slice(0, len(others) - 1)).to_numpy(zero_copy_only=False)
            once = np.concatenate([[True], ~(again & (about[1:] == about[:-1]))])
            about, alike, others = about[once], alike[once], others.filter(pa.array(once))
    offsets = pa.array(np.searchsorted(about, np.arange(len(ids) + 1)), pa.int32())
    return [pa.ListArray.from_arrays(offsets, others), pa.ListArray.from_arrays(offsets, pa.array(alike))]
