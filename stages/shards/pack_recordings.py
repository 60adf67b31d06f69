"""Packs the clips of all cameras of a recording into one WebDataset sample: KEY.CAMERA.mp4, json and txt.

Buckets, shards and their order are those of `PackShards`, with the clip of the recording in place of a clip.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manifests import Artifact, NonNegativeFloat, PositiveFloat, PositiveInt, Row, column
from manifests.identity import shuffle_key
from manifests.messages import join_names
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
from stages.shards.sample import clean_caption, metadata_bytes
from stages.shards.shard_bins import COLUMN, fit_shards, shard_number, size_total

_NO_BUCKET = "none"
TRAIN = "train"


class CameraSample(SampleMetadata):
    id: str
    recording: str
    recording_cameras: tuple[str, ...]
    recording_clip: str
    recording_start_s: float
    camera_name: str
    camera_number: int
    camera_calibration: str
    source: str
    start_s: float
    end_s: float
    caption: str
    enhanced_caption: str | None = None
    clip: Artifact
    clip_audio: str
    clip_width_px: int
    clip_height_px: int
    clip_frames: int
    clip_fps: float
    clip_duration_s: float


class PackedCamera(Row):
    bucket: str = column("short side and aspect ratio of the first camera, frames, and number of cameras")
    shard: Artifact = column("the tar that holds the clips of all cameras")
    shard_index: Artifact = column("Parquet index of that tar: key, member, offset, size")
    shard_key: str = column("key of the sample in the tar; it is the same for all cameras")
    shard_member: str = column("name of the clip in the tar")
    shard_number: int = column("number of the tar in its bucket")


class PackRecordings(Survey[CameraSample, PackedCamera]):
    """Writes `shards/BUCKET/NUMBER.tar` with KEY.CAMERA.mp4 for each camera, KEY.json and KEY.txt.

    The key is that of the clip in its recording. The json has what all cameras share, and below "cameras" the
    measurements, the caption and the calibration of each. The caption in the txt is that of the first camera.

    Rejected are the clips of all cameras if one is missing, if their numbers of frames or frame rates differ,
    if they have fewer frames than the first of `bucket_frames`, or if one is too large for a tar member.

    Attributes:
        shard_bytes: Largest average size of the samples in a shard of a bucket, in bytes. A higher value
            makes fewer shards.
        fps: Frame rate at which a trainer will read the clips, in frames per second.
        bucket_frames: Frame counts at which buckets begin, ascending. Clips with fewer frames than the first
            are rejected.
        resolutions: Short sides of buckets in pixels. More make more buckets.
        aspect_ratios: Aspect ratios of buckets, such as 16:9. More make more buckets.
        aspect_tolerance: Largest difference to the aspect ratio of a bucket, as a share of the smaller ratio.
            Clips that differ more are in a bucket "other". Higher values put fewer clips there.
    """

    shard_bytes: PositiveInt = 256 * 2**20
    fps: PositiveFloat = 24.0
    bucket_frames: tuple[PositiveInt, ...] = (1, *BUCKET_FRAMES)
    resolutions: tuple[PositiveInt, ...] = RESOLUTIONS
    aspect_ratios: tuple[str, ...] = ASPECT_RATIOS
    aspect_tolerance: NonNegativeFloat = ASPECT_TOLERANCE

    needs = Needs(cpus=0.5)

    def __post_init__(self) -> None:
        check_buckets(self.resolutions, self.aspect_ratios)

    def tally(self, rows: Sequence[CameraSample]) -> Mapping[str, int]:
        """Bytes per bucket and bin; and number of parts with a value, per column of the metadata."""
        totals: Counter[str] = Counter()
        columns: set[str] = set()
        for key, cameras in group_cameras(rows).items():
            if not self._reject_reason(cameras):
                columns |= columns_with_values(cameras)
                size = sum(c.clip.size_bytes for c in cameras)
                totals[size_total(self._bucket(cameras), key)] += size
        totals.update(f"{COLUMN}{name}" for name in columns)
        return totals

    def fit(self, sample: Sequence[CameraSample], totals: Mapping[str, int]) -> bytes:
        return fit_shards(totals, self.shard_bytes)

    def assign(self, rows: Sequence[CameraSample], fitted: bytes) -> Iterator[str]:
        shards_of: dict[str, list[int] | int] = json.loads(fitted)["shards"]
        groups: dict[str, str] = {}
        for key, cameras in group_cameras(rows).items():
            if self._reject_reason(cameras):
                groups[key] = _NO_BUCKET
                continue
            bucket = self._bucket(cameras)
            groups[key] = f"{bucket}-{shard_number(shards_of[bucket], key):06d}"
        yield from (groups[row.recording_clip] for row in rows)

    def settle(
        self, group: str, rows: Sequence[CameraSample], fitted: bytes
    ) -> Iterator[PackedCamera | Reject]:
        samples = group_cameras(rows)
        if group == _NO_BUCKET:
            reasons = {key: self._reject_reason(cameras) for key, cameras in samples.items()}
            yield from (Reject(reasons[row.recording_clip]) for row in rows)
            return
        bucket, number = group.rsplit("-", 1)
        split, _, name = bucket.rpartition(".")
        folder = f"shards-{split}/{name}" if split else f"shards/{name}"
        ordered = sorted(samples, key=lambda key: (shuffle_key(key, "place"), key))
        columns = json.loads(fitted)["columns"]
        shard, index = _write_shard(f"{folder}/{number}", [samples[key] for key in ordered], columns)
        for row in rows:
            yield PackedCamera(
                bucket=name,
                shard=shard,
                shard_index=index,
                shard_key=row.recording_clip,
                shard_member=member_name(row),
                shard_number=int(number),
            )

    def _reject_reason(self, cameras: Sequence[CameraSample]) -> str:
        """Why the clips of a recording cannot be packed, or ""."""
        first = cameras[0]
        missing = [n for n in first.recording_cameras if n not in {c.camera_name for c in cameras}]
        if missing:
            names = f"the camera{'s' * (len(missing) > 1)} {join_names(missing)}"
            return f"the clip of {names} is missing: an earlier step dropped or rejected it"
        for what, values in (
            ("numbers of frames", {c.camera_name: c.clip_frames for c in cameras}),
            ("frame rates", {c.camera_name: round(c.clip_fps, 6) for c in cameras}),
        ):
            if len(set(values.values())) > 1:
                shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
                return f"the clips of the cameras have different {what}: {shown}; set fps of CutClip"
        frames = self._frames(first)
        if frames < self.bucket_frames[0]:
            rate = f"frames at {self.fps:g} frames per second"
            return f"the clip has {frames} {rate}, and the first bucket begins at {self.bucket_frames[0]}"
        size = max(c.clip.size_bytes for c in cameras)
        if size > MAX_MEMBER_BYTES:
            return f"a clip has {size} bytes; a tar member has at most {MAX_MEMBER_BYTES}"
        return ""

    def _frames(self, row: CameraSample) -> int:
        """The number of frames at the trainer's rate."""
        return frames_at_fps(row.clip_frames / exact_fps(row.clip_fps), self.fps)

    def _bucket(self, cameras: Sequence[CameraSample]) -> str:
        """The bucket, after the split if that is not "train"."""
        first = cameras[0]
        buckets = self.resolutions, self.aspect_ratios, self.aspect_tolerance
        shape = shape_name(first.clip_width_px, first.clip_height_px, *buckets)
        length = length_name(self._frames(first), self.bucket_frames)
        bucket = f"{shape}_{length}_{len(cameras)}cameras"
        return bucket if first.split == TRAIN else f"{first.split}.{bucket}"


def group_cameras(rows: Sequence[CameraSample]) -> dict[str, list[CameraSample]]:
    """The rows of each clip of a recording, in the order of the cameras."""
    samples: dict[str, list[CameraSample]] = {}
    for row in sorted(rows, key=lambda row: row.camera_number):
        samples.setdefault(row.recording_clip, []).append(row)
    return samples


def member_name(row: CameraSample) -> str:
    """The name of a camera's clip in the tar."""
    return f"{row.recording_clip}.{row.camera_name}.mp4"


def _write_shard(
    name: str, samples: Sequence[Sequence[CameraSample]], columns: Sequence[str]
) -> tuple[Artifact, Artifact]:
    """The tar of some samples, and its index. One clip at a time is in memory."""

    def members() -> Iterator[tuple[str, bytes]]:
        for cameras in samples:
            key = cameras[0].recording_clip
            for camera in cameras:
                yield member_name(camera), camera.clip.read()
            yield f"{key}.json", metadata_bytes(_metadata(cameras, columns))
            yield f"{key}.txt", _caption(cameras[0]).encode()

    note = json.dumps({"format": 1, "samples": len(samples)}, sort_keys=True)
    return pack_tar(name, members(), lambda: {"clipmill.recordings": note})


def _metadata(cameras: Sequence[CameraSample], columns: Sequence[str]) -> dict[str, Any]:
    first = cameras[0]
    return {
        "id": first.recording_clip,
        "recording": first.recording,
        "recording_start_s": float(first.recording_start_s),
        "caption": _caption(first),
        "frames": first.clip_frames,
        "fps": float(first.clip_fps),
        "duration_s": float(first.clip_duration_s),
        "split": first.split,
        "views": [camera.camera_name for camera in cameras],
        "cameras": {camera.camera_name: _camera_metadata(camera, columns) for camera in cameras},
    }


def _camera_metadata(row: CameraSample, columns: Sequence[str]) -> dict[str, Any]:
    return typed_metadata(row, columns) | {
        "id": row.id,
        "source": row.source,
        "start_s": float(row.start_s),
        "end_s": float(row.end_s),
        "caption": _caption(row),
        "width_px": row.clip_width_px,
        "height_px": row.clip_height_px,
        "audio": row.clip_audio,
        "calibration": json.loads(row.camera_calibration),
    }


def _caption(row: CameraSample) -> str:
    return clean_caption(row.enhanced_caption or row.caption)
