"""Shards of latents contain each clip once, have the same bytes every time, and the trainer reads them."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_safetensors

from manifests import Artifact
from manifests.stores import open_store
from stages.latents.pack_latents import EncodedClip, PackedLatents, PackLatents
from training.data.order import SampleIndex
from training.data.shards import LatentShards

METADATA = {
    "tokenizer": "small",
    "tokenizer_digest": "d1",
    "stride": [4, 8, 8],
    "dtype": "float16",
    "fps": 12.0,
}


def clip(number: int, shape: tuple[int, int, int, int] = (6, 3, 4, 6), **changes: object) -> EncodedClip:
    latents = torch.full(shape, number / 8, dtype=torch.float16)
    data = to_safetensors({"latents": latents}, metadata={"clipmill": json.dumps(METADATA | changes)})
    return EncodedClip(
        id=f"{number:016x}",
        latents=Artifact.of(data, ".safetensors"),
        latent_channels=shape[0],
        latent_frames=shape[1],
        latent_height=shape[2],
        latent_width=shape[3],
        caption=f"number {number}",
        source="films/a.mp4",
        start_s=float(number),
        end_s=number + 2.0,
    )


CLIPS = [clip(n) for n in range(12)] + [clip(n, (6, 2, 6, 4)) for n in range(12, 15)]


def pack(rows: list[EncodedClip], parts: int, **settings: int) -> dict[str, PackedLatents]:
    """Do as the engine does: tally parts, add up, assign, settle the rows of each group sorted by id."""
    stage = PackLatents(**settings)
    totals: dict[str, int] = defaultdict(int)
    for part in range(parts):
        for name, count in stage.tally(rows[part::parts]).items():
            totals[name] += count
    fitted = stage.fit([], totals)
    groups: dict[str, list[EncodedClip]] = defaultdict(list)
    for row, group in zip(rows, stage.assign(rows, fitted), strict=True):
        groups[group].append(row)
    packed: dict[str, PackedLatents] = {}
    for group, members in groups.items():
        members.sort(key=lambda row: row.id)
        packed |= zip((row.id for row in members), stage.settle(group, members, fitted), strict=True)
    return packed


def save(packed: dict[str, PackedLatents], root: Path) -> list[tuple[str, str]]:
    store = open_store(str(root))
    pairs = {}
    for row in packed.values():
        if row.latents_shard.path not in pairs:
            saved = [a.save(store, "pack") for a in (row.latents_shard, row.latents_index)]
            pairs[row.latents_shard.path] = tuple(f"{store.url}/{a.path}" for a in saved)
    return list(pairs.values())


def test_the_trainer_reads_packed_latents(tmp_path: Path) -> None:
    packed = pack(CLIPS, 2, shard_bytes=4 * CLIPS[0].latents.size_bytes)
    assert {row.latents_shard.path for row in packed.values()} == {
        "latents/6x3x4x6/000000.tar",
        "latents/6x3x4x6/000001.tar",
        "latents/6x3x4x6/000002.tar",
        "latents/6x2x6x4/000000.tar",
    }
    shards = LatentShards(save(packed, tmp_path))
    assert shards.shapes == ((6, 2, 6, 4), (6, 3, 4, 6))
    assert shards.fps == 12
    samples = [
        shards.read(bucket, SampleIndex(shard, n))
        for bucket, counts in enumerate(shards.counts)
        for shard, count in enumerate(counts)
        for n in range(count)
    ]
    assert sorted(s.id for s in samples) == [c.id for c in CLIPS]
    for sample in samples:
        number = int(sample.id, 16)
        assert sample.caption == f"number {number}"
        assert (sample.latents == number / 8).all()


def test_equal_clips_give_equal_bytes(tmp_path: Path) -> None:
    first, second = pack(CLIPS, 1), pack(CLIPS[::-1], 3)
    assert first == second
    one, two = save(first, tmp_path / "1"), save(second, tmp_path / "2")
    for file, other in zip(sorted(sum(one, ())), sorted(sum(two, ())), strict=True):
        assert Path(file).read_bytes() == Path(other).read_bytes()


def test_clips_that_were_encoded_differently_are_refused() -> None:
    with pytest.raises(ValueError, match="encoded differently"):
        pack([clip(1), clip(2, tokenizer_digest="d2")], 1)
