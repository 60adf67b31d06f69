"""Shards of latents decode to the video that the tokenizer gives for the same frames."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.media.decoding.video import open_video
from training.data.find_shards import find_shards
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.tokenizers import load_tokenizer


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10(((one - other) / 2).square().mean()))


def provenance(store: Path) -> dict[str, dict[str, Any]]:
    """The json of each sample in a store."""
    found = {}
    for path in store.glob("pack_latents-*/latents*/*/*.tar"):
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                if name.endswith(".json"):
                    file = tar.extractfile(name)
                    assert file is not None
                    found[name.removesuffix(".json")] = json.load(file)
    return found


def frames_of(metadata: dict[str, Any], clip: Path) -> Tensor:
    """The frames [1 3 t h w] of a window."""
    with open_video(str(clip)) as video:
        frames = [frame.pixels("rgb24") for frame in video.frames()]
    first = metadata["first_frame"]
    window = np.stack(frames[first : first + metadata["frames"]])
    return torch.from_numpy(window).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


@pytest.mark.parametrize(
    ("name", "settings", "tolerance_db"),
    [
        ("small", {}, 0.01),
        ("small", {"dtype": "bfloat16"}, 0.1),
        ("small-discrete", {}, 0.0),
    ],
)
def test_a_shard_decodes_with_the_quality_of_the_tokenizer(
    pack_store: Callable[..., Path],
    films: Path,
    name: str,
    settings: dict[str, Any],
    tolerance_db: float,
) -> None:
    store, tokenizer = pack_store(tokenizer=name, **settings), load_tokenizer(name)
    shards, sources = LatentShards(find_shards(str(store))), provenance(store)
    decoded = 0
    torch.set_num_threads(1)
    for bucket, counts in enumerate(shards.counts):
        for index in [SampleIndex(shard, n) for shard, count in enumerate(counts) for n in range(count)]:
            sample = shards.read(bucket, index)
            video = frames_of(sources[sample.id], films / sources[sample.id]["source"])
            with torch.inference_mode():
                direct = tokenizer.decode(tokenizer.encode(video))
                latents = sample.latents[None]
                stored = (
                    tokenizer.decode_indices(latents[:, 0])  # type: ignore[attr-defined]
                    if tokenizer.codebook_size
                    else tokenizer.decode(latents.float())
                )
            assert stored.shape == video.shape
            assert psnr(stored, video) == pytest.approx(psnr(direct, video), abs=tolerance_db)
            decoded += 1
    assert decoded == len(sources) == 8
