"""Splits clips into training and validation clips, so that no scene is on both sides.

Videos that hold copies of each other's clips are linked, directly or through other videos. All clips of
linked videos are on the same side.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from manifests import Row, Share, column
from manifests.identity import id_of, shuffle_key
from pipeline import Needs, Survey

_GROUP_ROWS = 5000  # rows per group, on average
_SAME_SPLIT = dict.fromkeys(("val", "valid", "dev", "eval"), "validation") | {"training": "train"}


class SearchedClip(Row):
    id: str
    parent: str
    recording: str = ""
    list_split: str | None = None
    similar_ids: tuple[str, ...] = ()
    similarities: tuple[float, ...] = ()


class ClipSplit(Row):
    split: str = column("train, validation, or another split that the list of the footage names")
    split_by: str = column(
        "id of the video that decides: the clip's own, or the first of the linked videos; or list"
    )


class SplitClips(Survey[SearchedClip, ClipSplit]):
    """Assigns each clip to training or validation.

    If a list of the footage has a column `split` with a value for the video of the clip, this value decides
    alone: val, valid, dev and eval count as validation, and training as train.

    The id of the video decides, which depends on its content only; for cameras, the name of their recording.
    If `SearchPairs` ran before, videos with similar clips are linked and stay together; place this stage
    before duplicates are dropped. A video stays on its side when videos are added, unless they link it to
    another one. One process holds the links of all
    videos, about 100 bytes per pair.

    Attributes:
        validation_share: Share of the videos for validation, about, 0 to 1.
        duplicate_similarity: Cosine similarity of two clips from which their videos are linked, 0 to 1. A
            higher value links fewer videos.
    """

    validation_share: Share = 0.01
    duplicate_similarity: Share = 0.75

    version = 3
    needs = Needs(cpus=0.5)
    never_rejects = True

    def tally(self, rows: Sequence[SearchedClip]) -> Mapping[str, int]:
        """The number of rows, and each video with each pair that one of its clips is in.

        A pair is named by the lower of its two clip ids.
        """
        totals: dict[str, int] = {"rows": len(rows)}
        for row in rows:
            for other, similarity in zip(row.similar_ids, row.similarities, strict=True):
                if similarity >= self.duplicate_similarity:
                    totals[f"{_video(row)} {min(row.id, other)}"] = 1
        return totals

    def fit(self, sample: Sequence[SearchedClip], totals: Mapping[str, int]) -> bytes:
        """The number of groups, and for each linked video the first of its linked videos."""
        pairs = [name.split(" ") for name in totals if " " in name]
        groups = 1 + totals.get("rows", 0) // _GROUP_ROWS
        return json.dumps({"groups": groups, "first": _first_linked(pairs)}, sort_keys=True).encode()

    def assign(self, rows: Sequence[SearchedClip], fitted: bytes) -> Iterator[str]:
        groups: int = json.loads(fitted)["groups"]
        for row in rows:
            yield f"group-{shuffle_key(_video(row), 'group') * groups >> 64:06d}"

    def settle(self, group: str, rows: Sequence[SearchedClip], fitted: bytes) -> Iterator[ClipSplit]:
        first: dict[str, str] = json.loads(fitted)["first"]
        for row in rows:
            if given := split_name(row.list_split or ""):
                yield ClipSplit(split=given, split_by="list")
                continue
            video = first.get(_video(row), _video(row))
            is_validation = shuffle_key(video, "split") < self.validation_share * 2**64
            yield ClipSplit(split="validation" if is_validation else "train", split_by=video)


def split_name(written: str) -> str:
    """The name of a split in lower case: letters, digits and hyphens; "" if nothing is left."""
    name = "-".join(re.findall(r"[a-z0-9]+", written.lower()))
    return _SAME_SPLIT.get(name, name)


def _video(row: SearchedClip) -> str:
    """What stays on one side: the video of the clip, or its recording (without spaces, as an id)."""
    return id_of("recording", row.recording) if row.recording else row.parent


def _first_linked(pairs: Sequence[Sequence[str]]) -> dict[str, str]:
    """For each linked video the lowest id of all videos that it is linked to, itself excluded.

    Union-find with path halving.

    Args:
        pairs: the id of a video, and the name of a pair that one of its clips is in.
    """
    parent: dict[str, str] = {}

    def find_root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    for video, pair in pairs:
        parent[find_root(f"pair {pair}")] = find_root(video)
    lowest: dict[str, str] = {}
    videos = sorted({video for video, _ in pairs})
    for video in videos:
        lowest.setdefault(find_root(video), video)
    return {video: lowest[find_root(video)] for video in videos if lowest[find_root(video)] != video}
