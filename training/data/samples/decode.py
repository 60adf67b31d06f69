"""Decodes the members of a sample, and checks them against the index of its shard."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from safetensors.torch import load

from training.data import shard_checks
from training.data.samples.views import captions_of, member_suffixes, padding_mask, video_sizes
from training.data.shard import Shard
from training.errors import LatentMismatchError
from training.text_encoders.precomputed import deserialize_embeddings

LATENTS_SUFFIX, TEXT_SUFFIX = ".safetensors", ".text.safetensors"


class Sample(NamedTuple):
    """One clip.

    Attributes:
        id: Its id.
        latents: [c t h w] as stored; the views of a recording follow each other in t.
        caption: Its caption; of several views that of the first.
        fps: Frames per second before the tokenizer.
        text_embeddings: [n d] of the caption of each view as stored, without padding. () if not read.
        padding_mask: 1 where the frames are padding, [1 h w], in latents. None if the shard does not say it.
        view_captions: The caption of each view in `latents`; () of single videos.
        codes: Codes of the clip, [t h w], int64. None if they are not read.
        conditions: Per-frame conditions that are read: fields of `Conditioning` without the axis of the
            batch.
    """

    id: str
    latents: torch.Tensor
    caption: str
    fps: float
    text_embeddings: tuple[torch.Tensor, ...] = ()
    padding_mask: torch.Tensor | None = None
    view_captions: tuple[str, ...] = ()
    codes: torch.Tensor | None = None
    conditions: Mapping[str, torch.Tensor] = MappingProxyType({})

    @property
    def num_views(self) -> int:
        """Number of views in `latents`."""
        return max(1, len(self.view_captions))


def decode_sample(
    key: str, members: dict[str, bytes], shard: Shard, views: Sequence[str], max_frames: int
) -> Sample:
    """A sample from its members, checked against the footer of its shard and cropped in time."""
    where, suffixes = f"{shard.tar}: {key}", member_suffixes(LATENTS_SUFFIX, views)
    if missing := {*suffixes, ".json", ".txt"} - set(members):
        raise LatentMismatchError(f"the sample has no {', no '.join(sorted(missing))}", where=where)
    metadata = json.loads(members[".json"])
    if metadata.get("tokenizer_digest") != shard.spec.digest:
        raise LatentMismatchError(
            "the sample was encoded with another tokenizer than its index says", where=where
        )
    every = [_load_latents(members[suffix], shard, where, key) for suffix in suffixes]
    texts = member_suffixes(TEXT_SUFFIX, views)
    text = tuple(deserialize_embeddings(members[name]) for name in texts if name in members)
    width = shard.text_encoder["embed_dim"] if text and shard.text_encoder else 0
    if width and any(each.shape[1] != width for each in text):
        raise LatentMismatchError("the text embeddings have another width than the index says", where=where)
    masks = [padding_mask(video_px, shard) for video_px in video_sizes(metadata, views)]
    padding = torch.stack(masks).amax(0) if masks else None
    latents = torch.cat([each[:, :max_frames] for each in every], 1)
    captions = captions_of(metadata, views) or (members[".txt"].decode(),) * max(1, len(views))
    return Sample(key, latents, captions[0], shard.fps, text, padding, captions if len(views) > 1 else ())


def _load_latents(data: bytes, shard: Shard, where: str, key: str) -> torch.Tensor:
    """The latents of one view."""
    [latents] = load(data).values()
    if tuple(latents.shape) != shard.shape or str(latents.dtype) != f"torch.{shard.spec.dtype}":
        raise LatentMismatchError(
            f"the sample is {latents.dtype} {tuple(latents.shape)}, but its index says"
            f" {shard.spec.dtype} {shard.shape}",
            where=where,
        )
    if latents.is_floating_point() and not bool(torch.isfinite(latents).all()):
        raise LatentMismatchError(
            "the latents contain values that are not finite (NaN or infinity)",
            where=where,
            remedy=f"encode the clip again, or put {key} into skip_samples",
        )
    shard_checks.check_ids(latents, shard, where, key)
    return latents
