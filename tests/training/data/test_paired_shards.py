"""Latents and codes of the same clips are joined by their ids, and what does not fit is refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from training.data.batches import collate
from training.data.codes.paired_shards import PairedShards, open_latents
from training.data.order import SampleIndex
from training.data.shard import CodeSpec
from training.errors import LatentMismatchError

MakeShard = Callable[..., tuple[str, str]]
CODES = {"tokenizer": "codes", "tokenizer_digest": "d2", "dtype": "uint16", "codebook_size": 60}


@pytest.fixture
def latents(make_shard: MakeShard) -> list[tuple[str, str]]:
    return [
        make_shard("a/000000", ["a", "b"], shape=(16, 3, 4, 6)),
        make_shard("b/000000", ["c"], shape=(16, 1, 4, 4)),
    ]


def code_shards(make_shard: MakeShard, **metadata: Any) -> list[tuple[str, str]]:
    values = CODES | {"stride": [4, 16, 16]} | metadata
    shape = values.pop("shape", (1, 3, 2, 3))
    return [
        make_shard("codes/0", ["x", "b"], shape=shape, **values),
        make_shard("codes/1", ["c", "other"], shape=(1, 1, 2, 2), **values),
        make_shard("codes/2", [values.pop("third", "a")], shape=(1, 3, 2, 3), **values),
    ]


def test_each_clip_has_its_codes(make_shard: MakeShard, latents: list[tuple[str, str]]) -> None:
    shards = open_latents(latents, code_shards(make_shard), max_frames=2)
    assert isinstance(shards, PairedShards)
    assert shards.code_spec == CodeSpec("codes", "d2", (4, 16, 16), 60)
    codes_alone = open_latents(code_shards(make_shard), [])
    expected = {}
    for bucket, counts in enumerate(codes_alone.counts):
        for shard, count in enumerate(counts):
            for number in range(count):
                sample = codes_alone.read(bucket, SampleIndex(shard, number))
                expected[sample.id] = sample.latents[0].long()
    read = [shards.read(0, SampleIndex(0, 0)), *(shards.read(1, SampleIndex(0, n)) for n in range(2))]
    assert [sample.id for sample in read] == ["c", "a", "b"]
    for sample in read:
        assert sample.codes is not None
        assert torch.equal(sample.codes, expected[sample.id][:2])
    batch = collate(read[1:], [0, 1])
    assert batch.conditioning.codes is not None
    assert batch.conditioning.codes.shape == (2, 2, 2, 3)


@pytest.mark.parametrize(
    ("metadata", "options", "message"),
    [
        ({"third": "z"}, {}, "1 of 2 clips have no codes, such as a"),
        ({"shape": (1, 2, 2, 3)}, {}, "the codes of b are 2 x 2 x 3 at 12 fps, and its latents 3 x 4 x 6"),
        ({"shape": (1, 3, 4, 6)}, {}, "need 3 x 2 x 3"),
        ({"fps": 24.0}, {}, "at 24 fps, and its latents 3 x 4 x 6 at 12 fps"),
        ({"stride": [8, 16, 16]}, {}, "a stride of 8 x 16 x 16, and the latents of 4 x 8 x 8"),
        ({"stride": [4, 12, 16]}, {}, "a stride of 4 x 12 x 16"),
        ({"codebook_size": 0, "dtype": "float16"}, {}, "these are latents .float16. of codes, and not codes"),
        ({}, {"code_spec": CodeSpec("codes", "d3", (4, 16, 16), 60)}, "digest is d2, but d3 in the model"),
    ],
)
def test_what_does_not_fit_is_refused(
    metadata: dict[str, Any], options: dict[str, Any], message: str, make_shard: MakeShard,
    latents: list[tuple[str, str]],
) -> None:  # fmt: skip
    with pytest.raises(LatentMismatchError, match=message):
        open_latents(latents, code_shards(make_shard, **metadata), **options)


def test_a_code_outside_of_the_codebook_is_refused(
    make_shard: MakeShard, latents: list[tuple[str, str]]
) -> None:
    sample_metadata = {**CODES, "codebook_size": 1000}
    shards = open_latents(latents, code_shards(make_shard, sample_metadata=sample_metadata))
    with pytest.raises(LatentMismatchError, match=r"code .* not one of 0..59") as error:
        shards.read(1, SampleIndex(0, 0))
    assert "a" in error.value.where
