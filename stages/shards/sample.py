"""A sample of a shard: a film, its facts and its caption, as members of a tar and read back by offset."""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from manifests import Artifact

_CONTROLS = {code: " " for code in range(32) if chr(code) not in "\t\n"} | {127: " "}


class Sample(NamedTuple):
    """What one key of a shard holds."""

    key: str
    film: bytes  # an mp4 file
    facts: dict[str, Any]
    caption: str


def members_of(sample: Sample) -> Iterator[tuple[str, bytes]]:
    """The members of a sample, in the order they have in a tar: KEY.mp4, KEY.json, KEY.txt."""
    yield f"{sample.key}.mp4", sample.film
    yield f"{sample.key}.json", json.dumps(sample.facts, sort_keys=True, ensure_ascii=False).encode()
    yield f"{sample.key}.txt", sample.caption.encode()


def cleaned(caption: str) -> str:
    """The caption with a blank for each control character, such as NUL, but tab and line feed."""
    return caption.translate(_CONTROLS)


def samples_of(shard: Artifact, index: Artifact) -> Iterator[Sample]:
    """The samples of a stored shard, in its order, each fetched by its bytes alone.

    Raises:
        KeyError: a sample lacks one of its members.
    """
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(index.read())).to_pylist()
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["key"], {})[row["member"].removeprefix(row["key"])] = row
    for key, members in found.items():
        film, facts, caption = (
            shard.read_range(members[suffix]["offset"], members[suffix]["size"])
            for suffix in (".mp4", ".json", ".txt")
        )
        yield Sample(key, film, json.loads(facts), caption.decode())
