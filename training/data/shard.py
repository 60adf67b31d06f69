"""What the index of a shard says about its latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class LatentSpec(NamedTuple):
    """How latents were made. It is equal for all latents of one model."""

    tokenizer: str
    digest: str
    stride: tuple[int, int, int]
    channels: int
    dtype: str


class CodeSpec(NamedTuple):
    """How codes of a discrete tokenizer were made. It is equal for all codes of one model."""

    tokenizer: str
    digest: str
    stride: tuple[int, int, int]
    codebook_size: int


@dataclass(frozen=True)
class Shard:
    """One tar and its index, as the footer of the index describes them.

    `shape` is that of one view, and `views` has the names of the cameras of each clip: () for single videos.
    `codebook_size` is that of the tokenizer of codes; 0 of latents.
    """

    tar: str
    index: str
    spec: LatentSpec
    fps: float
    shape: tuple[int, int, int, int]
    samples: int
    text_encoder: Mapping[str, Any] | None = None
    statistics: Mapping[str, Any] | None = None
    views: tuple[str, ...] = ()
    codebook_size: int = 0
