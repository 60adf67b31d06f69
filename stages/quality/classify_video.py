"""Classifies each clip into one of a list of video types, zero-shot, with an open_clip model."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from manifests import ClipmillError, PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.models.still_vectors import Clip, embed_stills, round_score

if TYPE_CHECKING:
    from stages.models.open_clip import OpenClipModel

DEFAULT_TYPES = Path(__file__).parent / "video_types.txt"


class VideoType(Row):
    video_type: str = column("type with the highest probability")
    video_type_score: float = column("probability of that type among all types", unit="0..1")
    video_type_second: str = column("type with the second highest probability")


class ClassifyVideo(Annotate[Clip, VideoType]):
    """Finds the video type whose descriptions are most similar to the clip's stills.

    The probability of a type is the softmax over all types of the scaled cosine between its descriptions and
    the stills. Both are means of unit vectors (zero-shot classification as in Radford et al. 2021). A recipe
    decides which types to keep: `keep("video_type not in ['slides', 'video game']", because="not filmed")`.
    A clip without a still is rejected.

    Attributes:
        model: An open_clip model: a folder, ARCHITECTURE:FILE, ARCHITECTURE:TAG or hf-hub:OWNER/NAME.
        types_file: A text file of lines "type: description; description"; empty: the 36 built-in types.
        max_stills: Stills of a clip that the model sees, at most. Higher values take longer.
    """

    version = 2
    needs = Needs(cpus=1, memory_gb=4, batch=8)

    model: str
    types_file: str = ""
    max_stills: PositiveInt = 4

    @cached_property
    def loaded_model(self) -> "OpenClipModel":
        from stages.models.open_clip import OpenClipModel

        return OpenClipModel(self.model)

    @cached_property
    def type_vectors(self) -> tuple[list[str], npt.NDArray[np.float32]]:
        """The names of the types, and a unit vector of each [types d]."""
        types = read_types(self._types_path)
        vectors = self.loaded_model.embed_texts([text for kind in types for text in kind.descriptions])
        ends = np.cumsum([len(kind.descriptions) for kind in types])[:-1]
        means = np.stack([part.mean(axis=0) for part in np.split(vectors, ends)])
        return [kind.name for kind in types], means / np.linalg.norm(means, axis=1, keepdims=True)

    @property
    def _types_path(self) -> Path:
        return Path(self.types_file) if self.types_file else DEFAULT_TYPES

    def digest(self) -> str:
        from stages.models.open_clip import open_clip_digest
        from stages.models.weights import digest_of_files

        return open_clip_digest(self.model) + digest_of_files([self._types_path])

    def annotate(self, rows: Sequence[Clip]) -> Iterator[VideoType | Reject]:
        names, types = self.type_vectors
        for row in rows:
            try:
                mean = embed_stills(row, self.loaded_model, self.max_stills).mean(axis=0)
            except Reject as reject:
                yield reject
                continue
            logits = types @ (mean / np.linalg.norm(mean)) * self.loaded_model.logit_scale
            weights = np.exp(logits - logits.max())
            order = np.argsort(-weights, kind="stable")
            yield VideoType(
                video_type=names[order[0]],
                video_type_score=round_score(weights[order[0]] / weights.sum()),
                video_type_second=names[order[1]],
            )


class Type(NamedTuple):
    """A type of video, and sentences that describe an image of it."""

    name: str
    descriptions: tuple[str, ...]


def read_types(file: Path) -> list[Type]:
    """Read the types from a file of lines "type: description; description"; `#` starts a comment.

    Raises:
        ClipmillError: the file does not exist, a line has another form, or there are fewer than two types.
    """
    if not file.is_file():
        raise ClipmillError("there is no file of video types", where=str(file), remedy="name a text file")
    types: dict[str, Type] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name, _, rest = (part.strip() for part in line.partition("#")[0].partition(":"))
        descriptions = tuple(text.strip() for text in rest.split(";") if text.strip())
        if not name and not descriptions:
            continue
        if not name or not descriptions or name in types:
            raise ClipmillError(
                "a type appears twice" if name in types else "a line does not describe a type",
                where=f"{file}:{number}",
                remedy='write "type: description; description", one type per line',
            )
        types[name] = Type(name, descriptions)
    if len(types) < 2:
        raise ClipmillError(
            "a classification needs at least two types", where=str(file), remedy="add more types"
        )
    return list(types.values())
