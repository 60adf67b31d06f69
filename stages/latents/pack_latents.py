"""Pack latents into shards: tars of one shape each, with an index and the latents' provenance beside them.

The format is told where it is read, in `training/data/shards.py`. A clip's shard is drawn from its id, so
that shards are shuffled, and a shard's bytes depend on nothing but the clips in it.
"""

import hashlib
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from manifests import Artifact, Row, column
from pipeline import Needs, Survey
from stages.media.tar import index_bytes, write_tar

FORMAT = 1


class EncodedClip(Row):
    id: str
    latents: Artifact
    latent_channels: int
    latent_frames: int
    latent_height: int
    latent_width: int
    caption: str
    enhanced_caption: str | None = None
    source: str
    start_s: float
    end_s: float
    split: str = "train"


class PackedLatents(Row):
    latents_bucket: str = column("shape of the shard's latents: channels x frames x height x width")
    latents_shard: Artifact = column("the tar that holds the clip's latents")
    latents_index: Artifact = column("Parquet index of that tar: key, member, offset, size")


class PackLatents(Survey[EncodedClip, PackedLatents]):
    """Shards of about `shard_bytes` bytes each; equal clips give equal shards, byte for byte.

    `latents/SHAPE/NUMBER.tar`; of clips whose `split` is another than "train", `latents-validation/…`.
    """

    version = 2

    shard_bytes: int = 256 * 2**20

    needs = Needs(cpus=0.5)

    def tally(self, rows: Sequence[EncodedClip]) -> Mapping[str, int]:
        """Bytes per bucket."""
        sizes: Counter[str] = Counter()
        for row in rows:
            sizes[_bucket(row)] += row.latents.size_bytes
        return sizes

    def fit(self, sample: Sequence[EncodedClip], totals: Mapping[str, int]) -> bytes:
        """How many shards each bucket gets."""
        shards = {bucket: max(1, math.ceil(size / self.shard_bytes)) for bucket, size in totals.items()}
        return json.dumps(shards, sort_keys=True).encode()

    def assign(self, rows: Sequence[EncodedClip], fitted: bytes) -> Iterator[str]:
        shards = json.loads(fitted)
        for row in rows:
            bucket = _bucket(row)
            yield f"{bucket}-{_hash(row.id) % shards[bucket]:06d}"

    def settle(self, group: str, rows: Sequence[EncodedClip], fitted: bytes) -> Iterator[PackedLatents]:
        place, number = group.rsplit("-", 1)
        split, _, bucket = place.rpartition(".")
        folder = f"latents-{split}/{bucket}" if split else f"latents/{bucket}"
        made: dict[str, Any] = {}

        def members() -> Iterator[tuple[str, bytes]]:
            for row in sorted(rows, key=lambda row: (_hash(row.id), row.id)):
                data = row.latents.read()
                header = _header(data)
                told = json.loads(header["__metadata__"]["clipmill"])
                _agree(made, told, list(header["latents"]["shape"]))
                span = {"source": row.source, "start_s": row.start_s, "end_s": row.end_s}
                yield f"{row.id}.json", _json({"id": row.id} | told | span)
                yield f"{row.id}.safetensors", data
                yield f"{row.id}.txt", (row.enhanced_caption or row.caption).encode()

        with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
            tar = Path(file.name)
        written = write_tar(tar, members())
        told = {"format": FORMAT, "samples": len(rows)} | made
        index = index_bytes(written, {"clipmill.latents": _json(told).decode()})
        packed = PackedLatents(
            latents_bucket=bucket,
            latents_shard=Artifact.of_file(tar, name=f"{folder}/{number}.tar"),
            latents_index=Artifact.of(index, ".parquet", name=f"{folder}/{number}.parquet"),
        )
        for _ in rows:
            yield packed


def _bucket(row: EncodedClip) -> str:
    shape = f"{row.latent_channels}x{row.latent_frames}x{row.latent_height}x{row.latent_width}"
    return shape if row.split == "train" else f"{row.split}.{shape}"


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file: a length in eight bytes, then JSON."""
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def _agree(made: dict[str, Any], told: Mapping[str, Any], shape: list[int]) -> None:
    """Gather what holds for the whole shard.

    Raises:
        ValueError: two clips of one shard were not encoded alike.
    """
    shared = ("tokenizer", "tokenizer_digest", "stride", "dtype", "fps")
    fresh = {name: told[name] for name in shared} | {"shape": shape}
    if made and made != fresh:
        raise ValueError(f"two clips of one shard were encoded differently: {made} and {fresh}")
    made.update(fresh)
