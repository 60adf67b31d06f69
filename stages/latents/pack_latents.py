"""Packs latents into shards: tars of latents of one shape, each with an index that has their provenance.

Each index also has the mean and standard deviation of each channel, and of each number of the actions, over
the whole train split.

The format is described where it is read, in `training/data/shards.py`. The hash of a clip's id determines its
shard. So shards are shuffled, and the bytes of a shard depend only on its clips.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manifests import Artifact, ClipmillError, PositiveInt, Row, column
from pipeline import Needs, Survey
from stages.media.safetensors_header import read_header, read_header_of
from stages.media.tar import pack_tar

FORMAT = 1
REQUIRED = ("tokenizer", "tokenizer_digest", "stride", "dtype", "fps")  # equal in all samples of a shard
OPTIONAL = ("encoded_px", "codebook_size")
BYTES = "bytes of "  # begins the names of totals of bytes
KIND = "conditions "  # begins the names of totals of clips, by what their conditions mean
_FIXED_POINT = 2**20  # totals are whole numbers, so that their sum does not depend on the order of parts


class EncodedWindow(Row):
    id: str
    latents: Artifact
    latent_channels: int
    latent_frames: int
    latent_height: int
    latent_width: int
    latent_means: tuple[float, ...] = ()
    latent_mean_squares: tuple[float, ...] = ()
    caption: str
    enhanced_caption: str | None = None
    text_embeddings: Artifact | None = None
    conditions: Artifact | None = None
    action_means: tuple[float, ...] = ()
    action_mean_squares: tuple[float, ...] = ()
    source: str
    start_s: float
    end_s: float
    split: str = "train"


class PackedLatents(Row):
    latents_bucket: str = column("shape of the latents in the shard: channels x frames x height x width")
    latents_shard: Artifact = column("tar that contains the latents of the clip")
    latents_index: Artifact = column("Parquet index of the tar: key, member, offset, size")


class PackLatents(Survey[EncodedWindow, PackedLatents]):
    """Packs latents into shards of about equal size; equal clips give equal shards, byte for byte.

    The files are `latents/SHAPE/NUMBER.tar`. Clips whose `split` is not "train" go into `latents-SPLIT/…`,
    for example `latents-validation/…`.

    Attributes:
        shard_bytes: Approximate size of a shard in bytes. Higher values make fewer and larger shards.
    """

    version = 4

    shard_bytes: PositiveInt = 256 * 2**20

    needs = Needs(cpus=0.5)

    def tally(self, rows: Sequence[EncodedWindow]) -> Mapping[str, int]:
        """Bytes of latents per bucket, and the sums that statistics of the train split need."""
        totals: Counter[str] = Counter()
        for row in rows:
            totals[f"{BYTES}{_bucket(row)}"] += row.latents.size_bytes
            totals.update(condition_kinds(row))
            if row.split == "train":
                totals.update(channel_sums(row))
                totals.update(action_sums(row))
        return totals

    def fit(self, sample: Sequence[EncodedWindow], totals: Mapping[str, int]) -> bytes:
        """Number of shards per bucket, and the statistics, as JSON."""
        return fit_shards(totals, self.shard_bytes)

    def assign(self, rows: Sequence[EncodedWindow], fitted: bytes) -> Iterator[str]:
        shards = json.loads(fitted)["shards"]
        for row in rows:
            bucket = _bucket(row)
            yield f"{bucket}-{sample_hash(row.id) % shards[bucket]:06d}"

    def settle(self, group: str, rows: Sequence[EncodedWindow], fitted: bytes) -> Iterator[PackedLatents]:
        place, number = group.rsplit("-", 1)
        split, _, bucket = place.rpartition(".")
        folder = f"latents-{split}/{bucket}" if split else f"latents/{bucket}"
        provenance: dict[str, Any] = {}

        def members() -> Iterator[tuple[str, bytes]]:
            for row in sorted(rows, key=lambda row: (sample_hash(row.id), row.id)):
                data = row.latents.read()
                header = read_header(data)
                metadata = json.loads(header["__metadata__"]["clipmill"])
                text = row.text_embeddings.read() if row.text_embeddings else b""
                text_encoder = json.loads(read_header(text)["__metadata__"]["clipmill"]) if text else None
                [tensor] = header.keys() - {"__metadata__"}
                conditions = row.conditions.read() if row.conditions else b""
                spec = conditions_of(conditions, fitted) if conditions else None
                add_provenance(provenance, metadata, list(header[tensor]["shape"]), text_encoder, spec)
                span = {"source": row.source, "start_s": row.start_s, "end_s": row.end_s}
                yield f"{row.id}.json", to_json({"id": row.id} | metadata | span)
                yield f"{row.id}.safetensors", data
                yield f"{row.id}.txt", (row.enhanced_caption or row.caption).encode()
                if text:
                    yield f"{row.id}.text.safetensors", text
                if conditions:
                    yield f"{row.id}.conditions.safetensors", conditions

        def metadata() -> dict[str, str]:
            return shard_metadata(len(rows), provenance, fitted)

        shard, index = pack_tar(f"{folder}/{number}", members(), metadata)
        packed = PackedLatents(latents_bucket=bucket, latents_shard=shard, latents_index=index)
        for _ in rows:
            yield packed


def fit_shards(totals: Mapping[str, int], shard_bytes: int) -> bytes:
    """Number of shards per bucket, and the statistics of latents and actions, as JSON.

    Raises:
        ClipmillError: Clips have conditions of different kinds, which have no common statistics.
    """
    kinds = {name.removeprefix(KIND): n for name, n in totals.items() if name.startswith(KIND)}
    if len(kinds) > 1:
        first, second = sorted(kinds, key=lambda kind: -kinds[kind])[:2]
        raise ClipmillError(
            f"the conditions of the clips differ: {kinds[first]} clips have {first}, and {kinds[second]} have"
            f" {second}",
            where="NAME.conditions.parquet of the videos",
            remedy="give all the same rate, names, units and frame, or pack each set in a run of its own",
        )
    sizes = {name.removeprefix(BYTES): n for name, n in totals.items() if name.startswith(BYTES)}
    shards = {bucket: max(1, math.ceil(size / shard_bytes)) for bucket, size in sizes.items()}
    actions = _statistics_of("action", totals)
    return to_json({"shards": shards, "statistics": channel_statistics(totals), "actions": actions})


def shard_metadata(
    samples: int, provenance: Mapping[str, Any], fitted: bytes, **more: object
) -> dict[str, str]:
    """The metadata of the index of a shard."""
    metadata = {"format": FORMAT, "samples": samples, **more} | dict(provenance)
    if statistics := json.loads(fitted)["statistics"]:
        metadata["statistics"] = statistics
    return {"clipmill.latents": to_json(metadata).decode()}


def _bucket(row: EncodedWindow) -> str:
    shape = f"{row.latent_channels}x{row.latent_frames}x{row.latent_height}x{row.latent_width}"
    return shape if row.split == "train" else f"{row.split}.{shape}"


def channel_sums(row: EncodedWindow) -> dict[str, int]:
    """Count, sum and sum of squares of each channel, of images and of videos."""
    kind = "image" if row.latent_frames == 1 else "video"
    count = row.latent_frames * row.latent_height * row.latent_width
    return _sums(kind, count if row.latent_means else 0, row.latent_means, row.latent_mean_squares)


def _sums(kind: str, count: int, means: Sequence[float], squares: Sequence[float]) -> dict[str, int]:
    sums = {f"{kind} count": count}
    for name, values in (("sum", means), ("squares", squares)):
        sums |= {f"{kind} {name} {n}": round(v * count * _FIXED_POINT) for n, v in enumerate(values)}
    return sums


def channel_statistics(totals: Mapping[str, int]) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation per channel, as `training.data.latent_statistics` describes them."""
    found = {kind: _statistics_of(kind, totals) for kind in ("image", "video")}
    return {kind: statistics for kind, statistics in found.items() if statistics}


def _statistics_of(kind: str, totals: Mapping[str, int]) -> dict[str, list[float]]:
    """Mean and standard deviation of each number; empty without any."""
    count = totals.get(f"{kind} count", 0) * _FIXED_POINT
    numbers = sum(name.startswith(f"{kind} sum ") for name in totals)
    if not (count and numbers):
        return {}
    means = [totals[f"{kind} sum {n}"] / count for n in range(numbers)]
    squares = [totals[f"{kind} squares {n}"] / count for n in range(numbers)]
    std = [math.sqrt(max(0.0, s - m * m)) for s, m in zip(squares, means, strict=True)]
    return {"mean": means, "std": std}


def condition_kinds(row: EncodedWindow) -> dict[str, int]:
    """What the conditions of a window mean, which must be the same in all windows, with the count 1."""
    if not row.conditions:
        return {}
    return {f"{KIND}{read_header_of(row.conditions)['__metadata__']['clipmill']}": 1}


def action_sums(row: EncodedWindow) -> dict[str, int]:
    """Count, sum and sum of squares of each number of the actions."""
    if not row.conditions or not row.action_means:
        return {}
    actions = read_header_of(row.conditions)["action"]["shape"][0]
    return _sums("action", actions, row.action_means, row.action_mean_squares)


def conditions_of(data: bytes, fitted: bytes) -> dict[str, Any]:
    """What the conditions of a window mean, with the statistics of the actions of all windows."""
    spec: dict[str, Any] = json.loads(read_header(data)["__metadata__"]["clipmill"])
    if "action" in spec:
        spec["action"] = spec["action"] | json.loads(fitted)["actions"]
    return spec


def sample_hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def to_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def add_provenance(
    provenance: dict[str, Any],
    metadata: Mapping[str, Any],
    shape: list[int],
    text_encoder: dict[str, Any] | None,
    conditions: dict[str, Any] | None = None,
) -> None:
    """Set what holds for the whole shard, and check that it holds for this clip.

    Raises:
        ValueError: Two clips of one shard were encoded differently.
    """
    of_clip = {name: metadata[name] for name in REQUIRED} | {"shape": shape}
    of_clip |= {name: metadata[name] for name in OPTIONAL if name in metadata}
    if text_encoder is not None:
        of_clip["text_encoder"] = text_encoder
    if conditions is not None:
        of_clip["conditions"] = conditions
    if provenance and provenance != of_clip:
        raise ValueError(f"two clips of one shard were encoded differently: {provenance} and {of_clip}")
    provenance.update(of_clip)
