"""Packs latents into shards: tars of latents of one shape, each with an index that has their provenance.

The format is described where it is read, in `training/data/shards.py`. The hash of a clip's id determines its
shard. So shards are shuffled, and the bytes of a shard depend only on its clips.
"""

import hashlib
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from manifests import Artifact, PositiveInt, Row, column
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
    text_embeddings: Artifact | None = None
    source: str
    start_s: float
    end_s: float
    split: str = "train"


class PackedLatents(Row):
    latents_bucket: str = column("shape of the latents in the shard: channels x frames x height x width")
    latents_shard: Artifact = column("tar that contains the latents of the clip")
    latents_index: Artifact = column("Parquet index of the tar: key, member, offset, size")


class PackLatents(Survey[EncodedClip, PackedLatents]):
    """Packs latents into shards of about equal size; equal clips give equal shards, byte for byte.

    The files are `latents/SHAPE/NUMBER.tar`. Clips whose `split` is not "train" go into `latents-SPLIT/…`,
    for example `latents-validation/…`.

    Attributes:
        shard_bytes: Approximate size of a shard in bytes. Higher values make fewer and larger shards.
    """

    version = 3

    shard_bytes: PositiveInt = 256 * 2**20

    needs = Needs(cpus=0.5)

    def tally(self, rows: Sequence[EncodedClip]) -> Mapping[str, int]:
        """Bytes of latents per bucket."""
        sizes: Counter[str] = Counter()
        for row in rows:
            sizes[_bucket(row)] += row.latents.size_bytes
        return sizes

    def fit(self, sample: Sequence[EncodedClip], totals: Mapping[str, int]) -> bytes:
        """Number of shards per bucket, as JSON."""
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
        provenance: dict[str, Any] = {}

        def members() -> Iterator[tuple[str, bytes]]:
            for row in sorted(rows, key=lambda row: (_hash(row.id), row.id)):
                data = row.latents.read()
                header = _read_header(data)
                metadata = json.loads(header["__metadata__"]["clipmill"])
                text = row.text_embeddings.read() if row.text_embeddings else b""
                text_encoder = json.loads(_read_header(text)["__metadata__"]["clipmill"]) if text else None
                _add_provenance(provenance, metadata, list(header["latents"]["shape"]), text_encoder)
                span = {"source": row.source, "start_s": row.start_s, "end_s": row.end_s}
                yield f"{row.id}.json", _json({"id": row.id} | metadata | span)
                yield f"{row.id}.safetensors", data
                yield f"{row.id}.txt", (row.enhanced_caption or row.caption).encode()
                if text:
                    yield f"{row.id}.text.safetensors", text

        with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
            tar = Path(file.name)
        written = write_tar(tar, members())
        shard_metadata = {"format": FORMAT, "samples": len(rows)} | provenance
        index = index_bytes(written, {"clipmill.latents": _json(shard_metadata).decode()})
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


def _read_header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file: its length in eight bytes, then JSON."""
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def _add_provenance(
    provenance: dict[str, Any],
    metadata: Mapping[str, Any],
    shape: list[int],
    text_encoder: dict[str, Any] | None,
) -> None:
    """Set what holds for the whole shard, and check that it holds for this clip.

    Raises:
        ValueError: Two clips of one shard were encoded differently.
    """
    shared = ("tokenizer", "tokenizer_digest", "stride", "dtype", "fps")
    of_clip = {name: metadata[name] for name in shared} | {"shape": shape}
    if text_encoder is not None:
        of_clip["text_encoder"] = text_encoder
    if provenance and provenance != of_clip:
        raise ValueError(f"two clips of one shard were encoded differently: {provenance} and {of_clip}")
    provenance.update(of_clip)
