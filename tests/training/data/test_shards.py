"""Shards are read by offset in an order that ranks and resumes cannot change, and misfits are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.data.batches import Batches
from training.data.order import Order, Place
from training.data.shards import LatentShards, find_shards
from training.errors import LatentsDoNotFit

MakeShard = Callable[..., tuple[str, str]]


def names(first: int, count: int) -> list[str]:
    return [f"clip{n:03d}" for n in range(first, first + count)]


@pytest.fixture
def pairs(make_shard: MakeShard) -> list[tuple[str, str]]:
    return [
        make_shard("wide/000000", names(0, 5)),
        make_shard("wide/000001", names(5, 4)),
        make_shard("long/000000", names(9, 3), shape=(16, 5, 4, 6)),
        make_shard("tall/000000", names(12, 2), shape=(16, 3, 6, 4)),
    ]


def test_a_sample_is_what_was_packed(pairs: list[tuple[str, str]]) -> None:
    shards = LatentShards(reversed(pairs))
    assert shards.shapes == ((16, 3, 4, 6), (16, 3, 6, 4), (16, 5, 4, 6))
    assert shards.counts == ((5, 4), (2,), (3,))
    sample = shards.read(0, Place(1, 2))
    assert (sample.id, sample.caption) == ("clip007", "a clip007 shot")
    assert sample.latents.shape == (16, 3, 4, 6)
    assert sample.latents.dtype == torch.float16


def test_cropping_in_time_joins_buckets(pairs: list[tuple[str, str]]) -> None:
    cropped = LatentShards(pairs, frames=3)
    assert cropped.shapes == ((16, 3, 4, 6), (16, 3, 6, 4))
    assert sum(map(sum, cropped.counts)) == 14
    whole = LatentShards(pairs)
    place = Place(0, 1)
    bucket = next(b for b, s in enumerate(cropped.buckets[0]) if "long" in s.tar)
    assert torch.equal(cropped.read(0, Place(bucket, 1)).latents, whole.read(2, place).latents[:, :3])


@pytest.mark.parametrize(("ranks", "parts"), [(2, 1), (4, 1), (1, 2), (2, 2)])
def test_ranks_and_parts_share_the_batch_of_one_rank(
    pairs: list[tuple[str, str]], ranks: int, parts: int
) -> None:
    shards = LatentShards(pairs)
    order = Order(shards.counts, 4, seed=3)
    for step in range(8):
        whole = Batches(shards, order).read(step)[0]
        readers = [Batches(shards, order, rank, ranks, parts).read(step) for rank in range(ranks)]
        laid = [readers[rank][part] for part in range(parts) for rank in range(ranks)]
        assert tuple(i for clips in laid for i in clips.ids) == whole.ids
        assert torch.equal(torch.cat([clips.latents for clips in laid]), whole.latents)
        assert list(whole.ids) == Batches(shards, order, ranks=ranks).names(step)


def test_reading_ahead_and_resuming_change_nothing(pairs: list[tuple[str, str]]) -> None:
    shards = LatentShards(pairs)
    order = Order(shards.counts, 3, seed=3)
    plain = [Batches(shards, order).read(step)[0].ids for step in range(9)]
    ahead = Batches(shards, order)
    assert [ahead.at(step)[0].ids for step in (0, 1, 2, 5, 6, 3)] == [plain[s] for s in (0, 1, 2, 5, 6, 3)]
    ahead.close()
    resumed = Batches(LatentShards(pairs), order)
    assert [resumed.at(step)[0].ids for step in range(4, 9)] == plain[4:]
    resumed.close()


def test_finding_shards(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    assert find_shards(str(tmp_path / "shards")) == sorted(pairs)
    (tmp_path / "list.txt").write_text(f"shards/wide/000000.tar\n{pairs[2][0]}\n")
    assert find_shards(str(tmp_path / "list.txt")) == sorted([pairs[0], pairs[2]])
    (tmp_path / "empty").mkdir()
    with pytest.raises(LatentsDoNotFit, match="no shards"):
        find_shards(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"tokenizer_digest": "d2"}, "digest is d2, but d1"),
        ({"dtype": "bfloat16"}, "dtype is bfloat16, but float16"),
        ({"stride": [8, 8, 8]}, "stride is"),
        ({"tokenizer": "other"}, "tokenizer is other, but small"),
        ({"format": 2}, "format 2"),
    ],
)
def test_shards_that_disagree_are_refused(make_shard: MakeShard, said: dict[str, object], field: str) -> None:
    fine, odd = make_shard("a/000000", names(0, 2)), make_shard("b/000000", names(2, 2), **said)
    with pytest.raises(LatentsDoNotFit, match=field) as told:
        LatentShards([fine, odd])
    assert "b/000000" in str(told.value)


def test_shards_that_do_not_fit_the_model_are_refused(make_shard: MakeShard) -> None:
    made = LatentShards([make_shard("a/000000", names(0, 2))]).made
    with pytest.raises(LatentsDoNotFit, match="digest is d2, but d1 in the model"):
        LatentShards([make_shard("b/000000", names(2, 2), tokenizer_digest="d2")], made=made)


@pytest.mark.parametrize(
    ("ids", "said", "why"),
    [
        (names(0, 2), {"inside": {"tokenizer_digest": "d9"}}, "another tokenizer"),
        (names(0, 2), {"samples": 3}, "has 2 samples, not 3"),
        (names(0, 2), {"shape": (16, 3, 4, 6), "dtype": "bfloat16"}, "is torch.float16"),
    ],
)
def test_a_sample_that_is_not_what_its_shard_says_is_refused(
    make_shard: MakeShard, ids: list[str], said: dict[str, object], why: str
) -> None:
    shards = LatentShards([make_shard("a/000000", ids, **said)])
    with pytest.raises(LatentsDoNotFit, match=why):
        shards.read(0, Place(0, 0))


def test_an_index_without_provenance_is_refused(make_shard: MakeShard) -> None:
    from stages.media.tar import index_bytes

    tar, index = make_shard("a/000000", names(0, 2))
    Path(index).write_bytes(index_bytes([]))
    with pytest.raises(LatentsDoNotFit, match="does not say how"):
        LatentShards([(tar, index)])
