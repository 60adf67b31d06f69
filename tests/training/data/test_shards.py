"""Shards are read by offset in an order independent of ranks and resumes; mismatches are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.data.batches import BatchLoader
from training.data.find_shards import find_shards, find_splits, read_sample_ids
from training.data.order import SampleIndex, SampleOrder
from training.data.shards import LatentShards
from training.errors import LatentMismatchError

MakeShard = Callable[..., tuple[str, str]]


def clip_ids(first: int, count: int) -> list[str]:
    return [f"clip{n:03d}" for n in range(first, first + count)]


@pytest.fixture
def pairs(make_shard: MakeShard) -> list[tuple[str, str]]:
    return [
        make_shard("wide/000000", clip_ids(0, 5)),
        make_shard("wide/000001", clip_ids(5, 4)),
        make_shard("long/000000", clip_ids(9, 3), shape=(16, 5, 4, 6)),
        make_shard("tall/000000", clip_ids(12, 2), shape=(16, 3, 6, 4)),
    ]


def test_samples_are_those_that_were_packed(pairs: list[tuple[str, str]]) -> None:
    shards = LatentShards(reversed(pairs))
    assert shards.shapes == ((16, 3, 4, 6), (16, 3, 6, 4), (16, 5, 4, 6))
    assert shards.counts == ((5, 4), (2,), (3,))
    sample = shards.read(0, SampleIndex(1, 2))
    assert (sample.id, sample.caption) == ("clip007", "a clip007 shot")
    assert sample.latents.shape == (16, 3, 4, 6)
    assert sample.latents.dtype == torch.float16


def test_cropping_in_time_merges_buckets(pairs: list[tuple[str, str]]) -> None:
    cropped = LatentShards(pairs, max_frames=3)
    assert cropped.shapes == ((16, 3, 4, 6), (16, 3, 6, 4))
    assert sum(map(sum, cropped.counts)) == 14
    whole = LatentShards(pairs)
    index = SampleIndex(0, 1)
    shard = next(n for n, s in enumerate(cropped.buckets[0]) if "long" in s.tar)
    assert torch.equal(cropped.read(0, SampleIndex(shard, 1)).latents, whole.read(2, index).latents[:, :3])


@pytest.mark.parametrize(("ranks", "grad_accum_steps"), [(2, 1), (4, 1), (1, 2), (2, 2)])
def test_ranks_and_microbatches_divide_the_batch_of_one_rank(
    pairs: list[tuple[str, str]], ranks: int, grad_accum_steps: int
) -> None:
    shards = LatentShards(pairs)
    order = SampleOrder(shards.counts, 4, seed=3)
    for step in range(8):
        whole = BatchLoader(shards, order).read(step)[0]
        by_rank = [
            BatchLoader(shards, order, rank, ranks, grad_accum_steps).read(step) for rank in range(ranks)
        ]
        parts = [by_rank[rank][part] for part in range(grad_accum_steps) for rank in range(ranks)]
        assert tuple(i for part in parts for i in part.ids) == whole.ids
        assert torch.equal(torch.cat([part.latents for part in parts]), whole.latents)
        assert list(whole.ids) == BatchLoader(shards, order, num_data_ranks=ranks).sample_ids(step)


def test_prefetching_and_resuming_change_nothing(pairs: list[tuple[str, str]]) -> None:
    shards = LatentShards(pairs)
    order = SampleOrder(shards.counts, 3, seed=3)
    ids = [BatchLoader(shards, order).read(step)[0].ids for step in range(9)]
    prefetching = BatchLoader(shards, order)
    assert [prefetching.microbatches(step)[0].ids for step in (0, 1, 2, 5, 6, 3)] == [
        ids[s] for s in (0, 1, 2, 5, 6, 3)
    ]
    prefetching.close()
    resumed = BatchLoader(LatentShards(pairs), order)
    assert [resumed.microbatches(step)[0].ids for step in range(4, 9)] == ids[4:]
    resumed.close()


def test_find_shards(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    assert find_shards(str(tmp_path / "shards")) == sorted(pairs)
    (tmp_path / "list.txt").write_text(f"shards/wide/000000.tar\n{pairs[2][0]}\n")
    assert find_shards(str(tmp_path / "list.txt")) == sorted([pairs[0], pairs[2]])
    (tmp_path / "empty").mkdir()
    with pytest.raises(LatentMismatchError, match="there are no shards"):
        find_shards(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"tokenizer_digest": "d2"}, "digest is d2, but d1"),
        ({"dtype": "bfloat16"}, "dtype is bfloat16, but float16"),
        ({"stride": [8, 8, 8]}, "stride is"),
        ({"tokenizer": "other"}, "tokenizer is other, but small"),
        ({"format": 2}, "format 2"),
        ({"statistics": {"video": {"mean": [0.0] * 16, "std": [1.0] * 16}}}, "statistics"),
    ],
)
def test_shards_that_differ_are_refused(
    make_shard: MakeShard, metadata: dict[str, object], message: str
) -> None:
    first = make_shard("a/000000", clip_ids(0, 2))
    other = make_shard("b/000000", clip_ids(2, 2), **metadata)
    with pytest.raises(LatentMismatchError, match=message) as caught:
        LatentShards([first, other])
    assert "b/000000" in str(caught.value)
    assert caught.value.remedy


def test_captions_that_were_encoded_differently_are_refused(make_shard: MakeShard) -> None:
    encoders: list[dict[str, object] | None] = [{"digest": "a"}, {"digest": "b"}, None]
    encoders = [e and {"name": "t5", "embed_dim": 8} | e for e in encoders]
    shards = [make_shard(f"{n}/000000", clip_ids(n, 1), text_encoder=e) for n, e in enumerate(encoders)]
    for pairs, message in (
        (shards[:2], "encoded differently"),
        (shards[1:], r"not encoded[\s\S]*EncodeText"),
    ):
        with pytest.raises(LatentMismatchError, match=message) as caught:
            LatentShards(pairs).read_text()
        assert caught.value.where == pairs[1][0]


def test_shards_that_do_not_match_the_model_are_refused(make_shard: MakeShard) -> None:
    spec = LatentShards([make_shard("a/000000", clip_ids(0, 2))]).spec
    with pytest.raises(LatentMismatchError, match="digest is d2, but d1 in the model"):
        LatentShards([make_shard("b/000000", clip_ids(2, 2), tokenizer_digest="d2")], spec=spec)


@pytest.mark.parametrize(
    ("ids", "metadata", "message"),
    [
        (clip_ids(0, 2), {"sample_metadata": {"tokenizer_digest": "d9"}}, "another tokenizer"),
        (clip_ids(0, 2), {"samples": 3}, "has 2 samples, not 3"),
        (clip_ids(0, 2), {"shape": (16, 3, 4, 6), "dtype": "bfloat16"}, "is torch.float16"),
    ],
)
def test_a_sample_that_does_not_match_its_index_is_refused(
    make_shard: MakeShard, ids: list[str], metadata: dict[str, object], message: str
) -> None:
    shards = LatentShards([make_shard("a/000000", ids, **metadata)])
    with pytest.raises(LatentMismatchError, match=message):
        shards.read(0, SampleIndex(0, 0))


def test_an_index_without_provenance_is_refused(make_shard: MakeShard) -> None:
    from stages.media.tar import index_bytes

    tar, index = make_shard("a/000000", clip_ids(0, 2))
    Path(index).write_bytes(index_bytes([]))
    with pytest.raises(LatentMismatchError, match="does not say how"):
        LatentShards([(tar, index)])


@pytest.fixture
def split_pairs(make_shard: MakeShard) -> list[tuple[str, str]]:
    return [
        make_shard("latents/16x3x4x6/000000", clip_ids(0, 5)),
        make_shard("latents-validation/16x3x4x6/000000", clip_ids(5, 2)),
    ]


def test_the_validation_split_is_not_trained_on(split_pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    folder = str(tmp_path / "shards")
    train, held_out = split_pairs
    assert find_splits(folder) == ([train], [held_out])
    assert find_shards(folder, "validation") == [held_out]
    assert find_splits(f"{folder}/latents-validation") == ([held_out], [])  # named by the user
    (tmp_path / "list.txt").write_text(f"{train[0]}\n{held_out[0]}\n")
    assert find_splits(str(tmp_path / "list.txt")) == ([train], [held_out])
    (tmp_path / "list.txt").write_text(f"{held_out[0]}\n")
    with pytest.raises(LatentMismatchError, match="only of validation"):
        find_splits(str(tmp_path / "list.txt"))


def test_videos_of_different_frame_rates_are_refused(make_shard: MakeShard) -> None:
    first = make_shard("a/000000", clip_ids(0, 2))
    other = make_shard("b/000000", clip_ids(2, 2), fps=24.0)
    image = make_shard("c/000000", clip_ids(4, 2), shape=(16, 1, 4, 6), fps=1.0)
    with pytest.raises(LatentMismatchError, match="24, but 12 fps"):
        LatentShards([first, other])
    assert LatentShards([first, image]).fps == 12.0
    mixed = LatentShards([first, other], mixed_fps=True)
    batch = BatchLoader(mixed, SampleOrder(mixed.counts, 4)).read(0)[0]
    assert batch.conditioning.fps is not None
    assert sorted(batch.conditioning.fps.tolist()) == [12.0, 12.0, 24.0, 24.0]


def test_skipped_samples_are_replaced_on_any_layout(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "skip.txt").write_text("clip000\nclip003\n")
    skipped = read_sample_ids(tmp_path / "skip.txt")
    shards = LatentShards(pairs[:2])
    order = SampleOrder(shards.counts, 4, seed=3)
    without = BatchLoader(shards, order, skip_samples=skipped)
    changed = 0
    for step in range(8):
        before, after = BatchLoader(shards, order).read(step)[0], without.read(step)[0]
        assert not skipped & set(after.ids)
        assert all(a == b for a, b in zip(after.ids, before.ids, strict=True) if b not in skipped)
        changed += after.ids != before.ids
        halves = [BatchLoader(shards, order, rank, 2, skip_samples=skipped).read(step)[0] for rank in (0, 1)]
        assert halves[0].ids + halves[1].ids == after.ids
        assert halves[0].positions + halves[1].positions == after.positions
        assert tuple(without.sample_ids(step)) == after.ids
    assert changed
    everything = frozenset(clip_ids(0, 9))
    with pytest.raises(LatentMismatchError, match="not in skip_samples"):
        BatchLoader(shards, order, skip_samples=everything).read(0)
    with pytest.raises(LatentMismatchError, match="cannot be read"):
        read_sample_ids(tmp_path / "missing.txt")


def test_positions_are_unique_over_steps(pairs: list[tuple[str, str]]) -> None:
    shards = LatentShards(pairs)
    loader = BatchLoader(shards, SampleOrder(shards.counts, 4, seed=3))
    positions = [position for step in range(6) for position in loader.read(step)[0].positions]
    assert len(set(positions)) == 24
