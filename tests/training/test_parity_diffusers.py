"""The video transformer equals diffusers' Cosmos class for three families, in both directions."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from training.adapters.diffusers_folder import save_diffusers
from training.adapters.pretrained import load_pretrained, load_weights
from training.adapters.released import save_released
from training.diffusion.conditioning import Conditioning
from training.networks.video_dit import VideoDiT, VideoDiTConfig

TOLERANCE = 5e-5  # of outputs that are about 1

SMALL = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    num_layers=2,
    channels=4,
    text_embed_dim=20,
    adaln_lora_dim=16,
    timestep_scale=1.0,
    concat_padding_mask=True,
    max_size=(8, 16, 16),
)
PREDICT1 = replace(SMALL, extra_pos_embed_type="learnable", base_fps=24.0, rope_scale=(2.0, 1.0, 1.0))
PREDICT2 = replace(SMALL, rope_scale=(1.0, 3.0, 3.0))
FAMILIES = {
    "1.0 text2world": PREDICT1,
    "1.0 video2world": replace(PREDICT1, concat_condition_mask=True),
    "2.0 text2image": replace(SMALL, rope_scale=(1.0, 4.0, 4.0)),
    "2.0 video2world": replace(PREDICT2, concat_condition_mask=True),
    "2.5": replace(PREDICT2, concat_condition_mask=True, crossattn_proj_in_channels=30, fp32_residual=True),
}


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _network(config: VideoDiTConfig, seed: int = 0) -> VideoDiT:
    network = VideoDiT(config)
    rng = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        std = 0.3 if weight.dim() == 1 else weight.shape[1] ** -0.5
        torch.nn.init.normal_(weight, std=std, generator=rng)
    return network.requires_grad_(False)


def _inputs(config: VideoDiTConfig) -> tuple[Tensor, Tensor, Conditioning]:
    rng = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, 5, 8, 6, generator=rng)
    condition_mask = torch.zeros(2, 1, 5, 8, 6)
    condition_mask[0, :, :1], condition_mask[1, :, :2] = 1, 1
    padding_mask = torch.zeros(1, 1, 8, 6)
    padding_mask[..., 6:, :] = 1
    timestep = torch.tensor([0.2, 0.9])
    if config.crossattn_proj_in_channels:  # Predict2.5: given frames have a timestep of their own
        timestep = torch.where(condition_mask[:, 0, :, 0, 0].bool(), 1e-4, timestep[:, None])
    conditioning = Conditioning(
        text_embeddings=torch.randn(2, 7, config.text_input_dim, generator=rng),
        fps=torch.tensor([16.0, 16.0]),
        condition_mask=condition_mask,
        padding_mask=padding_mask.expand(2, -1, -1, -1),
    )
    return noisy, timestep, conditioning


def _run_theirs(theirs: Any, config: VideoDiTConfig) -> Tensor:
    noisy, timestep, conditioning = _inputs(config)
    assert conditioning.padding_mask is not None
    out: Tensor = theirs(
        noisy,
        timestep if timestep.dim() == 1 else timestep[:, None, :, None, None],
        conditioning.text_embeddings,
        fps=16 if config.base_fps else None,
        condition_mask=conditioning.condition_mask if config.concat_condition_mask else None,
        padding_mask=conditioning.padding_mask[:1],
        return_dict=False,
    )[0]
    return out


@pytest.fixture(scope="module")
def diffusers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("diffusers")


@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_reads_our_folder_and_has_the_same_output(
    family: str, tmp_path: Path, diffusers: Any
) -> None:
    config = FAMILIES[family]
    ours = _network(config)
    save_diffusers(tmp_path, config, ours.state_dict())
    with torch.inference_mode():
        theirs = diffusers.CosmosTransformer3DModel.from_pretrained(tmp_path)
        expected = _run_theirs(theirs, config)
        out = ours(*_inputs(config))
    assert 0.3 < float(expected.std()) < 10
    assert float((out - expected).abs().max()) < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_we_read_a_folder_of_diffusers_and_have_the_same_output(
    family: str, tmp_path: Path, diffusers: Any
) -> None:
    config = FAMILIES[family]
    with torch.inference_mode():
        save_diffusers(tmp_path / "first", config, _network(config, seed=2).state_dict())
        theirs = diffusers.CosmosTransformer3DModel.from_pretrained(tmp_path / "first")
        theirs.save_pretrained(tmp_path / "second", max_shard_size="40KB")
        assert list((tmp_path / "second").glob("*.index.json"))
        expected = _run_theirs(theirs, config)
    read_config, weights, info = load_pretrained(tmp_path / "second")
    assert read_config == config
    assert info.layout == "diffusers"
    ours = _network(config)
    load_weights(ours, weights)
    with torch.inference_mode():
        assert float((ours(*_inputs(config)) - expected).abs().max()) < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_released_names_of_diffusers_tables_and_ours_agree(
    family: str, suffix: str, tmp_path: Path, diffusers: Any
) -> None:
    config = FAMILIES[family]
    ours = _network(config)
    layout = "cosmos-predict1" if config.base_fps else "cosmos-predict2"
    file = tmp_path / f"model.{suffix}"
    save_released(file, layout, config, ours.state_dict())
    read_config, weights, info = load_pretrained(file, config)
    assert (read_config, info.layout) == (config, layout)
    assert {name: value.tolist() for name, value in weights.items()} == {
        name: value.tolist() for name, value in ours.state_dict().items()
    }
    if config.base_fps is None:  # the converter of diffusers 0.42.1 always takes the names of Predict2
        from diffusers.loaders.single_file_utils import convert_cosmos_transformer_checkpoint_to_diffusers

        raw = torch.load(file, weights_only=True) if suffix == "pt" else dict(_safetensors(file))
        convert: Any = convert_cosmos_transformer_checkpoint_to_diffusers
        converted = convert(raw)
        assert set(converted) == set(weights)


def _safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(file)
