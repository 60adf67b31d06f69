"""Writes and reads the tar members of a sample: video, metadata, caption and embedding."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from manifests import Artifact
from stages.media.tar import Member

IMAGE_EXTENSIONS = ("jpg", "png", "webp")
_CONTROL_CHARACTERS = {code: " " for code in range(32) if chr(code) not in "\t\n"} | {127: " "}


class Sample(NamedTuple):
    """The members of one key of a shard."""

    key: str
    video: bytes  # an mp4 file, or an image
    metadata: dict[str, Any]
    caption: str


def media_extension(path: str) -> str:
    """The extension of the member that is the clip, by the name of its file: mp4, or that of an image."""
    ending = PurePosixPath(path).suffix.removeprefix(".")
    return ending if ending in IMAGE_EXTENSIONS else "mp4"


def metadata_bytes(metadata: Mapping[str, Any]) -> bytes:
    """The json member: sorted keys, UTF-8."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()


def embedding_bytes(embedding: Sequence[float]) -> bytes:
    """The npy member: little-endian float32 in the .npy format, the same bytes with every numpy version."""
    import numpy as np

    out = io.BytesIO()
    np.save(out, np.asarray(embedding, "<f4"), allow_pickle=False)
    return out.getvalue()


def clean_caption(caption: str) -> str:
    """The caption with a space in place of each control character (such as NUL) except tab and line feed."""
    return caption.translate(_CONTROL_CHARACTERS)


def read_samples(shard: Artifact, index: Artifact) -> Iterator[Sample]:
    """Read the samples of a stored shard that holds all members, in its order, by byte ranges.

    Raises:
        KeyError: a sample lacks one of its members.
    """
    samples: dict[str, dict[str, Member]] = {}
    for member in read_index(index):
        samples.setdefault(member.key, {})[member.name.removeprefix(f"{member.key}.")] = member
    for key, members in samples.items():
        media = next((e for e in IMAGE_EXTENSIONS if e in members), "mp4")
        parts = (members[extension] for extension in (media, "json", "txt"))
        video, metadata, caption = (shard.read_range(part.offset, part.size) for part in parts)
        yield Sample(key, video, json.loads(metadata), caption.decode())


def read_index(index: Artifact) -> list[Member]:
    """The members of a tar according to its index, in the order of the tar."""
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(index.read())).to_pylist()
    return [Member(row["member"], row["offset"], row["size"]) for row in rows]
