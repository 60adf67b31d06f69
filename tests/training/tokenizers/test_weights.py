"""Weights are loaded completely or refused, and the digest identifies them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.errors import CheckpointError
from training.tokenizers import load_tokenizer, tokenizer_digest, tokenizer_stride
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.cosmos.config import CosmosTokenizerConfig
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
from training.tokenizers.weights import METADATA_KEY, TOKENIZER_FILE, save_weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = PatchTokenizer(PatchTokenizerConfig(width=16, encoder_blocks=1, decoder_blocks=1))
    save_weights(tokenizer, tmp_path / TOKENIZER_FILE, {"data": ["a film"]})
    return tmp_path / TOKENIZER_FILE


def _copy_with(file: Path, rename: dict[str, str], **changes: object) -> Path:
    """A copy with some tensors renamed and some metadata changed."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = json.loads(opened.metadata()[METADATA_KEY])
    tensors = {rename.get(name, name): tensor for name, tensor in load_file(file).items()}
    other = file.with_name("other.safetensors")
    save_file(tensors, other, metadata={METADATA_KEY: json.dumps(metadata | changes)})
    return other


def test_a_file_and_its_folder_load_the_same_tokenizer(file: Path) -> None:
    by_file, by_folder = load_tokenizer(str(file)), load_tokenizer(str(file.parent))
    assert by_file.digest == by_folder.digest == tokenizer_digest(str(file.parent))
    video = torch.rand(1, 3, 5, 16, 16)
    assert torch.equal(by_file.encode(video), by_folder.encode(video))


def test_the_digest_is_stable_and_depends_on_the_content(file: Path) -> None:
    other = _copy_with(file, {}, trained={"data": ["another film"]})
    assert tokenizer_digest(str(file)) == tokenizer_digest(str(file))
    assert tokenizer_digest(str(other)) != tokenizer_digest(str(file))
    assert load_tokenizer("small").digest == tokenizer_digest("small")


def test_missing_and_unknown_keys_are_named(file: Path) -> None:
    other = _copy_with(file, {"encoder.into.bias": "encoder.onto.bias"})
    with pytest.raises(CheckpointError, match=r"missing: encoder.into.bias; unknown: encoder.onto.bias"):
        load_tokenizer(str(other))


def test_another_shape_is_named(file: Path) -> None:
    config = {"width": 24, "encoder_blocks": 1, "decoder_blocks": 1}
    with pytest.raises(CheckpointError, match=r"of another shape: .*and \d+ more"):
        load_tokenizer(str(_copy_with(file, {}, config=config)))


def test_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"\x80\x04\x95 pickled")
    with pytest.raises(CheckpointError, match="not the safetensors file of a tokenizer"):
        load_tokenizer(str(tmp_path / "noise.safetensors"))
    with pytest.raises(CheckpointError, match="there is no tokenizer 'smal'"):
        load_tokenizer("smal")
    with pytest.raises(CheckpointError, match="has format 3"):
        load_tokenizer(str(_copy_with(file, {}, format=3)))
    with pytest.raises(CheckpointError, match=r"config of the tokenizer is invalid.*depth"):
        load_tokenizer(str(_copy_with(file, {}, config={"stride": [4, 8, 8], "depth": 3})))


def test_the_digest_is_computed_without_torch() -> None:
    code = "import sys, training.tokenizers as t; t.tokenizer_digest('small'); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_discrete_and_cosmos_tokenizers_are_stored_with_config_and_statistics(
    tmp_path: Path,
) -> None:
    config = CosmosTokenizerConfig(
        encoder_block_out_channels=(8, 8, 8, 8), decode_block_out_channels=(8, 8, 8, 8), num_layers=1
    )
    cosmos = CosmosTokenizer(config, normalized_frames=2)
    cosmos.latent_mean.normal_()
    discrete = PatchTokenizer(PatchTokenizerConfig(channels=2, width=8, levels=(8, 5)))
    tokenizer: CausalTokenizer
    for name, tokenizer in (("cosmos", cosmos), ("discrete", discrete)):
        save_weights(tokenizer, tmp_path / name, {})
        loaded = load_tokenizer(str(tmp_path / name))
        assert type(loaded) is type(tokenizer)
        assert isinstance(loaded, CausalTokenizer)
        assert loaded.config_dict() == tokenizer.config_dict()
        assert torch.equal(loaded.latent_mean, tokenizer.latent_mean)
        stored = tokenizer.eval().half().float()  # weights are float16 in files
        video = torch.rand(1, 3, 9, 16, 16)
        with torch.inference_mode():
            stored.latent_mean.copy_(loaded.latent_mean)
            assert torch.equal(loaded.encode(video), stored.encode(video))
    assert tokenizer_stride(str(tmp_path / "cosmos")) == (8, 8, 8)
