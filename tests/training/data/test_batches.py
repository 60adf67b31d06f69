"""Batches are read ahead in threads, mixed in stated shares, and sized by tokens; bad clips are named."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.data.batches import BatchLoader
from training.data.mixture import MixedOrder
from training.data.order import SampleIndex, SampleOrder
from training.data.prefetch import Prefetcher
from training.data.shards import LatentShards
from training.errors import LatentMismatchError
from training.recipes.batches import bucket_batch_size, build_order, check_captions
from training.recipes.config import TrainingConfig

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    """Videos of two shapes, 18 and 12 tokens, and images of 6 tokens."""
    return [
        make_shard("a/000000", [f"clip{n:03d}" for n in range(6)]),
        make_shard("b/000000", [f"clip{n:03d}" for n in range(6, 10)], shape=(16, 2, 6, 4)),
        make_shard("c/000000", [f"clip{n:03d}" for n in range(10, 13)], shape=(16, 1, 4, 6), fps=1.0),
    ]


def test_threads_read_ahead_and_give_the_items_of_one_thread() -> None:
    release, calls = threading.Event(), []

    def read(number: int) -> int:
        calls.append(number)
        assert number < 5 or release.wait(30)
        return 10 * number

    items = Prefetcher(read, num_workers=2, prefetch_factor=2)
    assert [items.get(n) for n in (0, 1)] == [0, 10]
    release.set()
    assert [items.get(n) for n in (2, 3, 9, 10, 4)] == [20, 30, 90, 100, 40]
    assert len(set(calls) & set(range(5))) == 5
    items.close()


def test_close_does_not_wait_for_a_read_that_hangs() -> None:
    hang, begun = threading.Event(), threading.Event()

    def read(number: int) -> int:
        if number:
            begun.set()
            hang.wait()
        return number

    items = Prefetcher(read)
    assert items.get(0) == 0
    assert begun.wait(30)
    items.close()  # the test would not end if it waited
    hang.set()


@pytest.mark.parametrize(("num_workers", "prefetch_factor"), [(1, 1), (3, 2)])
def test_batches_do_not_depend_on_the_threads(
    data: list[tuple[str, str]], num_workers: int, prefetch_factor: int
) -> None:
    shards = LatentShards(data)
    order = SampleOrder(shards.counts, 3, seed=1)
    loader = BatchLoader(shards, order, num_workers=num_workers, prefetch_factor=prefetch_factor)
    for step in (0, 1, 2, 3, 7, 8, 2):
        expected, got = BatchLoader(shards, order).read(step)[0], loader.microbatches(step)[0]
        assert (got.ids, got.positions) == (expected.ids, expected.positions)
        assert torch.equal(got.latents, expected.latents)
    loader.close()


def test_an_error_of_a_thread_names_the_clip(data: list[tuple[str, str]]) -> None:
    shards = LatentShards(data[:1])
    Path(data[0][0]).unlink()
    loader = BatchLoader(shards, SampleOrder(shards.counts, 1), num_workers=2)
    with pytest.raises(LatentMismatchError, match="FileNotFoundError") as caught:
        loader.microbatches(0)
    bucket, (index,) = loader.order.batch(0)
    assert f"{data[0][0]}: {shards.sample_id(bucket, index)}" in str(caught.value)
    loader.close()


@pytest.mark.parametrize("share", [0.25, 1 / 3, 0.37, 1.0])
def test_the_share_of_image_steps_is_exact(data: list[tuple[str, str]], share: float) -> None:
    shards = LatentShards(data)
    config = TrainingConfig(data=data, image_share=share, batch_size=2, seed=4)
    order = build_order(config, shards)
    buckets = [order.batch(step)[0] for step in range(1000)]
    is_image = [shards.shapes[bucket][1] == 1 for bucket in buckets]
    for start in (0, 123, 500):
        assert abs(sum(is_image[start : start + 500]) - 500 * share) <= 1
    again = build_order(config, LatentShards(data))
    assert [again.batch(step) for step in (999, 0, 500)] == [order.batch(step) for step in (999, 0, 500)]
    videos = Counter(b for b, image in zip(buckets, is_image, strict=True) if not image)
    if videos:  # 6 and 4 clips
        few, many = sorted(videos.values())
        assert many / few == pytest.approx(1.5, rel=0.05)


def test_shares_of_three_orders() -> None:
    orders = [SampleOrder(((5,),), 1) for _ in range(3)]
    mixed = MixedOrder(orders, [[2], [0], [1]], [0.5, 0.2, 0.3])
    buckets = Counter(mixed.batch(step)[0] for step in range(1000))
    assert [buckets[n] for n in (2, 0, 1)] == [500, 200, 300]
    steps = [s for s in range(40) if mixed.batch(s)[0] == 0]  # the order of a group goes on where it was
    assert [mixed.batch(s)[1] for s in steps] == [orders[1].batch(n)[1] for n in range(len(steps))]


def test_images_or_videos_that_are_missing_are_an_error(data: list[tuple[str, str]]) -> None:
    for part, kind in ((data[:2], "images"), (data[2:], "videos")):
        with pytest.raises(LatentMismatchError, match=f"image_share is 0.5, but there are no {kind}"):
            build_order(TrainingConfig(data=part, image_share=0.5), LatentShards(part))


def test_batches_by_tokens(data: list[tuple[str, str]]) -> None:
    shards = LatentShards(data)
    config = TrainingConfig(data=data, batch_size=2, tokens_per_batch=50)
    sizes = [bucket_batch_size(config, shape) for shape in shards.shapes]
    assert dict(zip(shards.shapes, sizes, strict=True)) == {
        (16, 1, 4, 6): 8,  # 6 tokens each
        (16, 2, 6, 4): 4,  # 12 tokens
        (16, 3, 4, 6): 2,  # 18 tokens
    }
    order = build_order(config, shards)
    reads: Counter[tuple[int, SampleIndex]] = Counter()
    for step in range(200):
        bucket, indices = order.batch(step)
        assert len(indices) == sizes[bucket]
        reads.update((bucket, index) for index in indices)
    assert len(reads) == 13
    assert max(reads.values()) - min(reads.values()) <= 4  # every clip is read as often as any other
    small = TrainingConfig(data=data, batch_size=4, tokens_per_batch=10)
    assert {bucket_batch_size(small, shape) for shape in shards.shapes} == {4}


def test_latents_are_chosen_by_their_area(make_shard: MakeShard, data: list[tuple[str, str]]) -> None:
    large = make_shard("d/000000", ["clip100"], shape=(16, 2, 8, 8))
    assert LatentShards([*data, large], min_area=30).shapes == ((16, 2, 8, 8),)
    assert len(LatentShards([*data, large], max_area=24).shapes) == 3
    with pytest.raises(LatentMismatchError, match="from 30 to 40") as caught:
        LatentShards([*data, large], min_area=30, max_area=40)
    assert "24, 64" in str(caught.value)


@pytest.fixture
def bad_shard(make_shard: MakeShard) -> tuple[str, str]:
    """A shard whose second clip begins with a NaN (7e00 in float16)."""
    tar, index = make_shard("bad/000000", ["clip000", "clip001"])
    content = bytearray(Path(tar).read_bytes())
    file = content.index(b"clip001.safetensors") + 512  # after the header of the tar member
    first = file + 8 + int.from_bytes(content[file : file + 8], "little")  # after the header of safetensors
    content[first : first + 2] = b"\x00\x7e"
    Path(tar).write_bytes(content)
    return tar, index


def test_latents_that_are_not_finite_are_named_and_can_be_skipped(bad_shard: tuple[str, str]) -> None:
    shards = LatentShards([bad_shard])
    order = SampleOrder(shards.counts, 2)
    with pytest.raises(LatentMismatchError, match="not finite") as caught:
        BatchLoader(shards, order).read(0)
    assert f"{bad_shard[0]}: clip001" in str(caught.value)
    assert "put clip001 into skip_samples" in str(caught.value)
    batch = BatchLoader(shards, order, skip_samples=frozenset({"clip001"})).read(0)[0]
    assert batch.ids == ("clip000", "clip000")


def test_shards_without_samples_are_an_error(make_shard: MakeShard) -> None:
    with pytest.raises(LatentMismatchError, match="1 shards with 0 samples"):
        LatentShards([make_shard("a/000000", [])])
    full = make_shard("b/000000", ["clip000"])
    assert LatentShards([make_shard("a/000000", []), full]).counts == ((1,),)


def test_one_rank_of_a_context_group_reads(
    data: list[tuple[str, str]], bad_shard: tuple[str, str], on_ranks: OnRanks
) -> None:
    script = Path(__file__).with_name("context_batches_ranks.py")
    found: dict[str, Any] = json.loads(on_ranks(2, script, json.dumps([data, [bad_shard]])))
    assert found["equal"]
    assert found["reads"] == [3, 0]
    assert found["errors"][0].startswith("LatentMismatchError: the latents contain values")
    assert found["errors"][1].startswith("LostRankError: the rank that reads the clips of this rank failed")
    assert "clip001" in found["errors"][1]


def test_clips_without_captions_are_an_error_or_a_warning(
    make_shard: MakeShard, capsys: pytest.CaptureFixture[str]
) -> None:
    tar, index = make_shard("a/000000", ["clip000"])
    content = Path(tar).read_bytes()
    Path(tar).write_bytes(content.replace(b"a clip000 shot", b" " * len(b"a clip000 shot")))
    empty, full = (tar, index), make_shard("b/000000", ["clip001"])

    def check(data: list[tuple[str, str]], **settings: Any) -> str:
        check_captions(TrainingConfig(data=data, **settings), LatentShards(data))
        return capsys.readouterr().err

    with pytest.raises(
        LatentMismatchError, match="no captions, and text_encoder is google-t5/t5-11b"
    ) as caught:
        check([empty], text_encoder="google-t5/t5-11b")
    assert tar in str(caught.value)
    assert check([empty]).startswith("warning: the clips have no captions")
    for settings in ({"text_encoder": "none"}, {"text_dropout": 1.0}, {"quiet": True}):
        assert check([empty], **settings) == ""
    assert check([empty, full], text_encoder="google-t5/t5-11b") == ""
