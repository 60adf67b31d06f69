"""Says which of a list of types a clip is, from descriptions alone, by the two towers of open_clip."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from manifests import ClipmillError, Row, column
from pipeline import Annotate, Needs, Reject
from stages.quality.seen import Clip, rounded, vectors_of

if TYPE_CHECKING:
    from stages.models.open_clip import Towers

OWN = Path(__file__).parent / "video_types.txt"


class VideoType(Row):
    video_type: str = column("the type whose description is nearest")
    video_type_score: float = column("how likely it is among all types", unit="0..1")
    video_type_second: str = column("the next nearest")


class ClassifyVideo(Annotate[Clip, VideoType]):
    """Softmax over the types of the scaled cosine between a type's descriptions and the clip's stills.

    Both are means of unit vectors (zero-shot classification as in Radford et al. 2021). A recipe lets in or
    keeps out: `keep("video_type not in ['slides', 'video game']", because="not filmed")`. Rejected: a
    clip in which no still lies.
    """

    needs = Needs(cpus=1, memory_gb=4, batch=8)

    towers: str
    types: str = ""  # a file of lines "type: description; description"; empty: the 36 types that come along
    stills: int = 4

    @cached_property
    def loaded_towers(self) -> "Towers":
        from stages.models.open_clip import Towers

        return Towers(self.towers)

    @cached_property
    def loaded_types(self) -> tuple[list[str], np.ndarray]:
        """The types, and a unit vector of each [types d]."""
        known = types_of(Path(self.types) if self.types else OWN)
        vectors = self.loaded_towers.texts([words for kind in known for words in kind.described])
        ends = np.cumsum([len(kind.described) for kind in known])[:-1]
        means = np.stack([part.mean(axis=0) for part in np.split(vectors, ends)])
        return [kind.name for kind in known], means / np.linalg.norm(means, axis=1, keepdims=True)

    def digest(self) -> str:
        from stages.models.open_clip import towers_digest
        from stages.models.weights import digest_of_files

        return towers_digest(self.towers) + digest_of_files([Path(self.types) if self.types else OWN])

    def annotate(self, rows: Sequence[Clip]) -> Iterator[VideoType | Reject]:
        names, described = self.loaded_types
        for row in rows:
            try:
                seen = vectors_of(row, self.loaded_towers, self.stills).mean(axis=0)
            except Reject as reject:
                yield reject
                continue
            near = described @ (seen / np.linalg.norm(seen)) * self.loaded_towers.scale
            likely = np.exp(near - near.max())
            order = np.argsort(-likely, kind="stable")
            yield VideoType(
                video_type=names[order[0]],
                video_type_score=rounded(likely[order[0]] / likely.sum()),
                video_type_second=names[order[1]],
            )


class Type(NamedTuple):
    """A type of video, and sentences that describe a picture of it."""

    name: str
    described: tuple[str, ...]


def types_of(file: Path) -> list[Type]:
    """The types of a file of lines "type: description; description"; `#` begins a remark.

    Raises:
        ClipmillError: there is no such file, a line is not of that form, or there are fewer than two types.
    """
    if not file.is_file():
        raise ClipmillError("there is no file of video types", where=str(file), remedy="name a text file")
    found: dict[str, Type] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name, _, rest = (part.strip() for part in line.partition("#")[0].partition(":"))
        described = tuple(words.strip() for words in rest.split(";") if words.strip())
        if not name and not described:
            continue
        if not name or not described or name in found:
            raise ClipmillError(
                "two lines are of one type" if name in found else "a line does not describe a type",
                where=f"{file}:{number}",
                remedy='write "type: description; description", one type a line',
            )
        found[name] = Type(name, described)
    if len(found) < 2:
        raise ClipmillError("types are told apart, so there must be two", where=str(file), remedy="add some")
    return list(found.values())
