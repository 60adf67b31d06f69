"""A sample of a shard: a film, its facts, its caption and its vector, as members of tars and read back."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from manifests import Artifact
from stages.media.tar import Member

_CONTROLS = {code: " " for code in range(32) if chr(code) not in "\t\n"} | {127: " "}


class Sample(NamedTuple):
    """What one key of a shard holds."""

    key: str
    film: bytes  # an mp4 file
    facts: dict[str, Any]
    caption: str


def facts_bytes(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()


def vector_bytes(vector: Sequence[float]) -> bytes:
    """A vector as a .npy file of float32, which every numpy writes alike."""
    import numpy as np

    out = io.BytesIO()
    np.save(out, np.asarray(vector, "<f4"), allow_pickle=False)
    return out.getvalue()


def cleaned(caption: str) -> str:
    """The caption with a blank for each control character, such as NUL, but tab and line feed."""
    return caption.translate(_CONTROLS)


def samples_of(shard: Artifact, index: Artifact) -> Iterator[Sample]:
    """The samples of a stored shard that holds all of each, in its order, fetched by their bytes alone.

    Raises:
        KeyError: a sample lacks one of its members.
    """
    found: dict[str, dict[str, Member]] = {}
    for member in read_index(index):
        found.setdefault(member.key, {})[member.name.removeprefix(f"{member.key}.")] = member
    for key, members in found.items():
        parts = (members[kind] for kind in ("mp4", "json", "txt"))
        film, facts, caption = (shard.read_range(part.offset, part.size) for part in parts)
        yield Sample(key, film, json.loads(facts), caption.decode())


def read_index(index: Artifact) -> list[Member]:
    """The members of a tar by its index, in its order."""
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(index.read())).to_pylist()
    return [Member(row["member"], row["offset"], row["size"]) for row in rows]
