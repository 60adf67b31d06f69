"""Packs the latents of all cameras of a clip into one sample: KEY.CAMERA.safetensors, KEY.json and KEY.txt.

The format is described where it is read, in `training/data/samples/views.py`. Otherwise shards are those of
`PackLatents`, with a window of a clip of a recording in place of a window.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manifests import Artifact, PositiveInt, Row, column
from manifests.identity import id_of
from manifests.messages import join_names
from pipeline import Needs, Reject, Survey
from stages.latents.pack_latents import (
    BYTES,
    EncodedWindow,
    action_sums,
    add_provenance,
    channel_sums,
    condition_kinds,
    conditions_of,
    fit_shards,
    sample_hash,
    shard_metadata,
    to_json,
)
from stages.media.safetensors_header import read_header
from stages.media.tar import pack_tar

_NO_BUCKET = "none"


class EncodedView(EncodedWindow):
    recording: str
    recording_cameras: tuple[str, ...]
    recording_clip: str
    camera_name: str
    camera_number: int
    camera_calibration: str
    window_first_frame: int
    window_frames: int


class PackedViews(Row):
    latents_bucket: str = column("number of views, and shape of one: channels x frames x height x width")
    latents_shard: Artifact = column("tar that contains the latents of all cameras")
    latents_index: Artifact = column("Parquet index of the tar: key, member, offset, size")
    latents_key: str = column("key of the sample in the tar; it is the same for all cameras")
    latents_member: str = column("name of the latents of this camera in the tar")


class PackViews(Survey[EncodedView, PackedViews]):
    """Packs latents of recordings into shards: one sample has the views of all cameras.

    The files are `latents/BUCKET/NUMBER.tar`, and `latents-SPLIT/…` for clips whose `split` is not "train".
    Each camera has its caption, text embeddings and conditions. Rejected are the views of all cameras if one
    is missing, or if their latents have different shapes, because a trainer reads them as one tensor.

    Attributes:
        shard_bytes: Approximate size of a shard in bytes. Higher values make fewer and larger shards.
    """

    version = 2

    shard_bytes: PositiveInt = 256 * 2**20

    needs = Needs(cpus=0.5)

    def tally(self, rows: Sequence[EncodedView]) -> Mapping[str, int]:
        """Bytes of latents per bucket, and the sums that statistics of the train split need."""
        totals: Counter[str] = Counter()
        for views in group_views(rows).values():
            if _reject_reason(views):
                continue
            totals[f"{BYTES}{_bucket(views)}"] += sum(view.latents.size_bytes for view in views)
            for view in views:
                totals.update(condition_kinds(view))
            for view in views if views[0].split == "train" else ():
                totals.update(channel_sums(view))
                totals.update(action_sums(view))
        return totals

    def fit(self, sample: Sequence[EncodedView], totals: Mapping[str, int]) -> bytes:
        """Number of shards per bucket, and the statistics, as JSON."""
        return fit_shards(totals, self.shard_bytes)

    def assign(self, rows: Sequence[EncodedView], fitted: bytes) -> Iterator[str]:
        shards, groups = json.loads(fitted)["shards"], dict[str, str]()
        for key, views in group_views(rows).items():
            bucket = _bucket(views)
            number = 0 if _reject_reason(views) else sample_hash(key) % shards[bucket]
            groups[key] = _NO_BUCKET if _reject_reason(views) else f"{bucket}-{number:06d}"
        yield from (groups[sample_key(row)] for row in rows)

    def settle(
        self, group: str, rows: Sequence[EncodedView], fitted: bytes
    ) -> Iterator[PackedViews | Reject]:
        samples = group_views(rows)
        if group == _NO_BUCKET:
            yield from (Reject(_reject_reason(samples[sample_key(row)])) for row in rows)
            return
        place, number = group.rsplit("-", 1)
        split, _, bucket = place.rpartition(".")
        folder = f"latents-{split}/{bucket}" if split else f"latents/{bucket}"
        keys = sorted(samples, key=lambda key: (sample_hash(key), key))
        provenance: dict[str, Any] = {}
        members = (m for key in keys for m in _members(key, samples[key], provenance, fitted))
        names = [view.camera_name for view in samples[keys[0]]]

        def metadata() -> dict[str, str]:
            return shard_metadata(len(keys), provenance, fitted, views=names)

        shard, index_file = pack_tar(f"{folder}/{number}", members, metadata)
        for row in rows:
            yield PackedViews(
                latents_bucket=bucket,
                latents_shard=shard,
                latents_index=index_file,
                latents_key=sample_key(row),
                latents_member=_member_name(sample_key(row), row),
            )


def sample_key(row: EncodedView) -> str:
    """The key of the window of a clip of a recording."""
    return id_of("views", row.recording_clip, row.window_first_frame, row.window_frames)


def group_views(rows: Sequence[EncodedView]) -> dict[str, list[EncodedView]]:
    """The rows of each sample, in the order of the cameras."""
    samples: dict[str, list[EncodedView]] = {}
    for row in sorted(rows, key=lambda row: row.camera_number):
        samples.setdefault(sample_key(row), []).append(row)
    return samples


def _reject_reason(views: Sequence[EncodedView]) -> str:
    """Why the views of a clip cannot be packed, or ""."""
    missing = [n for n in views[0].recording_cameras if n not in {view.camera_name for view in views}]
    if missing:
        return f"the latents of {join_names(missing)} are missing: an earlier step dropped or rejected them"
    shapes = {view.camera_name: _shape(view) for view in views}
    if len(set(shapes.values())) > 1:
        shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        return (
            f"the latents of the cameras have different shapes: {shown}; crop the clips to one aspect ratio"
        )
    return ""


def _shape(row: EncodedView) -> str:
    return f"{row.latent_channels}x{row.latent_frames}x{row.latent_height}x{row.latent_width}"


def _bucket(views: Sequence[EncodedView]) -> str:
    """The bucket of clips with the same cameras and the same shape, after the split if it is not "train"."""
    names = id_of("cameras", [view.camera_name for view in views])[:6]
    bucket = f"{len(views)}views_{names}_{_shape(views[0])}"
    return bucket if views[0].split == "train" else f"{views[0].split}.{bucket}"


def _member_name(key: str, row: EncodedView) -> str:
    return f"{key}.{row.camera_name}.safetensors"


def _members(
    key: str, views: Sequence[EncodedView], provenance: dict[str, Any], fitted: bytes
) -> Iterator[tuple[str, bytes]]:
    """The members of one sample. Adds to the provenance of the shard."""
    first, cameras, contents = views[0], {}, []
    for view in views:
        text = view.text_embeddings.read() if view.text_embeddings else b""
        text_encoder = json.loads(read_header(text)["__metadata__"]["clipmill"]) if text else None
        data = view.latents.read()
        header = read_header(data)
        metadata = json.loads(header["__metadata__"]["clipmill"])
        [tensor] = header.keys() - {"__metadata__"}
        conditions = view.conditions.read() if view.conditions else b""
        spec = conditions_of(conditions, fitted) if conditions else None
        add_provenance(provenance, metadata, list(header[tensor]["shape"]), text_encoder, spec)
        span = {"source": view.source, "start_s": view.start_s, "end_s": view.end_s}
        calibration = {"calibration": json.loads(view.camera_calibration)}
        cameras[view.camera_name] = metadata | span | calibration | {"caption": _caption(view)}
        contents.append((_member_name(key, view), data))
        if text:
            contents.append((f"{key}.{view.camera_name}.text.safetensors", text))
        if conditions:
            contents.append((f"{key}.{view.camera_name}.conditions.safetensors", conditions))
    shared = {
        name: cameras[first.camera_name][name] for name in provenance if name in cameras[first.camera_name]
    }
    record = {"id": key, "recording": first.recording, "views": list(cameras), "cameras": cameras}
    yield f"{key}.json", to_json(record | shared)
    yield from contents
    yield f"{key}.txt", _caption(first).encode()


def _caption(row: EncodedView) -> str:
    return row.enhanced_caption or row.caption
