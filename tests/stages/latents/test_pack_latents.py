"""Shards of latents contain each clip once, have the same bytes every time, and the trainer reads them."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_safetensors

from manifests import Artifact
from manifests.stores import open_store
from stages.latents.pack_latents import EncodedWindow, PackedLatents, PackLatents
from training.data.batches import BatchLoader
from training.data.latent_statistics import compute_statistics
from training.data.order import SampleIndex, SampleOrder
from training.data.shards import LatentShards
from training.errors import LatentMismatchError
from training.recipes.batches import open_shards
from training.recipes.config import TrainingConfig

METADATA = {
    "tokenizer": "small",
    "tokenizer_digest": "d1",
    "stride": [4, 8, 8],
    "dtype": "float16",
    "fps": 12.0,
}


def clip(
    number: int,
    shape: tuple[int, int, int, int] = (6, 3, 4, 6),
    split: str = "train",
    codes: bool = False,
    **changes: object,
) -> EncodedWindow:
    latents = torch.full(shape, number / 8, dtype=torch.float16)
    stored = {"codes": torch.full(shape, 5000 * number).to(torch.uint16)} if codes else {"latents": latents}
    data = to_safetensors(stored, metadata={"clipmill": json.dumps(METADATA | changes)})
    return EncodedWindow(
        id=f"{number:016x}",
        latents=Artifact.of(data, ".safetensors"),
        latent_channels=shape[0],
        latent_frames=shape[1],
        latent_height=shape[2],
        latent_width=shape[3],
        latent_means=() if codes else (number / 8,) * shape[0],
        latent_mean_squares=() if codes else ((number / 8) ** 2,) * shape[0],
        caption=f"number {number}",
        source="films/a.mp4",
        start_s=float(number),
        end_s=number + 2.0,
        split=split,
    )


CLIPS = [clip(n) for n in range(12)] + [clip(n, (6, 2, 6, 4)) for n in range(12, 15)]


def pack(rows: list[EncodedWindow], parts: int, **settings: int) -> dict[str, PackedLatents]:
    """Do as the engine does: tally parts, add up, assign, settle the rows of each group sorted by id."""
    stage = PackLatents(**settings)
    totals: dict[str, int] = defaultdict(int)
    for part in range(parts):
        for name, count in stage.tally(rows[part::parts]).items():
            totals[name] += count
    fitted = stage.fit([], totals)
    groups: dict[str, list[EncodedWindow]] = defaultdict(list)
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


def test_each_shard_has_the_statistics_of_the_whole_train_split(tmp_path: Path) -> None:
    held_out = [clip(n, split="validation") for n in (90, 91)]
    images = [clip(n, (6, 1, 4, 6)) for n in (20, 22)]
    pairs = save(pack(CLIPS + images + held_out, 3, shard_bytes=4 * CLIPS[0].latents.size_bytes), tmp_path)
    shards = LatentShards(pairs)
    computed = compute_statistics(LatentShards([p for p in pairs if "validation" not in p[0]]))
    stated = [shard.statistics for bucket in shards.buckets for shard in bucket]
    assert len(stated) > 4
    assert all(each == stated[0] for each in stated)
    assert stated[0] is not None
    assert stated[0].keys() == computed.keys() == {"image", "video"}
    for kind, of_kind in computed.items():
        for name, values in of_kind.items():
            assert stated[0][kind][name] == pytest.approx(values, rel=1e-5)


def test_codes_are_packed_with_all_values_and_not_trained_on(tmp_path: Path) -> None:
    rows = [clip(n, (1, 3, 4, 6), codes=True, dtype="uint16", codebook_size=64_000) for n in range(13)]
    pairs = save(pack(rows, 1), tmp_path)
    shards = LatentShards(pairs)
    for sample in [shards.read(0, SampleIndex(0, n)) for n in range(13)]:
        assert sample.latents.dtype == torch.uint16
        assert (sample.latents.int() == 5000 * int(sample.id, 16)).all()
    with pytest.raises(
        LatentMismatchError, match=r"codes \(uint16\) of the discrete tokenizer small"
    ) as caught:
        open_shards(TrainingConfig(data=pairs))
    assert "continuous tokenizer" in caught.value.remedy
    assert caught.value.where == pairs[0][0]


def test_the_trainer_gets_the_padding_of_each_clip(tmp_path: Path) -> None:
    whole, padded = clip(1, video_px=[0, 0, 48, 32]), clip(2, video_px=[12, 3, 26, 26])
    shards = LatentShards(save(pack([whole, padded], 1), tmp_path))
    batch = BatchLoader(shards, SampleOrder(shards.counts, 2)).read(0)[0]
    assert batch.conditioning.padding_mask is not None
    masks = dict(zip(batch.ids, batch.conditioning.padding_mask, strict=True))
    assert masks[whole.id].tolist() == [[[0.0] * 6] * 4]
    # centers of latents: 4, 12, 20 … px; columns 12 to 38 and rows 3 to 29 show video
    assert masks[padded.id].tolist() == [[[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]] * 4]
