"""Pretrained text encoders equal the models of transformers, and are independent of padding and batch."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from training.diffusion.conditioning import Conditioning
from training.errors import CheckpointError, SettingError, TrainingError
from training.text_encoder import TextEncoder, add_text
from training.text_encoders.language_model import LanguageModelTextEncoder
from training.text_encoders.pretrained import weights_digest
from training.text_encoders.registry import load_text_encoder
from training.text_encoders.t5 import T5TextEncoder

transformers = pytest.importorskip("transformers")
CAPTIONS = ["a slow pan over the beach", "", "the dog runs", "a"]
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% for c in m['content'] %}{{ c['text'] }}{% endfor %}"
    "{% endfor %}"
)


def save_tokenizer(folder: Path, *, adds_end: bool) -> Any:
    """A tokenizer of single bytes and a few merges, trained here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<|system|>", "<|user|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a slow pan over the beach", "the dog runs over the beach"], trainer)
    if adds_end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", chat_template=CHAT
    )
    fast.save_pretrained(folder)
    return fast


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    save_tokenizer(folder, adds_end=True)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=310, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2, pad_token_id=0
    )
    transformers.T5EncoderModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language-model")
    save_tokenizer(folder, adds_end=False)
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=310,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
    )
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vision_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vision-language-model")
    save_tokenizer(folder, adds_end=False)
    torch.manual_seed(0)
    text = {
        "vocab_size": 310,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 2, 2]},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 24,
        "fullatt_block_indexes": [0],
    }
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    transformers.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    return folder


def check_independence(encoder: TextEncoder) -> None:
    """The embedding of a caption is the same alone and in a batch, and padding is zeros."""
    embeddings, mask = encoder(CAPTIONS, "cpu")
    assert embeddings.dtype == torch.float32
    assert embeddings.shape == (*mask.shape, encoder.embed_dim)
    assert not embeddings[mask == 0].any()
    for row, caption in enumerate(CAPTIONS):
        alone, own_mask = encoder([caption], "cpu")
        n = int(mask[row].sum())
        assert int(own_mask.sum()) == n
        torch.testing.assert_close(alone[0, :n], embeddings[row, :n], rtol=1e-4, atol=1e-5)
    assert not mask[1].any()  # the empty caption
    assert bool(embeddings.isfinite().all())


def test_t5_equals_transformers(t5: Path) -> None:
    encoder = T5TextEncoder(str(t5), dtype="float32")
    check_independence(encoder)
    embeddings, mask = encoder(CAPTIONS[:1], "cpu")
    tokens = transformers.AutoTokenizer.from_pretrained(t5)(CAPTIONS[0], return_tensors="pt")
    assert tokens.input_ids[0, -1] == 1  # the end token
    with torch.no_grad():
        expected = transformers.T5EncoderModel.from_pretrained(t5).eval()(**tokens).last_hidden_state
    torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-5)
    assert int(mask.sum()) == tokens.input_ids.shape[1]


def test_t5_pads_as_the_cosmos_pipelines_of_diffusers(t5: Path) -> None:
    """Always 512 tokens, of which those after the text are zeros."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(t5)
    inputs = tokenizer(CAPTIONS[0], padding="max_length", max_length=40, truncation=True, return_tensors="pt")
    model = transformers.T5EncoderModel.from_pretrained(t5).eval()
    with torch.no_grad():
        expected = model(inputs.input_ids, attention_mask=inputs.attention_mask.bool()).last_hidden_state
    expected[0, int(inputs.attention_mask.sum()) :] = 0
    encoder = T5TextEncoder(str(t5), max_length=40, dtype="float32")
    encoder.min_length = encoder.max_length
    conditioning = add_text(Conditioning(), encoder, CAPTIONS[:1], "cpu")
    torch.testing.assert_close(conditioning.text_embeddings, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(conditioning.text_mask, inputs.attention_mask)
    assert T5TextEncoder(str(t5), max_length=3, dtype="float32")(CAPTIONS, "cpu")[1].shape == (4, 3)


def test_layers_of_a_language_model_are_normalized_and_concatenated(language_model: Path) -> None:
    encoder = LanguageModelTextEncoder(str(language_model), layers=(1, 3), dtype="float32")
    check_independence(encoder)
    assert encoder.embed_dim == 2 * 24
    embeddings, mask = encoder(CAPTIONS[:1], "cpu")
    tokens = transformers.AutoTokenizer.from_pretrained(language_model)(CAPTIONS[0], return_tensors="pt")
    model = transformers.Qwen2ForCausalLM.from_pretrained(language_model).eval()
    with torch.no_grad():
        states = model(**tokens, output_hidden_states=True).hidden_states
    assert int(mask.sum()) == tokens.input_ids.shape[1]
    for part, layer in zip(embeddings.chunk(2, -1), (1, 3), strict=True):
        expected = states[layer] - states[layer].mean(-1, keepdim=True)
        torch.testing.assert_close(part, expected / states[layer].std(-1, keepdim=True), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(part.std(-1), torch.ones(part.shape[:2]), rtol=1e-4, atol=1e-4)


def test_a_vision_language_model_equals_the_pipeline_of_diffusers(vision_language_model: Path) -> None:
    """Of Cosmos-Predict2.5: the chat template, all layers, and padding that counts as text."""
    diffusers = pytest.importorskip("diffusers.pipelines.cosmos.pipeline_cosmos2_5_predict")
    encoder = load_text_encoder(str(vision_language_model), 2 * 24, dtype="float32")
    assert isinstance(encoder, LanguageModelTextEncoder)
    assert encoder.info["pad_to_max_length"] is True
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(vision_language_model).eval()

    class Pipeline:
        tokenizer = transformers.AutoTokenizer.from_pretrained(vision_language_model)
        text_encoder = model
        _execution_device = "cpu"

    get_embeds = diffusers.Cosmos2_5_PredictBasePipeline._get_prompt_embeds
    with torch.no_grad():
        expected = get_embeds(Pipeline(), CAPTIONS[:1], max_sequence_length=512)
    embeddings, mask = encoder(CAPTIONS[:1], "cpu")
    assert embeddings.shape == (1, 512, 48)
    assert bool(mask.all())
    torch.testing.assert_close(embeddings, expected, rtol=1e-3, atol=1e-4)


def test_the_weights_are_frozen_and_their_digest_does_not_depend_on_the_dtype(t5: Path) -> None:
    encoder, half = T5TextEncoder(str(t5), dtype="float32"), T5TextEncoder(str(t5))
    assert not encoder.encoder.model.training
    assert not any(p.requires_grad for p in encoder.encoder.model.parameters())
    assert not encoder(CAPTIONS, "cpu")[0].requires_grad
    assert {p.dtype for p in half.encoder.model.parameters()} == {torch.bfloat16}
    assert half.info == encoder.info
    assert len(encoder.info["digest"]) == 64
    weight = encoder.encoder.model.encoder.final_layer_norm.weight
    weight.add_(1.0)
    assert weights_digest(encoder.encoder.model) != encoder.info["digest"]
    layer = torch.nn.Linear(24, 3)  # embeddings can be saved for the gradients of a network
    layer(encoder(CAPTIONS, "cpu")[0]).sum().backward()
    assert layer.weight.grad is not None


def test_the_kind_of_encoder_comes_from_its_folder(t5: Path, language_model: Path) -> None:
    assert isinstance(load_text_encoder(str(t5), 24), T5TextEncoder)
    encoder = load_text_encoder(str(language_model), 72)
    assert isinstance(encoder, LanguageModelTextEncoder)
    assert isinstance(encoder, TextEncoder)
    assert encoder.layers == (1, 2, 3)
    with pytest.raises(SettingError, match=r"has width 24, and the network takes 128"):
        load_text_encoder(str(t5), 128)


def test_what_cannot_be_loaded_is_refused(
    t5: Path, language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_text_encoder(str(tmp_path), 24)
    with pytest.raises(ValueError, match=r"layers are \(4,\); numbers from 1 to 3"):
        LanguageModelTextEncoder(str(language_model), layers=(4,))
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        T5TextEncoder(str(t5), dtype="int8")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TrainingError, match="need transformers"):
        T5TextEncoder(str(t5))
