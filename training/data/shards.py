"""Shards of latents: tars with an index beside them, read by offset, and refused where they do not fit.

A sample is `ID.safetensors` (one tensor, "latents" [c t h w], unit variance), `ID.json` (how it was made) and
`ID.txt` (its caption), which follow each other in the tar. The index is a Parquet file (key, member, offset,
size), whose schema carries under "clipmill.latents" a JSON object that holds for the whole shard: format,
tokenizer, tokenizer_digest, stride [t h w], dtype, fps, shape [c t h w], samples. So the footers alone tell
whether shards fit together, and how many samples of which shape there are.
"""

import io
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from safetensors.torch import load

from manifests.stores import open_store
from training.data.order import Place
from training.errors import LatentsDoNotFit

FORMAT = 1
KEY = b"clipmill.latents"
OPEN_INDEXES = 64  # kept in memory per reader


class Made(NamedTuple):
    """How latents were made; equal for all that one model sees."""

    tokenizer: str
    digest: str
    stride: tuple[int, int, int]
    channels: int
    dtype: str


class Sample(NamedTuple):
    """One clip: its id, its latents [c t h w] as they were stored, and what it shows."""

    id: str
    latents: torch.Tensor
    caption: str


@dataclass(frozen=True)
class Shard:
    """One tar and its index, as the index's footer describes them."""

    tar: str
    index: str
    made: Made
    fps: float
    shape: tuple[int, int, int, int]
    samples: int


class LatentShards:
    """The samples of many shards, in buckets of one shape each.

    Args:
        pairs: paths or URLs of (tar, index); their order plays no part.
        frames: latent frames to crop longer clips to, from the start: only a prefix of causal latents is
            what the tokenizer would have made of a shorter clip. 0 crops none.
        made: how the model's latents were made, if it was trained on some before.
    """

    def __init__(
        self, pairs: Iterable[tuple[str, str]], *, frames: int = 0, made: Made | None = None
    ) -> None:
        chosen = sorted({(tar, index) for tar, index in pairs})
        if not chosen:
            raise LatentsDoNotFit("there are no latents to train on", remedy="name a folder of shards")
        with ThreadPoolExecutor(16) as pool:
            shards = list(pool.map(_describe, chosen))
        self.made = made or shards[0].made
        for shard in shards:
            _check(shard, self.made, "the model" if made else shards[0].tar)
        self._frames = frames
        grouped: dict[tuple[int, int, int, int], list[Shard]] = {}
        for shard in shards:
            if shard.samples:
                grouped.setdefault(self._cropped(shard.shape), []).append(shard)
        self.shapes = tuple(sorted(grouped))
        self.buckets = tuple(tuple(grouped[shape]) for shape in self.shapes)
        self._indexes: OrderedDict[str, list[_Span]] = OrderedDict()

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """Samples of each shard, per bucket: what `Order` wants to know."""
        return tuple(tuple(s.samples for s in bucket) for bucket in self.buckets)

    @property
    def fps(self) -> float:
        """Frames per second of the most shards' clips, before the tokenizer."""
        rates = [s.fps for bucket in self.buckets for s in bucket]
        return max(sorted(set(rates)), key=rates.count)

    def read(self, bucket: int, place: Place) -> Sample:
        """One sample, cropped in time if that was asked for.

        Raises:
            LatentsDoNotFit: the sample is not what its shard's index says.
        """
        shard = self.buckets[bucket][place.shard]
        spans = self._spans(shard)
        if len(spans) != shard.samples:
            raise LatentsDoNotFit(
                f"an index has {len(spans)} samples, not {shard.samples}", where=shard.index
            )
        span = spans[place.sample]
        data = _fetch(shard.tar, span.start, span.stop - span.start)
        parts = {suffix: data[a - span.start : b - span.start] for suffix, a, b in span.members}
        sample = _decode(span.key, parts, shard)
        return sample._replace(latents=sample.latents[:, : self._cropped(shard.shape)[1]])

    def _cropped(self, shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        c, t, h, w = shape
        return c, min(t, self._frames or t), h, w

    def _spans(self, shard: Shard) -> "list[_Span]":
        if shard.index not in self._indexes:
            self._indexes[shard.index] = _read_spans(shard.index)
            if len(self._indexes) > OPEN_INDEXES:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(shard.index)
        return self._indexes[shard.index]


class _Span(NamedTuple):
    key: str
    start: int
    stop: int
    members: tuple[tuple[str, int, int], ...]  # suffix, first byte, byte behind the last


def find_shards(where: str) -> list[tuple[str, str]]:
    """Every tar under a folder or URL, or those that a text file lists, with the index beside each."""
    if where.endswith(".txt"):
        folder = where.rpartition("/")[0] or "."
        lines = _fetch(where).decode().split()
        tars = [line if "://" in line or line.startswith("/") else f"{folder}/{line}" for line in lines]
    else:
        store = open_store(where)
        tars = [f"{store.url}/{name}" for name in store.walk() if name.endswith(".tar")]
    if not tars:
        raise LatentsDoNotFit("no shards are here", where=where, remedy="name a folder that holds .tar files")
    return sorted((tar, tar.removesuffix(".tar") + ".parquet") for tar in tars)


def _fetch(url: str, start: int = 0, size: int | None = None) -> bytes:
    folder, _, name = url.rpartition("/")
    return open_store(folder or ".").read(name, start, size)


def _describe(pair: tuple[str, str]) -> Shard:
    tar, index = pair
    footer = pq.read_metadata(io.BytesIO(_fetch(index))).metadata or {}
    if KEY not in footer:
        raise LatentsDoNotFit(
            "an index does not say how its latents were made",
            where=index,
            remedy="pack the latents with PackLatents of this version",
        )
    said: dict[str, Any] = json.loads(footer[KEY])
    if said["format"] != FORMAT:
        raise LatentsDoNotFit(f"shards of format {said['format']} cannot be read, only {FORMAT}", where=index)
    shape = tuple(said["shape"])
    made = Made(said["tokenizer"], said["tokenizer_digest"], tuple(said["stride"]), shape[0], said["dtype"])
    return Shard(tar, index, made, float(said["fps"]), shape, int(said["samples"]))


def _check(shard: Shard, made: Made, other: str) -> None:
    """Refuse a shard whose latents were made in another way."""
    for field, is_, should in zip(Made._fields, shard.made, made, strict=True):
        if is_ != should:
            raise LatentsDoNotFit(
                f"latents do not fit together: {field} is {is_}, but {should} in {other}",
                where=shard.tar,
                remedy="encode all clips with one tokenizer, or train on one set at a time",
            )


def _read_spans(index: str) -> list[_Span]:
    """The samples of an index, in its order."""
    table = pq.read_table(io.BytesIO(_fetch(index)))
    columns: Sequence[list[Any]] = [table[name].to_pylist() for name in ("key", "member", "offset", "size")]
    grouped: dict[str, list[tuple[str, int, int]]] = {}
    for key, member, offset, size in zip(*columns, strict=True):
        grouped.setdefault(key, []).append((PurePosixPath(member).suffix, offset, offset + size))
    return [
        _Span(key, min(m[1] for m in members), max(m[2] for m in members), tuple(members))
        for key, members in grouped.items()
    ]


def _decode(key: str, parts: dict[str, bytes], shard: Shard) -> Sample:
    """A sample from its members, checked against what its shard says."""
    where = f"{shard.tar}: {key}"
    if missing := {".safetensors", ".json", ".txt"} - set(parts):
        raise LatentsDoNotFit(f"a sample has no {', no '.join(sorted(missing))}", where=where)
    said = json.loads(parts[".json"])
    if said.get("tokenizer_digest") != shard.made.digest:
        raise LatentsDoNotFit("a sample was made with another tokenizer than its shard says", where=where)
    latents = load(parts[".safetensors"])["latents"]
    if tuple(latents.shape) != shard.shape or str(latents.dtype) != f"torch.{shard.made.dtype}":
        raise LatentsDoNotFit(
            f"a sample is {latents.dtype} {tuple(latents.shape)}, its shard {shard.made.dtype} {shard.shape}",
            where=where,
        )
    return Sample(key, latents, parts[".txt"].decode())
