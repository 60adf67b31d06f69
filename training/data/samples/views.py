"""Clips of several cameras: the latents of their views follow each other in time, as in Cosmos.

A sample of such a shard has `ID.CAMERA.safetensors` for each camera, and so text embeddings and conditions:
`ID.CAMERA.text.safetensors`, `ID.CAMERA.conditions.safetensors`. `ID.json` has "cameras", with the caption of
each. The index has the names of the cameras under "views", and "shape" is the shape of one view.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from manifests.messages import join_names
from training.data.shard import Shard
from training.errors import LatentMismatchError


def check_views(shards: Sequence[Shard], views: Sequence[str]) -> None:
    """Refuse shards that do not have all of these views, and shards of several views if none is chosen.

    Raises:
        LatentMismatchError: A shard does not fit.
    """
    for shard in shards:
        if missing := [name for name in views if name not in shard.views]:
            raise LatentMismatchError(
                f"the clips have no view {missing[0]!r}; their views: {join_names(shard.views) or 'none'}",
                where=shard.tar,
                remedy="choose other views, or shards of recordings with these cameras",
            )
        if shard.views and not views:
            raise LatentMismatchError(
                f"each clip has several views: {join_names(shard.views)}",
                where=shard.tar,
                remedy=f"choose one or more of them: views={shard.views[0]}",
            )


def member_suffixes(suffix: str, views: Sequence[str]) -> tuple[str, ...]:
    """The suffixes of the members of a kind, such as ".safetensors", in the order of the views."""
    return tuple(f".{name}{suffix}" for name in views) or (suffix,)


def captions_of(metadata: Mapping[str, Any], views: Sequence[str]) -> tuple[str, ...]:
    """The captions of views, from the provenance of a sample; () of a sample that does not state them."""
    cameras = metadata.get("cameras", {})
    found = [str(cameras[name]["caption"]) for name in views if "caption" in cameras.get(name, {})]
    return tuple(found) if len(found) == len(views) else ()


def video_sizes(metadata: Mapping[str, Any], views: Sequence[str]) -> list[Sequence[int]]:
    """The part of the frames that shows video, for each view that states it: x, y, width, height in px."""
    records = [metadata["cameras"][name] for name in views] if views else [metadata]
    return [record["video_px"] for record in records if "video_px" in record]


def padding_mask(video_px: Sequence[int], shard: Shard) -> torch.Tensor:
    """1 for each latent whose center is outside the part of the frames that shows video, [1 h w]."""
    starts, sizes = video_px[1::-1], video_px[:1:-1]  # of rows, then of columns
    rows, columns = (
        (torch.arange(count) * stride + stride / 2 - start).div(size).floor() == 0
        for count, stride, start, size in zip(
            shard.shape[2:], shard.spec.stride[1:], starts, sizes, strict=True
        )
    )
    return (~(rows[:, None] & columns)).float()[None]
