"""Shards of latents: tars with an index, read by offset, and refused if they do not match each other.

A sample is `ID.safetensors` (one tensor, "latents" [c t h w] of unit variance, or "codes" [1 t h w]),
`ID.json` (its provenance) and `ID.txt` (its caption), consecutive in the tar. `ID.text.safetensors` follows
where captions were encoded before the training (see `training.text_encoders.precomputed`), and
`ID.conditions.safetensors` where clips have actions or camera poses (see `training.conditions`). The index is
a Parquet file (key, member, offset, size). Its schema has under "clipmill.latents" a JSON object that holds
for the whole shard: format, tokenizer, tokenizer_digest, stride [t h w], dtype, fps, shape [c t h w],
samples; "text_encoder" if captions are encoded, "conditions" if there are any, "statistics" per channel of
the whole set (see `training.data.latent_statistics`), and "codebook_size" of codes. So the footers alone show
whether shards match, and how many samples of which shape there are.

A shard of recordings has one tensor per camera; see `training.data.samples.views`.

"video_px" [x y width height] in the provenance of a sample is the part of its frames that is not padding.
"""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from training.conditions.reader import CONDITIONS_SUFFIX, ConditionReader, FrameConditions
from training.conditions.rig import rig_of
from training.conditions.spec import ConditionSpec
from training.data import shard_checks
from training.data.order import SampleIndex
from training.data.samples.decode import LATENTS_SUFFIX, TEXT_SUFFIX, Sample, decode_sample
from training.data.samples.views import check_views, member_suffixes
from training.data.shard import LatentSpec, Shard, fetch, read_footer
from training.errors import LatentMismatchError

MAX_CACHED_INDEXES = 64  # per reader


class LatentShards:
    """The samples of many shards, in one bucket per shape.

    Args:
        pairs: Paths or URLs of (tar, index). Their order has no effect.
        max_frames: Latent frames that longer clips are cropped to, from the start: only a prefix of causal
            latents equals the latents of a shorter clip. 0 crops none.
        min_area: Clips whose latent height * width is smaller are left out.
        max_area: Clips whose latent height * width is larger are left out; 0 leaves none out.
        spec: How the latents of the model were made, if the model is already trained.
        mixed_fps: Accept clips of different frame rates, for a network that knows the frame rate.
        views: Cameras of recordings whose latents follow each other in time, in this order. () reads shards
            of single videos. Rays of all cameras are relative to the first pose of the first one.

    Attributes:
        normalize: Applied to the latents [c t h w] of each clip that is read; by default it changes nothing.
        condition_reader: Reads the conditions of each clip; None reads none. See `read_conditions`.

    Raises:
        LatentMismatchError: There are no shards or no clips, or they do not match each other or `spec`.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        max_frames: int = 0,
        min_area: int = 0,
        max_area: int = 0,
        spec: LatentSpec | None = None,
        mixed_fps: bool = False,
        views: Sequence[str] = (),
    ) -> None:
        unique = sorted({(tar, index) for tar, index in pairs})
        if not unique:
            raise LatentMismatchError(
                "there are no latents to train on", remedy="name a folder that contains shards"
            )
        with ThreadPoolExecutor(16) as pool:
            shards = list(pool.map(read_footer, unique))
        self.spec = spec or shards[0].spec
        for shard in shards:
            shard_checks.check_spec(shard, self.spec, "the model" if spec else shards[0].tar)
        shard_checks.check_statistics(shards)
        check_views(shards, views)
        if not mixed_fps:
            shard_checks.check_fps(shards)
        self.normalize: Callable[[torch.Tensor], torch.Tensor] = lambda latents: latents
        self._max_frames, self._with_text, self.views = max_frames, False, tuple(views)
        self.text_encoder = shards[0].text_encoder
        self.condition_reader: ConditionReader | None = None
        buckets: dict[tuple[int, int, int, int], list[Shard]] = {}
        for shard in shards:
            area = shard.shape[2] * shard.shape[3]
            if shard.samples and min_area <= area <= (max_area or area):
                buckets.setdefault(self._crop_shape(shard.shape), []).append(shard)
        if not buckets:
            raise shard_checks.no_clips(shards, min_area, max_area)
        self.shapes = tuple(sorted(buckets))
        self.buckets = tuple(tuple(buckets[shape]) for shape in self.shapes)
        self._indexes: OrderedDict[str, list[_Span]] = OrderedDict()
        self._indexes_lock = threading.Lock()  # `read` is called in several threads

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """Samples of each shard, per bucket, for `SampleOrder`."""
        return tuple(tuple(s.samples for s in bucket) for bucket in self.buckets)

    @property
    def fps(self) -> float:
        """The frame rate that most shards of videos have, in frames per second before the tokenizer."""
        rates = [s.fps for bucket in self.buckets for s in bucket if s.shape[1] > 1] or [1.0]
        return max(sorted(set(rates)), key=rates.count)

    @property
    def condition_spec(self) -> ConditionSpec | None:
        """What the conditions mean that are read with the latents; None if none are."""
        return self.condition_reader.spec if self.condition_reader else None

    def sample_id(self, bucket: int, index: SampleIndex) -> str:
        """The id of a sample, from the index of its shard."""
        return self._span(bucket, index).key

    def read(self, bucket: int, index: SampleIndex) -> Sample:
        """Read one sample, cropped in time to `max_frames`.

        Raises:
            LatentMismatchError: The sample cannot be read, does not match the index of its shard, or has
                values that are not finite.
        """
        shard = self.buckets[bucket][index.shard]
        others = member_suffixes(TEXT_SUFFIX, self.views) if self._with_text else ()
        others += self._condition_suffixes if self.condition_reader else ()
        key, members = self._members(bucket, index, others)
        max_frames = self._max_frames or shard.shape[1]
        try:
            sample = decode_sample(key, members, shard, self.views, max_frames)
            if self.condition_reader is not None:
                data = [members[suffix] for suffix in self._condition_suffixes]
                read = self.condition_reader.read(data, shard.shape, max_frames)
                sample = sample._replace(conditions=read)
        except (ValueError, KeyError, SafetensorError) as error:
            raise _unreadable(error, shard, key) from error
        views = sample.latents.chunk(sample.num_views, 1)
        return sample._replace(latents=torch.cat([self.normalize(view) for view in views], 1))

    def read_frame_conditions(self, bucket: int, index: SampleIndex) -> list[FrameConditions]:
        """The stored conditions of each view of a sample."""
        shard = self.buckets[bucket][index.shard]
        key, members = self._members(bucket, index, self._condition_suffixes)
        try:
            return [load(members[suffix]) for suffix in self._condition_suffixes]
        except (KeyError, SafetensorError) as error:
            raise _unreadable(error, shard, key) from error

    def read_rig(self) -> dict[str, dict[str, list[float]]]:
        """The rig of the views at the first frame of the first clip, which has poses; see `rig_of`."""
        stored = self.read_frame_conditions(0, SampleIndex(0, 0))
        height, width = (
            n * stride for n, stride in zip(self.shapes[0][2:], self.spec.stride[1:], strict=True)
        )
        return rig_of(dict(zip(self.views, stored, strict=True)), (height, width))

    @property
    def _condition_suffixes(self) -> tuple[str, ...]:
        return member_suffixes(CONDITIONS_SUFFIX, self.views)

    def _members(
        self, bucket: int, index: SampleIndex, others: Sequence[str]
    ) -> tuple[str, dict[str, bytes]]:
        """The key of a sample, and its members by suffix: latents, provenance, caption and others."""
        shard, span = self.buckets[bucket][index.shard], self._span(bucket, index)
        suffixes = {*member_suffixes(LATENTS_SUFFIX, self.views), ".json", ".txt", *others}
        wanted = [member for member in span.members if member[0] in suffixes]
        start, stop = min(m[1] for m in wanted), max(m[2] for m in wanted)
        try:
            data = fetch(shard.tar, start, stop - start)
        except OSError as error:
            raise _unreadable(error, shard, span.key) from error
        return span.key, {suffix: data[a - start : b - start] for suffix, a, b in wanted}

    def read_text(self) -> Mapping[str, Any]:
        """Read the text embeddings of each sample from now on. Returns the metadata of their encoder.

        Raises:
            LatentMismatchError: The captions of a shard are not encoded, or by another encoder.
        """
        self._with_text = True
        return shard_checks.check_text([shard for bucket in self.buckets for shard in bucket])

    def read_conditions(
        self,
        names: Sequence[str],
        *,
        camera_scale: float = 0.0,
        trajectory_scale: float = 1.0,
        spec: ConditionSpec | None = None,
    ) -> ConditionSpec:
        """Read the per-frame conditions of each sample from now on. Returns what they mean.

        Args:
            names: Which of `training.conditions.spec.CONDITIONS`.
            camera_scale: See `training.conditions.spec.read_spec`.
            trajectory_scale: Likewise.
            spec: The conditions of the model, if it is already trained, with its scales.

        Raises:
            LatentMismatchError: A shard has none, or other ones than the first shard or than `spec`.
        """
        shards = [shard for bucket in self.buckets for shard in bucket]
        if spec is not None:
            camera_scale, trajectory_scale = spec.camera_scale, spec.trajectory_scale
        found = shard_checks.check_conditions(shards, names, camera_scale, trajectory_scale, spec)
        self.condition_reader = ConditionReader(found, self.spec.stride)
        return found

    def _crop_shape(self, shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        c, t, h, w = shape
        return c, min(t, self._max_frames or t) * max(1, len(self.views)), h, w

    def _span(self, bucket: int, index: SampleIndex) -> "_Span":
        shard = self.buckets[bucket][index.shard]
        spans = self._spans(shard)
        if len(spans) != shard.samples:
            raise LatentMismatchError(
                f"the index has {len(spans)} samples, not {shard.samples}", where=shard.index
            )
        return spans[index.sample]

    def _spans(self, shard: Shard) -> "list[_Span]":
        with self._indexes_lock:
            spans = self._indexes.get(shard.index)
        spans = _read_spans(shard.index) if spans is None else spans
        with self._indexes_lock:
            self._indexes[shard.index] = spans
            self._indexes.move_to_end(shard.index)
            if len(self._indexes) > MAX_CACHED_INDEXES:
                self._indexes.popitem(last=False)
        return spans


class _Span(NamedTuple):
    key: str
    members: tuple[tuple[str, int, int], ...]  # suffix, first byte, byte after the last


def _read_spans(index: str) -> list[_Span]:
    """The samples of an index, in its order."""
    table = pq.read_table(io.BytesIO(fetch(index)))
    columns: Sequence[list[Any]] = [table[name].to_pylist() for name in ("key", "member", "offset", "size")]
    grouped: dict[str, list[tuple[str, int, int]]] = {}
    for key, member, offset, size in zip(*columns, strict=True):
        suffix = PurePosixPath(member).name.removeprefix(key)
        grouped.setdefault(key, []).append((suffix, offset, offset + size))
    return [_Span(key, tuple(members)) for key, members in grouped.items()]


def _unreadable(error: Exception, shard: Shard, key: str) -> LatentMismatchError:
    return LatentMismatchError(
        f"the sample cannot be read: {type(error).__name__}: {error}",
        where=f"{shard.tar}: {key}",
        remedy=f"pack the shard again, or put {key} into skip_samples",
    )
