"""A training of adapters leaves the network frozen, resumes, and exports what diffusers loads."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.adapters.diffusers_folder import save_diffusers
from training.adapters.released import save_released
from training.cli import main
from training.diffusion.conditioning import Conditioning
from training.errors import CheckpointError, SettingError
from training.loop.checkpoint_files import CheckpointReader
from training.model import load_model
from training.networks.video_dit import MODEL_CONFIGS, VideoDiT, VideoDiTConfig
from training.recipes.config import TrainingConfig
from training.recipes.export import LORA_FILE, export
from training.recipes.world import TrainingResult, train

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]
NETWORK = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    num_layers=1,
    channels=4,
    text_embed_dim=8,
    adaln_lora_dim=4,
    timestep_scale=1.0,
    concat_padding_mask=True,
)
TARGETS = ("to_q", "attn1.to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a random network in the layout of diffusers."""
    rng = torch.Generator().manual_seed(5)
    weights = {
        name: (torch.randn(p.shape, generator=rng) * (0.3 if p.dim() == 1 else p.shape[1] ** -0.5)).bfloat16()
        for name, p in VideoDiT(NETWORK).named_parameters()
    }
    folder = tmp_path_factory.mktemp("pretrained")
    save_diffusers(folder, NETWORK, weights)
    return folder


@pytest.fixture
def settings(pretrained: Path, make_shard: MakeShard) -> dict[str, Any]:
    return {
        "data": [make_shard("a/000000", ["clip0", "clip1"], shape=(4, 2, 4, 4))],
        "init_from": str(pretrained),
        "text_encoder": "none",
        "batch_size": 2,
        "warmup_steps": 0,
        "lr": 0.05,
        "checkpoint_interval": 1,
        "num_threads": 1,
        "quiet": True,
        "lora_rank": 3,
        "lora_alpha": 6.0,
        "lora_target_modules": TARGETS,
    }


def test_adapters_of_a_released_file_train_resume_and_export(
    settings: dict[str, Any], pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODEL_CONFIGS, "published", NETWORK)
    theirs = load_file(next(pretrained.glob("*.safetensors")))
    file, aside = tmp_path / "released.pt", tmp_path / "aside.pt"
    save_released(file, "cosmos-predict2", NETWORK, theirs)
    settings = {**settings, "init_from": str(file)}
    whole = train({**settings, "steps": 3}, tmp_path / "whole")
    assert whole.parameters == 3 * (5 * (48 + 48) + 2 * (48 + 192))
    work = tmp_path / "work"
    train({**settings, "steps": 2}, work)
    resumed = train({**settings, "steps": 3}, work)
    assert resumed.model.read_bytes() == whole.model.read_bytes()
    model, info = load_model(work)
    assert info.training["init_from"] == str(file)
    changed = {n for n, w in model.network.state_dict().items() if not torch.equal(w, theirs[n].float())}
    targets = {n for n in theirs if n.removesuffix(".weight").endswith(TARGETS)}
    assert changed == {n for n in targets if ".attn2." not in n}  # without text it has no gradient
    _check_that_only_adapters_are_stored(work / "checkpoints" / "step-00000003", whole.parameters)

    export(work, tmp_path / "exported")
    assert (tmp_path / "exported" / "model.safetensors").read_bytes() == whole.model.read_bytes()
    shutil.move(file, aside)
    with pytest.raises(CheckpointError, match=r"need the weights of init_from[\s\S]*put the weights back"):
        train({**settings, "steps": 4}, work)
    with pytest.raises(CheckpointError, match="need the weights of init_from"):
        export(work, tmp_path / "again")
    _check_export(model.network, pretrained, work, tmp_path / "out")
    save_released(file, "cosmos-predict2", NETWORK, {name: 2 * weight for name, weight in theirs.items()})
    with pytest.raises(CheckpointError, match="made with init_digest"):
        train({**settings, "steps": 4}, work)
    with pytest.raises(CheckpointError, match="but the adapters were trained with"):
        export(work, tmp_path / "again", "diffusers")
    settings["init_from"] = str(aside)
    with pytest.raises(CheckpointError, match=r"lora\.lora_rank 3 \(not 2\)"):
        train({**settings, "steps": 4, "lora_rank": 2}, work)
    assert train({**settings, "steps": 4}, work).steps == 4


def _check_that_only_adapters_are_stored(checkpoint: Path, parameters: int) -> None:
    stored = CheckpointReader(checkpoint).read_metadata().state_dict_metadata
    counts = {name: entry.size.numel() for name, entry in stored.items() if hasattr(entry, "size")}
    assert all(".lora_" in name for name in counts)
    total = sum(count for name, count in counts.items() if not name.endswith(".step"))
    assert total == 4 * parameters  # model, EMA and two moments


def _check_export(network: torch.nn.Module, pretrained: Path, work: Path, out: Path) -> None:
    """diffusers' class with the exported adapters has the output of the merged model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        pytest.importorskip("peft")
        assert main(["export", "--from", str(work), "--out", str(out), "--format", "lora"]) == 0
        theirs = diffusers.CosmosTransformer3DModel.from_pretrained(pretrained, torch_dtype=torch.float32)
        theirs.load_lora_adapter(str(out), weight_name=LORA_FILE, prefix="transformer")
    rng = torch.Generator().manual_seed(1)
    x, text = torch.randn(1, 4, 2, 4, 4, generator=rng), torch.randn(1, 3, 8, generator=rng)
    t = torch.tensor([0.4])
    with torch.inference_mode():
        expected = theirs(x, t, text, padding_mask=torch.zeros(1, 1, 4, 4), return_dict=False)[0]
        found = network(x, t, Conditioning(text_embeddings=text))
        theirs.disable_adapters()
        before = theirs(x, t, text, padding_mask=torch.zeros(1, 1, 4, 4), return_dict=False)[0]
    assert float((found - expected).abs().max()) < 5e-5
    assert float((found - before).abs().max()) > 1e-3


def test_two_ranks_train_and_resume_equal_adapters(
    settings: dict[str, Any], tmp_path: Path, on_ranks: OnRanks
) -> None:
    one: TrainingResult = train({**settings, "steps": 2}, tmp_path / "one")
    two = {**settings, "work": str(tmp_path / "two")}
    runs = [json.dumps({**two, "steps": steps}) for steps in (1, 2)]  # the second one resumes
    on_ranks(2, Path(__file__).with_name("world_ranks.py"), *runs)
    weights, other = load_file(one.model), load_file(tmp_path / "two" / "model.safetensors")
    for name, weight in weights.items():
        torch.testing.assert_close(weight, other[name], rtol=1e-4, atol=1e-5)


def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="set init_from"):
        TrainingConfig(data=(), lora_rank=4)
    with pytest.raises(SettingError, match=r"no linear layer 'to_qq'[\s\S]*attn1\.to_q"):
        train({**settings, "lora_target_modules": ("to_qq",), "steps": 1}, tmp_path / "work")
    train({**settings, "lora_rank": 0, "lora_alpha": 0.0, "steps": 1}, tmp_path / "full")
    with pytest.raises(CheckpointError, match="no adapters"):
        export(tmp_path / "full", tmp_path / "out", "lora")
