"""Weights load whole or not at all, and the digest names them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.errors import BadCheckpoint
from training.tokenizers import load_tokenizer, tokenizer_digest
from training.tokenizers.causal import Architecture, CausalTokenizer
from training.tokenizers.weights import KEY, NAME, save


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    made = CausalTokenizer(Architecture(width=16, encoder_blocks=1, decoder_blocks=1))
    save(made, tmp_path / NAME, {"data": ["a film"]})
    return tmp_path / NAME


def _changed(file: Path, rename: dict[str, str], **told: object) -> Path:
    """A copy with some tensors renamed and some metadata changed."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = json.loads(opened.metadata()[KEY])
    tensors = {rename.get(name, name): tensor for name, tensor in load_file(file).items()}
    other = file.with_name("other.safetensors")
    save_file(tensors, other, metadata={KEY: json.dumps(metadata | told)})
    return other


def test_a_file_and_its_folder_are_the_same_tokenizer(file: Path) -> None:
    by_file, by_folder = load_tokenizer(str(file)), load_tokenizer(str(file.parent))
    assert by_file.digest == by_folder.digest == tokenizer_digest(str(file.parent))
    video = torch.rand(1, 3, 5, 16, 16)
    assert torch.equal(by_file.encode(video), by_folder.encode(video))


def test_the_digest_stays_and_follows_the_weights(file: Path) -> None:
    other = _changed(file, {}, trained={"data": ["another film"]})
    assert tokenizer_digest(str(file)) == tokenizer_digest(str(file))
    assert tokenizer_digest(str(other)) != tokenizer_digest(str(file))
    assert load_tokenizer("small").digest == tokenizer_digest("small")


def test_missing_and_unknown_keys_are_both_told(file: Path) -> None:
    other = _changed(file, {"encoder.into.bias": "encoder.onto.bias"})
    with pytest.raises(BadCheckpoint, match=r"missing: encoder.into.bias; unknown: encoder.onto.bias"):
        load_tokenizer(str(other))


def test_another_shape_is_told(file: Path) -> None:
    shape = {"stride": [4, 8, 8], "channels": 16, "width": 24, "encoder_blocks": 1, "decoder_blocks": 1}
    with pytest.raises(BadCheckpoint, match=r"of another shape: .*and \d+ more"):
        load_tokenizer(str(_changed(file, {}, architecture=shape)))


def test_what_is_no_tokenizer_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"\x80\x04\x95 pickled")
    with pytest.raises(BadCheckpoint, match="not a tokenizer's safetensors file"):
        load_tokenizer(str(tmp_path / "noise.safetensors"))
    with pytest.raises(BadCheckpoint, match="there is no tokenizer 'smal'"):
        load_tokenizer("smal")
    with pytest.raises(BadCheckpoint, match="format is 2"):
        load_tokenizer(str(_changed(file, {}, format=2)))
    with pytest.raises(BadCheckpoint, match=r"architecture is not understood.*depth"):
        load_tokenizer(str(_changed(file, {}, architecture={"stride": [4, 8, 8], "depth": 3})))


def test_asking_for_a_digest_imports_no_torch() -> None:
    code = "import sys, training.tokenizers as t; t.tokenizer_digest('small'); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
