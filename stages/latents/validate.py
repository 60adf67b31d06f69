"""Validates packed latents: finds what a training on them would trip over.

A fault stops a training or spoils it. A note is about what the user may have wanted: clips without a caption,
channels whose variance is far from 1.
"""

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import Artifact
from manifests.catalog import Table
from manifests.verbs.validation import CheckResult
from stages.latents.validate_conditions import ActionSums, condition_faults
from stages.media.tar import Member

if TYPE_CHECKING:
    import torch

MEMBERS = (".json", ".safetensors", ".txt")
TEXT_MEMBER = ".text.safetensors"
CONDITIONS_MEMBER = ".conditions.safetensors"
STD_RANGE = (0.2, 5.0)  # of latents of about unit variance
MAX_INDEX_BYTES = 2**30
MIN_STD = 1e-3  # below this a channel is constant: statistics cannot normalize it
MAX_STATISTICS_ERROR = 0.01  # of stated statistics, which are of latents that were rounded in the same way
_REMEDY = "delete the table of PackLatents and run again: nothing is encoded again"
_ENCODE = "delete the tables of EncodeLatents and PackLatents and run again"


@dataclass
class _Sums:
    """Count, sum and sum of squares per channel, of the values of one kind."""

    count: int = 0
    total: Any = 0.0
    squares: Any = 0.0

    def add(self, latents: "torch.Tensor") -> None:
        values = latents.double().flatten(1)
        self.count += values.shape[1]
        self.total = self.total + values.sum(1)
        self.squares = self.squares + values.square().sum(1)

    def statistics(self) -> dict[str, list[float]]:
        mean = self.total / self.count
        std = (self.squares / self.count - mean.square()).clamp(min=0).sqrt()
        return {"mean": mean.tolist(), "std": std.tolist()}


@dataclass
class _Found:
    """What the shards of a table have so far."""

    fps: dict[float, str] = field(default_factory=dict)
    stated: Mapping[str, Any] | None = None
    sums: dict[str, _Sums] = field(default_factory=dict)
    clips: int = 0
    without_caption: list[str] = field(default_factory=list)
    with_text: int = 0
    conditions: Mapping[str, Any] | None = None
    actions: ActionSums = field(default_factory=ActionSums)


def validate_latents(table: Table, result: CheckResult, *, quick: bool) -> None:
    """Check the shards of a table of `PackLatents`.

    Args:
        table: The table of a finished step.
        result: Receives faults and notes.
        quick: Read only the headers of the tars and the indexes, no latents.
    """
    rows = table.read().to_pylist()
    by_tar: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_tar.setdefault(row["latents_shard"]["path"], []).append(row)
    named = {row["latents_index"]["path"] for row in rows} | by_tar.keys()
    for name in table.store.walk(table.folder):
        if name.removeprefix(f"{table.folder}/").startswith("latents") and name not in named:
            what = "no row names this file, but a training on the folder would read it"
            result.fault(what, f"{table.store.url}/{name}", "move it out of the folder")
    found = _Found()
    for path, of_tar in sorted(by_tar.items()):
        tar, index = (Artifact(store=table.store, **of_tar[0][c]) for c in ("latents_shard", "latents_index"))
        _Shard(tar, index, of_tar, f"{table.store.url}/{path}", result, found).check(quick)
    _check_set(found, f"{table.store.url}/{table.folder}", result)


def _check_set(found: _Found, where: str, result: CheckResult) -> None:
    """Check what holds for all shards together."""
    if len(found.fps) > 1:
        rates = ", ".join(f"{fps:g} in {tar}" for fps, tar in sorted(found.fps.items()))
        result.fault(f"the frame rates differ: {rates}", where, "split all clips with one fps")
    if missing := found.without_caption:
        result.notes.append(
            f"{where}: {len(missing)} of {found.clips} clips have no caption, such as {missing[0]}"
        )
    if 0 < found.with_text < found.clips:
        what = f"{found.with_text} of {found.clips} clips have text embeddings"
        result.fault(what, where, "encode the captions of all clips, or of none")
    for what in found.actions.faults((found.conditions or {}).get("action", {})):
        result.fault(what, where, _REMEDY)
    measured = {kind: sums.statistics() for kind, sums in found.sums.items()}
    for kind, of_kind in sorted((measured or found.stated or {}).items()):
        for channel, std in enumerate(of_kind["std"]):
            text = f"channel {channel} of the {kind} latents has standard deviation {std:.3g}"
            if std < MIN_STD:
                result.fault(f"{text}: it is constant", where, "encode with another tokenizer")
            elif not STD_RANGE[0] <= std <= STD_RANGE[1]:
                result.notes.append(f"{where}: {text}; train with latent_statistics=auto")
    for kind, of_kind in measured.items():
        stated = (found.stated or {}).get(kind)
        if found.stated and not _is_close(of_kind, stated):
            what = f"the statistics of the {kind} latents in the indexes are not those of the latents"
            result.fault(what, where, _REMEDY)


def _is_close(measured: Mapping[str, list[float]], stated: Mapping[str, list[float]] | None) -> bool:
    """Whether stated means and standard deviations are the measured ones."""
    if stated is None or any(len(measured[name]) != len(stated[name]) for name in measured):
        return False
    pairs = (pair for name in measured for pair in zip(measured[name], stated[name], strict=True))
    return all(abs(one - other) <= MAX_STATISTICS_ERROR * max(1, abs(one)) for one, other in pairs)


@dataclass
class _Shard:
    """The checks of one tar and its index."""

    tar: Artifact
    index: Artifact
    rows: Sequence[Mapping[str, Any]]
    where: str
    result: CheckResult
    found: _Found

    def check(self, quick: bool) -> None:
        try:
            metadata, listed = self._read_index()
            with self.tar.local() as path:
                self._check_tar(path, metadata, listed, quick)
        except FileNotFoundError:
            return  # the check of artifacts reports it
        except (tarfile.TarError, ValueError, KeyError, OSError) as error:
            self._fault(f"a shard cannot be read: {type(error).__name__}: {error}")

    def _read_index(self) -> tuple[dict[str, Any], list[Member]]:
        """The metadata of the shard, and the members of the tar, also of an index that was replaced."""
        import pyarrow.parquet as pq

        data = self.index.read_range(0, MAX_INDEX_BYTES)
        if hashlib.sha256(data).hexdigest() != self.index.sha256:
            self._fault("the index of a shard is not the file that was stored")
        table = pq.read_table(io.BytesIO(data))
        metadata = (table.schema.metadata or {}).get(b"clipmill.latents")
        if metadata is None:
            raise ValueError("its index does not say how the latents were made")
        return json.loads(metadata), [Member(r["member"], r["offset"], r["size"]) for r in table.to_pylist()]

    def _check_tar(self, path: Path, metadata: Mapping[str, Any], listed: list[Member], quick: bool) -> None:
        with tarfile.open(path, "r:") as opened:
            members = [Member(info.name, info.offset_data, info.size) for info in opened]
        if members != listed:
            self._fault("the index of a shard does not match the members of the shard")
        samples: dict[str, dict[str, Member]] = {}
        for member in members:
            samples.setdefault(member.key, {})[member.name.removeprefix(member.key)] = member
        self._check_metadata(metadata, len(samples))
        self._check_names(samples)
        self.found.clips += len(samples)
        self.found.with_text += sum(TEXT_MEMBER in each for each in samples.values())
        if quick:
            return
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.tar.sha256:
                self._fault("the digest of a shard is not the one that was stored")
            for key, of_sample in samples.items():
                contents = {}
                for suffix, member in of_sample.items():
                    file.seek(member.offset)
                    contents[suffix] = file.read(member.size)
                for what in self._sample_faults(key, contents, metadata):
                    self.result.fault(f"{key}: {what}", self.where, _ENCODE)

    def _check_metadata(self, metadata: Mapping[str, Any], samples: int) -> None:
        shape, fps = metadata["shape"], float(metadata["fps"])
        bucket = self.where.split("/")[-2]
        if bucket != "x".join(map(str, shape)):
            self._fault(f"the latents have shape {'x'.join(map(str, shape))}, but their bucket is {bucket}")
        if metadata["samples"] != samples:
            self._fault(f"the index states {metadata['samples']} samples, but the tar has {samples}")
        if shape[1] > 1:
            self.found.fps.setdefault(fps, self.where)
        if not (math.isfinite(fps) and fps > 0):
            self._fault(f"the frame rate is {fps:g}")
        stated = metadata.get("statistics")
        if self.found.stated is not None and stated != self.found.stated:
            self._fault("the shard states other statistics of the set than the shard before it")
        self.found.stated = stated
        conditions = metadata.get("conditions")
        if self.found.clips and conditions != self.found.conditions:
            self._fault(
                "the shard states other conditions (rate, names, units, mean, …) than the one before it"
            )
        self.found.conditions = conditions

    def _check_names(self, samples: Mapping[str, Mapping[str, Member]]) -> None:
        ids = {row["id"] for row in self.rows}
        for key in sorted(ids - samples.keys()):
            self._fault(f"the clip {key} is missing from the shard that its row names")
        for key in sorted(samples.keys() - ids):
            self._fault(f"a shard holds the clip {key}, which has no row")
        for key, members in samples.items():
            if missing := [suffix for suffix in MEMBERS if suffix not in members]:
                self._fault(f"the clip {key} has no {', no '.join(missing)}")
            if strange := sorted(members.keys() - {*MEMBERS, TEXT_MEMBER, CONDITIONS_MEMBER}):
                self._fault(f"the clip {key} has the member {strange[0]}, which PackLatents does not write")

    def _sample_faults(
        self, key: str, contents: Mapping[str, bytes], metadata: Mapping[str, Any]
    ) -> Iterator[str]:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        if not contents.get(".txt", b"?").strip():
            self.found.without_caption.append(key)
        try:
            sample = json.loads(contents.get(".json", b"{}"))
            tensors = load(contents[".safetensors"]) if ".safetensors" in contents else {}
        except (ValueError, SafetensorError) as error:
            yield f"it cannot be read: {error}"
            return
        yield from _metadata_faults(key, sample, metadata)
        yield from condition_faults(
            contents.get(CONDITIONS_MEMBER),
            metadata.get("conditions"),
            sample.get("frames", 1),
            float(metadata["fps"]),
            self.found.actions if "/latents/" in self.where else None,
        )
        for latents in tensors.values():
            stated = metadata["dtype"], metadata["shape"]
            if (str(latents.dtype).removeprefix("torch."), list(latents.shape)) != stated:
                yield f"its latents are {latents.dtype} {list(latents.shape)}, not {stated[0]} {stated[1]}"
            elif not latents.is_floating_point():
                if int(latents.int().max()) >= metadata.get("codebook_size", math.inf):
                    yield f"it has codes that are not below {metadata['codebook_size']}"
            elif not bool(torch.isfinite(latents).all()):
                yield "its latents contain NaN or infinity"
            elif "/latents/" in self.where:  # the statistics are of the train split
                kind = "image" if latents.shape[1] == 1 else "video"
                self.found.sums.setdefault(kind, _Sums()).add(latents)

    def _fault(self, what: str) -> None:
        self.result.fault(what, self.where, _REMEDY)


def _metadata_faults(key: str, sample: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[str]:
    """What the json of a sample contradicts."""
    if not sample:
        return
    if sample.get("id") != key:
        yield f"its json is that of {sample.get('id')!r}"
    for name in ("tokenizer_digest", "dtype", "fps", "stride"):
        if sample.get(name) != metadata[name]:
            yield f"its json has {name} {sample.get(name)}, but the index has {metadata[name]}"
    stride, latent_frames = metadata["stride"], metadata["shape"][1]
    frames = sample.get("frames", 1)
    if frames != 1 + (latent_frames - 1) * stride[0]:
        yield f"{frames} frames are not 1 + k * {stride[0]} for {latent_frames} latent frames"
    width, height = sample.get("encoded_px", (None, None))
    x, y, video_width, video_height = sample.get("video_px", (0, 0, 0, 0))
    if width and (metadata["shape"][2:] != [height // stride[1], width // stride[2]]):
        yield f"frames of {width} x {height} px do not give latents of {metadata['shape'][2:]}"
    if width and not (0 <= x <= width - video_width and 0 <= y <= height - video_height):
        yield "its video_px is not inside the frame"
