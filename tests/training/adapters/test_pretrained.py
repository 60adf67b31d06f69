"""Pretrained weights: files that are complete are read tensor by tensor, others are refused by name."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.adapters.diffusers_folder import from_diffusers_config, save_diffusers, to_diffusers_config
from training.adapters.layouts import LAYOUTS, parameter_shapes
from training.adapters.pretrained import load_pretrained, load_weights
from training.adapters.released import infer_config, save_released
from training.adapters.weight_files import Weights
from training.errors import CheckpointError
from training.networks import config as configs
from training.networks.video_dit import MODEL_CONFIGS, VideoDiT, VideoDiTConfig

SMALL = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=18,
    num_layers=2,
    channels=4,
    text_embed_dim=12,
    adaln_lora_dim=8,
    timestep_scale=1.0,
    rope_scale=(1.0, 3.0, 3.0),
    concat_padding_mask=True,
    concat_condition_mask=True,
)
RELEASED = {
    "cosmos-predict1": replace(SMALL, extra_pos_embed_type="learnable", max_size=(4, 8, 6), base_fps=24.0),
    "cosmos-predict2": replace(SMALL, crossattn_proj_in_channels=20, fp32_residual=True),
}


def _weights(config: VideoDiTConfig) -> dict[str, Tensor]:
    network = VideoDiT(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network.state_dict()


def _equal(first: Any, second: Any) -> bool:
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("layout", RELEASED)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_released_file_is_read_with_its_config_from_the_shapes(
    layout: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = RELEASED[layout], tmp_path / f"model.{suffix}"
    weights, uncertainty = _weights(config), {"logvar.0.freqs": torch.randn(4)}
    save_released(file, layout, config, weights, uncertainty)
    with pytest.raises(CheckpointError, match="scale of the rotary positions is unknown"):
        load_pretrained(file)
    monkeypatch.setitem(configs.MODEL_CONFIGS, "published", config)
    read_config, read, info = load_pretrained(file)
    assert read_config == config
    assert (info.path, info.layout) == (file, layout)
    assert _equal(read, weights)
    assert _equal(info.uncertainty, uncertainty)
    name = "transformer_blocks.1.attn2.to_k.weight"
    assert torch.equal(read.rows(name, 3, 7), weights[name][3:7])


@pytest.mark.parametrize(
    "name", ["cosmos-predict1-7b", "cosmos-predict2-14b-video2world", "cosmos-predict2.5-2b"]
)
def test_published_models_are_recognized(name: str) -> None:
    config = MODEL_CONFIGS[name]
    layout = LAYOUTS["cosmos-predict1" if config.base_fps else "cosmos-predict2"]
    shapes = {layout.rename(key): shape for key, shape in parameter_shapes(config).items()}
    weights = Weights({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert infer_config(weights, layout, {key: key for key in shapes}, "here") == config


def test_nested_files_with_counters_and_extra_state_are_read(tmp_path: Path) -> None:
    config, file = RELEASED["cosmos-predict2"], tmp_path / "model.pt"
    save_released(file, "cosmos-predict2", config, _weights(config))
    content = torch.load(file, weights_only=True)
    extra = {
        "net.accum_iteration": torch.zeros(()),
        "net.pos_embedder.dim_spatial_range": torch.zeros(3),
        "net.blocks.0.self_attn.q_norm._extra_state": io.BytesIO(b"x"),
    }
    torch.save({"model": content | extra, "iteration": 7}, file)
    _, read, _ = load_pretrained(file, config)
    assert len(read) == len(content)


Damage = Callable[[dict[str, Tensor]], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "missing": (lambda w: w.pop("net.blocks.1.mlp.layer2.weight"), "missing: blocks.1.mlp.layer2.weight"),
    "unknown": (lambda w: w.update({"net.lora.weight": torch.ones(2)}), "unknown: lora.weight"),
    "ema": (lambda w: w.update({"net_ema.x.weight": torch.ones(2)}), "unknown: net_ema.x.weight"),
    "twice": (lambda w: w.update({"x_embedder.proj.1.weight": torch.ones(2)}), "contain both x_embedder"),
    "shape": (
        lambda w: w.update({"net.blocks.1.cross_attn.q_norm.weight": torch.ones(2)}),
        r"transformer_blocks.1.attn2.norm_q.weight has the shape \(2,\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_do_not_fit_are_refused_by_name(damage: str, tmp_path: Path) -> None:
    change, message = DAMAGES[damage]
    config, file = RELEASED["cosmos-predict2"], tmp_path / "model.safetensors"
    save_released(file, "cosmos-predict2", config, _weights(config))
    content = load_file(file)
    change(content)
    save_file(content, file)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(file, config)


def test_a_folder_of_several_files_is_read_and_an_incomplete_one_refused(tmp_path: Path) -> None:
    folder, weights = tmp_path / "model" / "transformer", _weights(SMALL)
    save_diffusers(folder, SMALL, weights, max_shard_bytes=20_000)
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 2
    assert files[0].name == f"diffusion_pytorch_model-00001-of-{len(files):05d}.safetensors"
    config, read, info = load_pretrained(folder.parent)
    assert (config, info.layout, info.path) == (SMALL, "diffusers", folder)
    assert _equal(read, weights)
    network = VideoDiT(config)
    load_weights(network, read)
    assert _equal(network.state_dict(), weights)
    files[1].unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        load_pretrained(folder)
    save_diffusers(folder, SMALL, weights, dtype=torch.bfloat16)
    assert [file.name for file in folder.glob("*model*")] == ["diffusion_pytorch_model.safetensors"]
    assert load_pretrained(folder)[1]["proj_out.weight"].dtype == torch.bfloat16


def test_an_index_that_disagrees_with_its_files_is_refused(tmp_path: Path) -> None:
    save_diffusers(tmp_path, SMALL, _weights(SMALL), max_shard_bytes=20_000)
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    content = json.loads(index.read_text())
    file = content["weight_map"].pop("proj_out.weight")
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"{file} does not contain exactly .* proj_out.weight"):
        load_pretrained(tmp_path)
    content["weight_map"]["proj_out.weight"] = "../other.safetensors"
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="outside its folder"):
        load_pretrained(tmp_path)


def test_wrong_weights_are_not_exported(tmp_path: Path) -> None:
    weights = _weights(SMALL)
    with pytest.raises(CheckpointError, match=r"proj_out.weight has the shape \(1,\)"):
        save_diffusers(tmp_path, SMALL, weights | {"proj_out.weight": torch.ones(1)})
    del weights["proj_out.weight"]
    with pytest.raises(CheckpointError, match=r"missing: proj_out\.weight"):
        save_diffusers(tmp_path, SMALL, weights)
    with pytest.raises(CheckpointError, match=r"there is no layout 'wan'.*\n?.*cosmos-predict1"):
        save_released(tmp_path / "x.pt", "wan", SMALL, weights)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "WanTransformer3DModel"}, "config of WanTransformer3DModel"),
        ({"patch_size": [1, 4, 4]}, "does not have this variant.*patch_size"),
        ({"controlnet_block_every_n": 7}, "does not have this variant.*controlnet"),
        ({"in_channels": 9}, "does not have this variant.*in_channels"),
        ({"attention_head_dim": 6}, "config is invalid: attention_head_dim is 6"),
    ],
)
def test_variants_that_the_network_does_not_have_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        from_diffusers_config(to_diffusers_config(SMALL) | change, "here")


@pytest.mark.parametrize("name", MODEL_CONFIGS)
def test_the_config_of_diffusers_keeps_every_setting(name: str) -> None:
    assert from_diffusers_config(to_diffusers_config(MODEL_CONFIGS[name]), "here") == MODEL_CONFIGS[name]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x80\x02}q\x00."])
def test_damaged_and_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    for suffix in ("pt", "safetensors"):
        file = tmp_path / f"model.{suffix}"
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_pretrained(file)
    (tmp_path / "model.txt").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a file of weights"):
        load_pretrained(tmp_path / "model.txt")


def test_a_file_that_would_execute_code_is_not_loaded(tmp_path: Path) -> None:
    class Command:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    torch.save({"net.x": Command()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_pretrained(tmp_path / "model.pt")
    assert not (tmp_path / "executed").exists()


def test_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_diffusers(tmp_path / "transformer", SMALL, _weights(SMALL))
    calls: list[tuple[Any, ...]] = []

    def snapshot_download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        calls.append((repo, revision))
        return str(tmp_path)

    def hf_hub_download(repo: str, filename: str, revision: str | None) -> str:
        calls.append((repo, filename, revision))
        raise OSError("no connection\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    assert load_pretrained("nvidia/Some-Model@diffusers/base")[0] == SMALL
    with pytest.raises(CheckpointError, match=r"download failed: no connection\n  where"):
        load_pretrained("nvidia/Some-Model/base/model.pt")
    assert calls == [
        ("nvidia/Some-Model", "diffusers/base"),
        ("nvidia/Some-Model", "base/model.pt", None),
    ]
    for name in ("missing", "./missing/folder", "/missing/folder"):
        with pytest.raises(CheckpointError, match="there is no such file or folder"):
            load_pretrained(name)
