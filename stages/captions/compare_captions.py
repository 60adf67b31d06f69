"""Counts the clips with nearly the same caption: one text for many clips does not describe them.

The similarity of two captions is the Jaccard index of their sets of word trigrams. MinHash with banding
(Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4) finds the pairs without
comparing all of them. 8 bands of 4 hashes find 98 % of the pairs with similarity 0.8 and 99.98 % of those
with 0.9.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from manifests import Row, Share, column
from manifests.identity import shuffle_key
from pipeline import Compare, Needs
from stages.models.chat.words import hash_trigrams

if TYPE_CHECKING:
    import pyarrow as pa

BANDS, BAND_HASHES = 8, 4
_GROUP_MEMBERS = 16384  # members of a group on average; one task compares them
_SKETCH_HASHES = 128  # lowest hashes of a caption that are stored; all hashes of one of 130 words
_MAX_CAPTIONS = 2048  # different captions with one band value that are compared, the most frequent first
_MAX_SIMILAR = 64  # different captions that are recorded as similar to one caption
_FACTORS = np.array([shuffle_key(str(k), "factor") | 1 for k in range(BANDS * BAND_HASHES)], np.uint64)
_SHIFTS = np.array([shuffle_key(str(k), "shift") for k in range(BANDS * BAND_HASHES)], np.uint64)


class CaptionText(Row):
    caption: str
    enhanced_caption: str | None = None


class CaptionDuplicates(Row):
    caption_duplicates: int = column(
        "number of other clips whose caption similarity is at least `min_similarity`"
    )
    caption_duplicate_of: str | None = column("id of the other clip with the most similar caption")
    caption_duplicate_similarity: float | None = column(
        "similarity to that caption: shared word trigrams over all word trigrams of both", unit="0..1"
    )


class CompareCaptions(Compare[CaptionText, CaptionDuplicates]):
    """Counts, for each clip, the other clips whose captions have a similarity of at least `min_similarity`.

    Enhanced captions are compared where they exist. A caption without words has no duplicates. The
    similarity of captions of more than 130 words is an estimate from their 128 lowest hashes. Of more than
    2048 different captions that share a band value, the most frequent are compared.

    Attributes:
        min_similarity: Share of common word trigrams, 0 to 1, from which two captions are duplicates. Higher
            values find fewer duplicates.
    """

    version = 3
    needs = Needs(cpus=1, memory_gb=1)

    min_similarity: Share = 0.8

    def fit(self, sample: "pa.Table", rows: int) -> bytes:
        """Choose the number of groups over which the values of a band are spread."""
        return json.dumps({"groups": max(1, math.ceil(rows / _GROUP_MEMBERS))}).encode()

    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        groups = json.loads(fitted)["groups"]
        table: dict[str, list[object]] = {name: [] for name in ("id", "group", "value", "sketch")}
        enhanced = rows["enhanced_caption"] if "enhanced_caption" in rows.column_names else rows["caption"]
        columns = (column.to_pylist() for column in (rows["id"], rows["caption"], enhanced))
        for row, caption, improved in zip(*columns, strict=True):
            hashes = np.array(sorted(hash_trigrams(improved or caption)), np.uint32)
            for band, value in enumerate(band_values(hashes)) if len(hashes) else ():
                table["id"].append(row)
                table["group"].append(f"{band}-{value % groups:06d}")
                table["value"].append(value)
                table["sketch"].append(hashes[:_SKETCH_HASHES].tobytes())
        types = {"id": pa.string(), "group": pa.string(), "value": pa.uint64(), "sketch": pa.binary()}
        return pa.table({name: pa.array(table[name], kind) for name, kind in types.items()})

    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        shared: dict[int, dict[bytes, list[str]]] = defaultdict(lambda: defaultdict(list))
        columns = (members[name].to_pylist() for name in ("id", "value", "sketch"))
        for row, value, sketch in zip(*columns, strict=True):
            shared[value][sketch].append(row)
        findings = [finding for value in sorted(shared) for finding in self._findings(shared[value])]
        types = (pa.string(), pa.binary(), pa.int64(), pa.string(), pa.float64())
        lists = zip(*findings, strict=True) if findings else [[]] * len(types)
        columns_found = [pa.array(list(values), kind) for values, kind in zip(lists, types, strict=True)]
        return pa.table(columns_found, names=list(_Finding._fields))

    def _findings(self, clips: Mapping[bytes, Sequence[str]]) -> Iterator["_Finding"]:
        """Yield the findings about clips that share a band value, by the sketches of their captions."""
        frequent = sorted(clips, key=lambda sketch: (-len(clips[sketch]), sketch))[:_MAX_CAPTIONS]
        if len(frequent) == 1 and len(clips[frequent[0]]) == 1:
            return
        sets = [np.frombuffer(sketch, np.uint32) for sketch in frequent]
        for index, sketch in enumerate(frequent):
            for other, similarity in _similar(sets, index, self.min_similarity)[:_MAX_SIMILAR]:
                same = clips[frequent[other]]
                for row in clips[sketch]:
                    example = next((clip for clip in same[:2] if clip != row), "")
                    if example:
                        count = len(same) - (other == index)
                        yield _Finding(row, frequent[other], count, example, similarity)

    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        found: dict[str, dict[bytes, _Finding]] = defaultdict(dict)
        for finding in findings.to_pylist() if findings else ():
            found[finding["id"]][finding["other"]] = _Finding(**finding)  # equal in all groups that have it
        per_row = [found[row].values() for row in rows["id"].to_pylist()]
        best = [
            min(similar, key=lambda one: (-one.similarity, one.example), default=None) for similar in per_row
        ]
        columns = {
            "caption_duplicates": pa.array(
                [sum(one.clips for one in similar) for similar in per_row], pa.int64()
            ),
            "caption_duplicate_of": pa.array([one and one.example for one in best], pa.string()),
            "caption_duplicate_similarity": pa.array([one and one.similarity for one in best], pa.float64()),
        }
        return pa.table(columns)


class _Finding(NamedTuple):
    """A caption that is similar to the caption of the clip `id`.

    Attributes:
        other: Sketch of the similar caption.
        clips: Number of clips with that caption.
        example: Id of one of these clips.
    """

    id: str
    other: bytes
    clips: int
    example: str
    similarity: float


def band_values(hashes: npt.NDArray[np.uint32]) -> list[int]:
    """Return a value for each band. Captions that share one are compared.

    Args:
        hashes: uint32 [n], at least one. A band's value comes from the minima of four hash functions of them.
    """
    mixed = (hashes.astype(np.uint64)[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)  # wraps around
    lowest = mixed.min(axis=0).astype(np.uint32).reshape(BANDS, BAND_HASHES)
    return [int.from_bytes(hashlib.blake2b(values.tobytes(), digest_size=8).digest()) for values in lowest]


def _similar(
    sets: Sequence[npt.NDArray[np.uint32]], index: int, min_similarity: float
) -> list[tuple[int, float]]:
    """Return the indices of sets similar to the one at `index`, itself too, the most similar first."""
    one, similar = sets[index], []
    for other, two in enumerate(sets):
        if min(len(one), len(two)) >= min_similarity * max(len(one), len(two)):
            similarity = round(jaccard(one, two), 6)
            if similarity >= min_similarity:
                similar.append((other, similarity))
    return sorted(similar, key=lambda pair: (-pair[1], pair[0]))


def jaccard(one: npt.NDArray[np.uint32], two: npt.NDArray[np.uint32]) -> float:
    """Return the Jaccard index of two sets from their sorted lowest members; exact for complete sets."""
    union = np.union1d(one, two)
    if (
        max(len(one), len(two)) == _SKETCH_HASHES
    ):  # above the smaller maximum, members of only one set are known
        union = union[: min(_SKETCH_HASHES, len(union))]
    shared = np.intersect1d(one, two, assume_unique=True)
    return len(np.intersect1d(shared, union, assume_unique=True)) / len(union)
