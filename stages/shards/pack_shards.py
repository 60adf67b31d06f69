"""Packs clips into WebDataset tars of similar size, in buckets of similar clips, each with an index.

The id of a clip decides its shard and its place there. So a shard mixes sources, and it depends only on the
clips in it, not on their order, the workers, or the location of the store.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from manifests import Artifact, NonNegativeFloat, PositiveFloat, PositiveInt, Row, Vector, column
from manifests.identity import shuffle_key
from pipeline import Needs, Reject, Survey
from stages.media.tar import MAX_MEMBER_BYTES, pack_tar
from stages.shards.bucket import (
    ASPECT_RATIOS,
    ASPECT_TOLERANCE,
    BUCKET_FRAMES,
    RESOLUTIONS,
    check_buckets,
    exact_fps,
    frames_at_fps,
    length_name,
    shape_name,
)
from stages.shards.metadata import SampleMetadata, columns_with_values, typed_metadata
from stages.shards.sample import clean_caption, embedding_bytes, media_extension, metadata_bytes
from stages.shards.shard_bins import COLUMN, fit_shards, shard_number, size_total

_NO_BUCKET = "none"
TRAIN = "train"


class CaptionedClip(SampleMetadata):
    id: str
    source: str
    start_s: float
    end_s: float
    caption: str
    enhanced_caption: str | None = None
    embedding: Vector | None = None
    clip: Artifact
    clip_audio: str
    clip_width_px: int
    clip_height_px: int
    clip_frames: int
    clip_fps: float
    clip_duration_s: float


class PackedSample(Row):
    bucket: str = column(
        "short side, aspect ratio and frames at the trainer's rate of the clips of the shard"
    )
    shard: Artifact = column("the tar that holds the clip")
    shard_index: Artifact = column("Parquet index of that tar: key, member, offset, size")
    shard_key: str = column("key of the clip's members in the tar")
    shard_number: int = column("number of the tar in its bucket")
    metadata_shard: Artifact | None = column("the tar that holds the json member; null if it is `shard`")
    metadata_index: Artifact | None = column("Parquet index of `metadata_shard`")
    caption_shard: Artifact | None = column("the tar that holds the txt member; null if it is `shard`")
    caption_index: Artifact | None = column("Parquet index of `caption_shard`")
    embedding_shard: Artifact | None = column("the tar that holds the npy member; null if it is `shard`")
    embedding_index: Artifact | None = column("Parquet index of `embedding_shard`")


EXTENSIONS = ("mp4", "json", "txt", "npy")  # of members, in the order of a tar that holds all
SHARD_COLUMNS = {"mp4": "shard", "json": "metadata_shard", "txt": "caption_shard", "npy": "embedding_shard"}
INDEX_COLUMNS = {
    "mp4": "shard_index",
    "json": "metadata_index",
    "txt": "caption_index",
    "npy": "embedding_index",
}


class PackShards(Survey[CaptionedClip, PackedSample]):
    """Writes `shards/BUCKET/NUMBER.tar` with KEY.mp4, KEY.json and KEY.txt; the key is the id of the clip.

    An image has KEY.jpg, KEY.png or KEY.webp in place of KEY.mp4, and a bucket that ends in "image".

    Clips whose `split` is not "train" are stored in a folder of their own, `shards-validation/…`. The name of
    a bucket consists of the largest of `resolutions` that the short side reaches (or small), the aspect ratio
    (or other), and the range of the number of frames that a trainer reads at `fps`.

    Rejected: a clip with fewer frames than the first of `bucket_frames`, a clip that is too large for a tar
    member, and with `include_embeddings` a clip without an embedding.

    Attributes:
        shard_bytes: Largest average size of the clips in a shard of a bucket, in bytes. A higher value makes
            fewer shards.
        fps: Frame rate at which a trainer will read the clips, in frames per second.
        bucket_frames: Frame counts at which buckets begin, ascending. Clips with fewer frames than the first
            are rejected.
        resolutions: Short sides of buckets in pixels. More make more buckets.
        aspect_ratios: Aspect ratios of buckets, such as 16:9. More make more buckets.
        aspect_tolerance: Largest difference to the aspect ratio of a bucket, as a share of the smaller ratio.
            Clips that differ more are in a bucket "other". Higher values put fewer clips there.
        include_embeddings: Also pack the embedding, as KEY.npy.
        separate_tars: Write a tar for each of mp4, json, txt and npy, `shards/BUCKET/mp4/NUMBER.tar` …, with
            the same keys in the same order.
    """

    shard_bytes: PositiveInt = 256 * 2**20
    fps: PositiveFloat = 24.0
    bucket_frames: tuple[PositiveInt, ...] = (1, *BUCKET_FRAMES)
    resolutions: tuple[PositiveInt, ...] = RESOLUTIONS
    aspect_ratios: tuple[str, ...] = ASPECT_RATIOS
    aspect_tolerance: NonNegativeFloat = ASPECT_TOLERANCE
    include_embeddings: bool = False
    separate_tars: bool = False

    version = 5
    needs = Needs(cpus=0.5)

    def __post_init__(self) -> None:
        check_buckets(self.resolutions, self.aspect_ratios)

    def tally(self, rows: Sequence[CaptionedClip]) -> Mapping[str, int]:
        """Bytes per bucket and bin; and number of parts with a value, per column of the metadata."""
        packed = [row for row in rows if not self._reject_reason(row)]
        totals: Counter[str] = Counter(f"{COLUMN}{name}" for name in columns_with_values(packed))
        for row in packed:
            totals[size_total(self._bucket(row), row.id)] += row.clip.size_bytes
        return totals

    def fit(self, sample: Sequence[CaptionedClip], totals: Mapping[str, int]) -> bytes:
        return fit_shards(totals, self.shard_bytes)

    def assign(self, rows: Sequence[CaptionedClip], fitted: bytes) -> Iterator[str]:
        shards_of: dict[str, list[int] | int] = json.loads(fitted)["shards"]
        for row in rows:
            if self._reject_reason(row):
                yield _NO_BUCKET
                continue
            bucket = self._bucket(row)
            yield f"{bucket}-{shard_number(shards_of[bucket], row.id):06d}"

    def settle(
        self, group: str, rows: Sequence[CaptionedClip], fitted: bytes
    ) -> Iterator[PackedSample | Reject]:
        if group == _NO_BUCKET:
            yield from (Reject(self._reject_reason(row)) for row in rows)
            return
        bucket, number = group.rsplit("-", 1)
        ordered = sorted(rows, key=lambda row: (shuffle_key(row.id, "place"), row.id))
        contents = _CONTENTS | {"json": partial(_metadata, columns=json.loads(fitted)["columns"])}
        tars = self._write_tars(bucket, number, ordered, contents)
        for row in rows:
            yield PackedSample(
                bucket=_without_split(bucket),
                shard=tars["shard"],
                shard_index=tars["shard_index"],
                shard_key=row.id,
                shard_number=int(number),
                metadata_shard=tars.get("metadata_shard"),
                metadata_index=tars.get("metadata_index"),
                caption_shard=tars.get("caption_shard"),
                caption_index=tars.get("caption_index"),
                embedding_shard=tars.get("embedding_shard"),
                embedding_index=tars.get("embedding_index"),
            )

    def group_inputs(self, group: str, fitted: bytes) -> bytes:
        """The columns of the metadata. A shard with equal clips and captions is linked, not written again."""
        return json.dumps(json.loads(fitted)["columns"]).encode()

    def _reject_reason(self, row: CaptionedClip) -> str:
        """Why a clip cannot be packed, or ""."""
        if row.clip.size_bytes > MAX_MEMBER_BYTES:
            return f"the clip has {row.clip.size_bytes} bytes; a tar member has at most {MAX_MEMBER_BYTES}"
        frames = self._frames(row)
        if frames < self.bucket_frames[0]:
            rate = f"frames at {self.fps:g} frames per second"
            return f"the clip has {frames} {rate}, and the first bucket begins at {self.bucket_frames[0]}"
        if self.include_embeddings and row.embedding is None:
            return "the clip has no embedding: run EmbedClip before PackShards or unset include_embeddings"
        return ""

    def _frames(self, row: CaptionedClip) -> int:
        """The number of frames at the trainer's rate."""
        return frames_at_fps(row.clip_frames / exact_fps(row.clip_fps), self.fps)

    def _bucket(self, row: CaptionedClip) -> str:
        """The bucket, after the split if that is not "train"."""
        buckets = self.resolutions, self.aspect_ratios, self.aspect_tolerance
        shape = shape_name(row.clip_width_px, row.clip_height_px, *buckets)
        is_image = media_extension(row.clip.path) != "mp4"
        length = "image" if is_image else length_name(self._frames(row), self.bucket_frames)
        bucket = f"{shape}_{length}"
        return bucket if row.split == TRAIN else f"{row.split}.{bucket}"

    def _write_tars(
        self, bucket: str, number: str, rows: Sequence[CaptionedClip], contents: "_Contents"
    ) -> dict[str, Artifact]:
        """The tars and their indexes, by column. One clip at a time is in memory."""
        extensions = EXTENSIONS if self.include_embeddings else EXTENSIONS[:-1]
        split = bucket.partition(".")[0] if "." in bucket else ""
        folder = f"shards-{split}/{_without_split(bucket)}" if split else f"shards/{_without_split(bucket)}"
        tars: dict[str, Artifact] = {}
        try:
            for group in ((extension,) for extension in extensions) if self.separate_tars else (extensions,):
                inner = f"{folder}/{group[0]}" if self.separate_tars else folder
                tar, index = _write_tar(f"{inner}/{number}", rows, {e: contents[e] for e in group})
                tars |= {SHARD_COLUMNS[group[0]]: tar, INDEX_COLUMNS[group[0]]: index}
        except BaseException:
            for artifact in tars.values():
                if artifact.file is not None:
                    artifact.file.unlink(missing_ok=True)
            raise
        return tars


def _write_tar(name: str, rows: Sequence[CaptionedClip], contents: "_Contents") -> tuple[Artifact, Artifact]:
    """A tar with these members of each row, and its index."""
    members = (
        (f"{row.id}.{media_extension(row.clip.path) if e == 'mp4' else e}", content(row))
        for row in rows
        for e, content in contents.items()
    )
    note = json.dumps({"format": 1, "samples": len(rows)}, sort_keys=True)
    return pack_tar(name, members, lambda: {"clipmill.clips": note})


def _metadata(row: CaptionedClip, columns: Sequence[str]) -> bytes:
    metadata = {
        "id": row.id,
        "source": row.source,
        "start_s": float(row.start_s),
        "end_s": float(row.end_s),
        "caption": _caption(row),
        "width_px": row.clip_width_px,
        "height_px": row.clip_height_px,
        "frames": row.clip_frames,
        "fps": float(row.clip_fps),
        "duration_s": float(row.clip_duration_s),
        "audio": row.clip_audio,
    }
    return metadata_bytes(typed_metadata(row, columns) | metadata)


def _caption(row: CaptionedClip) -> str:
    return clean_caption(row.enhanced_caption or row.caption)


_Contents = Mapping[str, Callable[[CaptionedClip], bytes]]
_CONTENTS: dict[str, Callable[[CaptionedClip], bytes]] = {
    "mp4": lambda row: row.clip.read(),
    "txt": lambda row: _caption(row).encode(),
    "npy": lambda row: embedding_bytes(row.embedding or ()),
}


def _without_split(bucket: str) -> str:
    """The name of the bucket without the split."""
    return bucket.rpartition(".")[2]
