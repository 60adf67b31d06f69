"""Split clips into those to train on and those to validate with, so that no scene is on both sides.

Videos that hold copies of each other's clips are one whole, and so are those that such a one links: whichever
clip of a whole is looked at, it is on the same side.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from manifests import Row, column
from manifests.identity import order_of
from pipeline import Needs, Survey

_GROUP_ROWS = 5000  # of a group that is settled at once, on average


class SearchedClip(Row):
    id: str
    parent: str
    alike: tuple[str, ...] = ()
    similarities: tuple[float, ...] = ()


class Sided(Row):
    split: str = column("train or validation")
    split_by: str = column("id of the video whose side it is: its own, or the first of those linked to it")


class SplitClips(Survey[SearchedClip, Sided]):
    """By the id of the video, which is made of its content, and by the pairs of clips that are alike, where
    `SearchPairs` has looked for them; so it is to stand before duplicates are dropped.

    A video stays on its side when others are added, but where they link it to another. The links of all
    videos pass through one memory: some 100 bytes for each pair.
    """

    share: float = 0.01  # of the videos to validate with, about
    linked_from: float = 0.75  # similarity of two clips from which on their videos are linked

    needs = Needs(cpus=0.5)
    answers_all = True

    def tally(self, rows: Sequence[SearchedClip]) -> Mapping[str, int]:
        """How many rows there are, and which videos hold one of which pair: told by its first clip."""
        found: dict[str, int] = {"rows": len(rows)}
        for row in rows:
            for other, similarity in zip(row.alike, row.similarities, strict=True):
                if similarity >= self.linked_from:
                    found[f"{row.parent} {min(row.id, other)}"] = 1
        return found

    def fit(self, sample: Sequence[SearchedClip], totals: Mapping[str, int]) -> bytes:
        """The number of groups, and for each linked video the first of its whole."""
        pairs = [name.split(" ") for name in totals if " " in name]
        groups = 1 + totals.get("rows", 0) // _GROUP_ROWS
        return json.dumps({"groups": groups, "first": _wholes(pairs)}, sort_keys=True).encode()

    def assign(self, rows: Sequence[SearchedClip], fitted: bytes) -> Iterator[str]:
        groups: int = json.loads(fitted)["groups"]
        for row in rows:
            yield f"group-{order_of(row.parent, 'group') * groups >> 64:06d}"

    def settle(self, group: str, rows: Sequence[SearchedClip], fitted: bytes) -> Iterator[Sided]:
        first: dict[str, str] = json.loads(fitted)["first"]
        for row in rows:
            by = first.get(row.parent, row.parent)
            aside = order_of(by, "split") < self.share * 2**64
            yield Sided(split="validation" if aside else "train", split_by=by)


def _wholes(pairs: Sequence[Sequence[str]]) -> dict[str, str]:
    """For each linked video the least of all that it is linked to: union and find, with path halving.

    Args:
        pairs: a video, and the name of a pair that one of its clips is in.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = name = above[above[name]]
        return name

    for video, pair in pairs:
        above[top(f"pair {pair}")] = top(video)
    least: dict[str, str] = {}
    videos = sorted({video for video, _ in pairs})
    for video in videos:
        least.setdefault(top(video), video)
    return {video: least[top(video)] for video in videos if least[top(video)] != video}
