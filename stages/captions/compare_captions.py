"""Counts the clips whose captions are nearly the same: a model that says one thing of many has not looked.

Two captions are as alike as their sets of word trigrams (Jaccard). Pairs are found by MinHash and banding
(Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4): 8 bands of 4 hashes see 98 % of
pairs that are 0.8 alike and 99.98 % of those that are 0.9 alike, without comparing each with each.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from manifests import Row, column
from manifests.identity import order_of
from pipeline import Compare, Needs
from stages.captions.wording import hashes_of

if TYPE_CHECKING:
    import pyarrow as pa

BANDS, EACH = 8, 4
_MEMBERS = 16384  # of a group, on average: one task settles them
_KEPT = 128  # of the lowest hashes of a caption, all of those of one of 130 words
_KINDS = 2048  # different captions of a band's value that are compared, the most frequent first
_TWINS = 64  # different captions like one that are told
_FACTORS = np.array([order_of(str(k), "factor") | 1 for k in range(BANDS * EACH)], np.uint64)
_SHIFTS = np.array([order_of(str(k), "shift") for k in range(BANDS * EACH)], np.uint64)


class Captioned(Row):
    caption: str
    enhanced_caption: str | None = None


class CaptionTwins(Row):
    caption_duplicates: int = column("other clips whose captions are at least so alike")
    caption_duplicate_of: str | None = column("id of the one whose caption is most alike")
    caption_duplicate_similarity: float | None = column(
        "shared trigrams over all trigrams of both", unit="0..1"
    )


class CompareCaptions(Compare[Captioned, CaptionTwins]):
    """Captions that are `alike` or more are twins; one without words has none. Enhanced ones go first.

    Of captions of more than 130 words, similarity is an estimate from their 128 lowest hashes; of more than
    2048 different captions that share a band, the most frequent are compared.
    """

    alike: float = 0.8

    needs = Needs(cpus=1, memory_gb=1)

    def fit(self, sample: "pa.Table", rows: int) -> bytes:
        """Into how many groups the values of a band are dealt."""
        return json.dumps({"groups": max(1, math.ceil(rows / _MEMBERS))}).encode()

    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        groups = json.loads(fitted)["groups"]
        made: dict[str, list[object]] = {name: [] for name in ("id", "group", "value", "sketch")}
        enhanced = rows["enhanced_caption"] if "enhanced_caption" in rows.column_names else rows["caption"]
        columns = (column.to_pylist() for column in (rows["id"], rows["caption"], enhanced))
        for row, caption, better in zip(*columns, strict=True):
            hashes = np.array(sorted(hashes_of(better or caption)), np.uint32)
            for band, value in enumerate(bands_of(hashes)) if len(hashes) else ():
                made["id"].append(row)
                made["group"].append(f"{band}-{value % groups:06d}")
                made["value"].append(value)
                made["sketch"].append(hashes[:_KEPT].tobytes())
        kinds = {"id": pa.string(), "group": pa.string(), "value": pa.uint64(), "sketch": pa.binary()}
        return pa.table({name: pa.array(made[name], kind) for name, kind in kinds.items()})

    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        shared: dict[int, dict[bytes, list[str]]] = defaultdict(lambda: defaultdict(list))
        columns = (members[name].to_pylist() for name in ("id", "value", "sketch"))
        for row, value, sketch in zip(*columns, strict=True):
            shared[value][sketch].append(row)
        found = [told for value in sorted(shared) for told in self._found(shared[value])]
        kinds = (pa.string(), pa.binary(), pa.int64(), pa.string(), pa.float64())
        lists = zip(*found, strict=True) if found else [[]] * len(kinds)
        told = [pa.array(list(values), kind) for values, kind in zip(lists, kinds, strict=True)]
        return pa.table(told, names=list(_Finding._fields))

    def _found(self, clips: Mapping[bytes, Sequence[str]]) -> Iterator["_Finding"]:
        """What is found about clips that share a band's value, given by their captions' hashes."""
        often = sorted(clips, key=lambda sketch: (-len(clips[sketch]), sketch))[:_KINDS]
        if len(often) == 1 and len(clips[often[0]]) == 1:
            return
        sets = [np.frombuffer(sketch, np.uint32) for sketch in often]
        for place, sketch in enumerate(often):
            for other, similarity in _near(sets, place, self.alike)[:_TWINS]:
                theirs = clips[often[other]]
                for row in clips[sketch]:
                    named = next((clip for clip in theirs[:2] if clip != row), "")
                    if named:
                        count = len(theirs) - (other == place)
                        yield _Finding(row, often[other], count, named, similarity)

    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        import pyarrow as pa

        twins: dict[str, dict[bytes, _Finding]] = defaultdict(dict)
        for told in findings.to_pylist() if findings else ():
            twins[told["id"]][told["other"]] = _Finding(**told)  # the same in each group that tells it
        mine = [twins[row].values() for row in rows["id"].to_pylist()]
        best = [min(told, key=lambda twin: (-twin.similarity, twin.named), default=None) for told in mine]
        columns = {
            "caption_duplicates": pa.array([sum(twin.clips for twin in told) for told in mine], pa.int64()),
            "caption_duplicate_of": pa.array([twin and twin.named for twin in best], pa.string()),
            "caption_duplicate_similarity": pa.array(
                [twin and twin.similarity for twin in best], pa.float64()
            ),
        }
        return pa.table(columns)


class _Finding(NamedTuple):
    """To the clip `id`: so many clips share one caption, `other`, that is so alike; one of them by name."""

    id: str
    other: bytes
    clips: int
    named: str
    similarity: float


def bands_of(hashes: np.ndarray) -> list[int]:
    """A number for each band: captions that share one are worth comparing.

    Args:
        hashes: uint32 [n], at least one. A band is told by its lowest values under four functions of them.
    """
    mixed = (hashes.astype(np.uint64)[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)  # wraps around
    lowest = mixed.min(axis=0).astype(np.uint32).reshape(BANDS, EACH)
    return [int.from_bytes(hashlib.blake2b(values.tobytes(), digest_size=8).digest()) for values in lowest]


def _near(sets: Sequence[np.ndarray], place: int, alike: float) -> list[tuple[int, float]]:
    """The places of sets that are so alike with the one at `place`, itself too; the most alike first."""
    one, found = sets[place], []
    for other, two in enumerate(sets):
        if min(len(one), len(two)) >= alike * max(len(one), len(two)):
            similarity = round(likeness(one, two), 6)
            if similarity >= alike:
                found.append((other, similarity))
    return sorted(found, key=lambda near: (-near[1], near[0]))


def likeness(one: np.ndarray, two: np.ndarray) -> float:
    """Jaccard's index of two sets by their lowest members, sorted; exact, where both are whole."""
    union = np.union1d(one, two)
    if max(len(one), len(two)) == _KEPT:  # what lies above the lower end of the two is known of one only
        union = union[: min(_KEPT, len(union))]
    shared = np.intersect1d(one, two, assume_unique=True)
    return len(np.intersect1d(shared, union, assume_unique=True)) / len(union)
