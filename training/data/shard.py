"""What the index of a shard says about its latents."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from manifests.stores import open_store
from training.errors import LatentMismatchError

FORMAT = 1
METADATA_KEY = b"clipmill.latents"


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
    `codebook_size` is that of the tokenizer of codes; 0 of latents. `conditions` describes the actions and
    poses of its clips, see `training.conditions.spec`.
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
    conditions: Mapping[str, Any] | None = None


def fetch(url: str, start: int = 0, size: int | None = None) -> bytes:
    """Read a file, or `size` bytes of it from `start` on."""
    folder, _, name = url.rpartition("/")
    return open_store(folder or ".").read(name, start, size)


def read_footer(pair: tuple[str, str]) -> Shard:
    """The description of a shard (tar, index).

    Raises:
        LatentMismatchError: The index does not have it, or in another format.
    """
    tar, index = pair
    footer = pq.read_metadata(io.BytesIO(fetch(index))).metadata or {}
    if METADATA_KEY not in footer:
        raise LatentMismatchError(
            "the index does not say how its latents were made",
            where=index,
            remedy="pack the latents with PackLatents of this version",
        )
    metadata: dict[str, Any] = json.loads(footer[METADATA_KEY])
    if metadata["format"] != FORMAT:
        raise LatentMismatchError(
            f"the shard has format {metadata['format']}; this version reads format {FORMAT}",
            where=index,
            remedy="pack the latents again with PackLatents of this version",
        )
    shape, stride = tuple(metadata["shape"]), tuple(metadata["stride"])
    spec = LatentSpec(
        metadata["tokenizer"], metadata["tokenizer_digest"], stride, shape[0], metadata["dtype"]
    )
    fps, samples = float(metadata["fps"]), int(metadata["samples"])
    others = metadata.get("text_encoder"), metadata.get("statistics"), tuple(metadata.get("views", ()))
    codebook_size, conditions = int(metadata.get("codebook_size", 0)), metadata.get("conditions")
    return Shard(tar, index, spec, fps, shape, samples, *others, codebook_size, conditions)
