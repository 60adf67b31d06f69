"""Captions are encoded once, packed with their latents, and condition a training without the encoder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from small_t5 import save_small_t5

from manifests import Artifact, ClipmillError
from manifests.stores import open_store
from stages.latents.encode_text import CaptionedClip, EncodedText, EncodeText
from stages.latents.pack_latents import EncodedWindow, PackLatents
from training.data.batches import BatchLoader
from training.data.order import SampleOrder
from training.data.shards import LatentShards
from training.errors import LatentMismatchError
from training.evaluation.evaluate import evaluate
from training.model import read_model_info
from training.recipes.world import train
from training.text_encoders.registry import load_pretrained_encoder

CAPTIONS = ["a shot", "", "a a shot", "a"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_t5(tmp_path_factory.mktemp("text") / "t5", d_model=128)


@pytest.fixture(scope="module")
def stage(encoder: Path) -> EncodeText:
    return EncodeText(text_encoder=str(encoder), dtype="float32")


def encode(stage: EncodeText, captions: list[str]) -> list[EncodedText]:
    return list(stage.annotate([CaptionedClip(id=f"c{n}", caption=text) for n, text in enumerate(captions)]))


def pack(texts: list[EncodedText] | None, root: Path) -> list[tuple[str, str]]:
    from safetensors.torch import save

    metadata = {"tokenizer": "small", "tokenizer_digest": "d", "stride": [4, 8, 8], "dtype": "float16"}
    rows = []
    for n, caption in enumerate(CAPTIONS):
        latents = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(n)).half()
        data = save({"latents": latents}, metadata={"clipmill": json.dumps(metadata | {"fps": 12.0})})
        rows.append(
            EncodedWindow(
                id=f"c{n}",
                latents=Artifact.of(data, ".safetensors"),
                latent_channels=4,
                latent_frames=2,
                latent_height=4,
                latent_width=4,
                caption=caption,
                text_embeddings=texts[n].text_embeddings if texts else None,
                source="a.mp4",
                start_s=0.0,
                end_s=1.0,
            )
        )
    stage, store = PackLatents(), open_store(str(root))
    fitted = stage.fit([], stage.tally(rows))
    (group,) = set(stage.assign(rows, fitted))
    (packed,) = set(stage.settle(group, rows, fitted))
    saved = [each.save(store, "pack") for each in (packed.latents_shard, packed.latents_index)]
    return [tuple(f"{store.url}/{each.path}" for each in saved)]  # type: ignore[misc]


def test_equal_captions_give_equal_bytes_in_any_batch(stage: EncodeText) -> None:
    rows = encode(stage, CAPTIONS)
    assert [row.text_tokens for row in rows] == [2, 0, 3, 1]
    assert encode(stage, CAPTIONS[::-1])[::-1] == rows
    assert str(Path(stage.text_encoder).parent) not in str(rows[0].text_embeddings.read())
    assert len(stage.digest()) == 64


@pytest.mark.slow
def test_a_training_on_encoded_captions_equals_one_that_encodes_them(
    stage: EncodeText, encoder: Path, tmp_path: Path
) -> None:
    data = pack(encode(stage, CAPTIONS), tmp_path / "store")
    shards = LatentShards(data)
    shards.read_text()
    batch = BatchLoader(shards, SampleOrder(shards.counts, 4)).read(0)[0]
    online = load_pretrained_encoder(str(encoder), "float32")(batch.captions, "cpu")
    assert batch.conditioning.text_embeddings is not None
    assert batch.conditioning.text_mask is not None
    torch.testing.assert_close(batch.conditioning.text_embeddings, online[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(batch.conditioning.text_mask, online[1])

    settings = {"data": data, "steps": 2, "batch_size": 4, "num_threads": 1, "quiet": True}
    stored = train({**settings, "text_encoder": "precomputed"}, tmp_path / "stored")
    assert read_model_info(stored.model).text_encoder["kind"] == "t5"
    with_encoder = train({**settings, "text_encoder": str(encoder)}, tmp_path / "online")
    assert stored.loss_last == pytest.approx(with_encoder.loss_last, abs=1e-3)  # online it computes in bf16
    # a model of either training is evaluated on the stored embeddings, without the encoder
    encoder_moved = encoder.rename(encoder.with_name("moved"))
    try:
        for result in (stored, with_encoder):
            assert evaluate(result.model, data, num_threads=1).clips == 4
        assert train({**settings, "text_encoder": "precomputed", "steps": 3}, tmp_path / "stored").steps == 3
    finally:
        encoder_moved.rename(encoder)


def test_shards_without_encoded_captions_are_refused(tmp_path: Path) -> None:
    data = pack(None, tmp_path / "store")
    settings = {"data": data, "steps": 1, "batch_size": 4, "num_threads": 1, "quiet": True}
    with pytest.raises(LatentMismatchError, match=r"not encoded[\s\S]*EncodeText"):
        train({**settings, "text_encoder": "precomputed"}, tmp_path / "work")


def test_captions_of_two_encoders_are_refused(stage: EncodeText, tmp_path: Path) -> None:
    other = EncodeText(text_encoder=str(save_small_t5(tmp_path / "t5", seed=1, d_model=128)), dtype="float32")
    with pytest.raises(ValueError, match="encoded differently"):
        pack([*encode(stage, CAPTIONS[:2]), *encode(other, CAPTIONS[2:])], tmp_path / "store")


def test_embeddings_that_are_too_large_are_refused_and_tokens_are_stored(
    encoder: Path, stage: EncodeText, tmp_path: Path
) -> None:
    too_large = EncodeText(text_encoder=str(encoder), max_caption_bytes=100_000)
    with pytest.raises(ClipmillError, match=r"up to 0.1 MiB: 512 tokens of 128 numbers") as caught:
        too_large.open()
    assert "stored_text=tokens" in caught.value.remedy
    tokens = EncodeText(text_encoder=str(encoder), max_caption_bytes=100_000, stored_text="tokens")
    rows = encode(tokens, CAPTIONS)
    assert [row.text_tokens for row in rows] == [row.text_tokens for row in encode(stage, CAPTIONS)]
    stored = [load(row.text_embeddings.read())["text_tokens"] for row in rows]
    assert [each.tolist() for each in stored] == [stage._encoder.tokenize(text) for text in CAPTIONS]
    assert all(each.dtype == torch.int32 for each in stored)
    with pytest.raises(
        LatentMismatchError, match="the tokens of the captions, not their embeddings"
    ) as refused:
        LatentShards(pack(rows, tmp_path / "store")).read_text()
    assert "encodes the captions during the training" in refused.value.remedy
