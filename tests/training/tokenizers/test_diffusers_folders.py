"""Folders of diffusers' AutoencoderKLCosmos and AutoencoderKLWan are tokenizers, with the same values."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.errors import CheckpointError
from training.tokenizers import load_tokenizer, tokenizer_digest, tokenizer_stride
from training.tokenizers.cosmos.config import CosmosTokenizerConfig
from training.tokenizers.cosmos.diffusers_config import save_cosmos
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
from training.tokenizers.weights import save_weights

diffusers = pytest.importorskip("diffusers")
CHANNELS = {"encoder_block_out_channels": (8, 8, 16, 16), "decode_block_out_channels": (8, 16, 16, 16)}
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    statistics = {"latents_mean": torch.randn(64).tolist(), "latents_std": (torch.rand(64) + 0.5).tolist()}
    folder = tmp_path_factory.mktemp("cosmos") / "vae"
    diffusers.AutoencoderKLCosmos(**CHANNELS, num_layers=1, **statistics).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["2.1", "2.2"])
def wan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config: dict[str, Any] = {"base_dim": 8, "z_dim": 16, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1}
    if request.param == "2.2":
        config |= {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
        config |= {"scale_factor_spatial": 16}
    folder = tmp_path_factory.mktemp("wan")
    diffusers.AutoencoderKLWan(**config).save_pretrained(folder)
    return folder


def changed(folder: Path, to: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], None]) -> str:
    """A copy of a folder with another config and other weights."""
    config, weights = json.loads((folder / "config.json").read_text()), load_file(folder / WEIGHTS)
    change(config, weights)
    to.mkdir()
    (to / "config.json").write_text(json.dumps(config))
    save_file(weights, to / WEIGHTS)
    return str(to)


def stream(tokenizer: Any, video: Tensor) -> tuple[Tensor, Tensor]:
    time = tokenizer.stride.time
    latents = list(
        tokenizer.encode_stream([video[:, :, :1], video[:, :, 1 : 1 + time], video[:, :, 1 + time :]])
    )
    return torch.cat(latents, 2), torch.cat(list(tokenizer.decode_stream(latents)), 2)


@torch.inference_mode()
def test_cosmos_has_the_values_of_diffusers_and_its_pipeline(cosmos: Path) -> None:
    theirs = diffusers.AutoencoderKLCosmos.from_pretrained(cosmos)
    video = torch.rand(2, 3, 25, 16, 24) * 2 - 1
    mean, std = (torch.tensor(theirs.config[f"latents_{name}"]) for name in ("mean", "std"))
    z = theirs.encode(video).latent_dist.mode()
    expected = (z - mean.view(1, 16, -1, 1, 1)) / std.view(1, 16, -1, 1, 1)  # sigma_data is 1
    decoded = theirs.decode(z).sample
    for place in (cosmos, cosmos.parent):  # the folder of the pipeline contains vae
        ours = load_tokenizer(str(place))
        assert tokenizer_stride(str(place)) == tuple(ours.stride) == (8, 8, 8)
        assert ours.digest == tokenizer_digest(str(place))
        assert torch.allclose(ours.encode(video), expected, atol=1e-5)
        assert torch.allclose(ours.decode(expected), decoded, atol=1e-5 * float(decoded.abs().max()))
    assert isinstance(ours, CosmosTokenizer)
    assert ours.config.temporal_attention_window == 16
    assert all(not parameter.requires_grad for parameter in ours.parameters())


@torch.inference_mode()
@pytest.mark.parametrize("has_statistics", [True, False])
def test_an_exported_tokenizer_has_the_same_values_in_diffusers(tmp_path: Path, has_statistics: bool) -> None:
    torch.manual_seed(0)
    config = CosmosTokenizerConfig(**CHANNELS, num_layers=1, temporal_attention_window=3)
    ours = CosmosTokenizer(config, normalized_frames=2 if has_statistics else 1).eval()
    if has_statistics:
        ours.latent_mean.normal_()
        ours.latent_std.uniform_(0.5, 2)
    save_cosmos(ours, tmp_path)
    theirs, report = diffusers.AutoencoderKLCosmos.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    video = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    mean, std = (torch.tensor(theirs.config[f"latents_{name}"]) for name in ("mean", "std"))
    z = theirs.encode(video).latent_dist.mode()
    expected = (z - mean.view(1, 16, -1, 1, 1)) / std.view(1, 16, -1, 1, 1)
    assert torch.allclose(ours.encode(video), expected, atol=1e-5)
    again = load_tokenizer(str(tmp_path))
    assert isinstance(again, CosmosTokenizer)
    assert again.config == config
    assert torch.equal(again.encode(video), ours.encode(video))


def test_only_continuous_tokenizers_are_exported(tmp_path: Path) -> None:
    discrete = CosmosTokenizerConfig(**CHANNELS, latent_channels=2, levels=(8, 5), num_layers=1)
    with pytest.raises(CheckpointError, match="no quantization"):
        save_cosmos(CosmosTokenizer(discrete), tmp_path / "out")


@torch.inference_mode()
def test_wan_has_the_values_of_diffusers_and_its_pipeline(wan: Path) -> None:
    theirs, ours = diffusers.AutoencoderKLWan.from_pretrained(wan).eval(), load_tokenizer(str(wan))
    space = theirs.config.scale_factor_spatial
    assert tokenizer_stride(str(wan)) == tuple(ours.stride) == (4, space, space)
    assert (ours.channels, ours.codebook_size) == (16, 0)
    assert ours.digest == tokenizer_digest(str(wan))
    video = torch.rand(2, 3, 13, 32, 48) * 2 - 1
    mean, std = (torch.tensor(theirs.config[f"latents_{n}"]).view(1, -1, 1, 1, 1) for n in ("mean", "std"))
    z = theirs.encode(video).latent_dist.mode()
    expected, decoded = (z - mean) / std, theirs.decode(z).sample
    latents = ours.encode(video)
    assert torch.allclose(latents, expected, atol=1e-5)
    assert torch.allclose(ours.decode(expected), decoded, atol=1e-5)
    assert torch.equal(ours.encode(video[:, :, :5]), latents[:, :, :2])
    streamed, decoded_stream = stream(ours, video)
    assert torch.equal(streamed, latents)
    assert torch.equal(decoded_stream, ours.decode(latents))
    assert torch.allclose(ours(video)[0], decoded, atol=1e-5)  # type: ignore[operator]


def test_wan_refuses_frames_that_diffusers_leaves_out(wan: Path) -> None:
    theirs, ours = diffusers.AutoencoderKLWan.from_pretrained(wan).eval(), load_tokenizer(str(wan))
    video = torch.rand(1, 3, 7, 32, 32)
    with torch.inference_mode():
        assert theirs.encode(video).latent_dist.mode().shape[2] == 2
    with pytest.raises(ValueError, match=r"7 frames are not 1 \+ k \* 4; keep the first 5"):
        ours.encode(video)


def test_missing_and_unknown_weights_and_variants_are_named(cosmos: Path, wan: Path, tmp_path: Path) -> None:
    def rename(config: dict[str, Any], weights: dict[str, Tensor]) -> None:
        weights["quant_conv.scale"] = weights.pop("quant_conv.bias")

    for number, folder in enumerate((cosmos, wan)):
        with pytest.raises(CheckpointError, match=r"missing: quant_conv.bias; unknown: quant_conv.scale"):
            load_tokenizer(changed(folder, tmp_path / str(number), rename))
    wrong = [
        ({"patch_type": "rearrange"}, "does not have this variant: patch_type=rearrange"),
        ({"norm_groups": 8}, "does not have this variant: norm_groups=8"),
        ({"patch_size": 3}, "config is invalid: .*powers of two"),
        ({"latents_mean": [1.0, 2.0]}, "latents_mean is no list of values for each of 16 channels"),
        ({"latents_mean": None}, "have different lengths"),
        ({"_clipmill": {"depth": 3}}, "config is invalid: .*depth"),
        ({"num_layers": 2}, r"missing: decoder\.up_blocks\.0\.resnets\.2"),
    ]
    for number, (values, message) in enumerate(wrong):
        with pytest.raises(CheckpointError, match=message):
            load_tokenizer(
                changed(cosmos, tmp_path / f"c{number}", lambda c, _, values=values: c.update(values))
            )
    with pytest.raises(CheckpointError, match="latents_std has 1 values, and not 16"):
        load_tokenizer(changed(wan, tmp_path / "w", lambda c, _: c.update({"latents_std": [1.0]})))
    with pytest.raises(CheckpointError, match="AutoencoderKLWan of this diffusers has no norm_groups"):
        load_tokenizer(changed(wan, tmp_path / "n", lambda c, _: c.update({"norm_groups": 8})))
    (tmp_path / "other").mkdir()
    for text, message in (
        ('{"_class_name": "AutoencoderKL"}', "config of AutoencoderKL, and not"),
        ("[", "no JSON"),
    ):
        (tmp_path / "other" / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            load_tokenizer(str(tmp_path / "other"))


def test_the_digest_depends_on_weights_and_config_only(cosmos: Path, tmp_path: Path) -> None:
    def same(config: dict[str, Any], weights: dict[str, Tensor]) -> None:
        config["_diffusers_version"] = "0.1"

    def other(config: dict[str, Any], weights: dict[str, Tensor]) -> None:
        config["latents_std"] = [value + 1 for value in config["latents_std"]]

    digests = [tokenizer_digest(changed(cosmos, tmp_path / f.__name__, f)) for f in (same, other)]
    copy = tokenizer_digest(changed(cosmos, tmp_path / "copy", lambda *_: None))
    assert (digests[0] == copy, digests[1] == copy) == (True, False)
    code = "import sys, training.tokenizers as t; name = sys.argv[1]; t.tokenizer_digest(name)"
    code += "; t.tokenizer_stride(name); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(cosmos)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_names_on_the_hub_are_downloaded_and_own_files_are_not(
    cosmos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def download(name: str, patterns: object) -> Path:
        names.append((name, patterns))
        return cosmos.parent

    monkeypatch.setattr("training.adapters.pretrained.download", download)
    assert load_tokenizer("somebody/video-tokenizer@v1").digest == tokenizer_digest(str(cosmos))
    assert names == [("somebody/video-tokenizer@v1", ("config.json", "diffusion_pytorch_model*", "vae/*"))]
    for name in ("smal", "runs/tokenizer.safetensors", "/none/tokenizer", "./none/x"):
        with pytest.raises(CheckpointError, match="there is no tokenizer"):
            load_tokenizer(name)
    assert len(names) == 1
    own = tmp_path / "own"
    save_weights(PatchTokenizer(PatchTokenizerConfig(width=8)), own / "tokenizer.safetensors", {})
    (own / "config.json").write_text("{}")
    assert isinstance(load_tokenizer(str(own)), PatchTokenizer)


def test_without_diffusers_wan_is_refused_with_the_remedy(wan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(CheckpointError, match="pip install diffusers"):
        load_tokenizer(str(wan))


def test_a_folder_is_evaluated_like_a_bundled_tokenizer(
    cosmos: Path, wan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.evaluation.tokenizer_report import evaluate_tokenizers

    np.save(tmp_path / "frames.npy", np.random.default_rng(0).integers(0, 255, (17, 32, 32, 3), np.uint8))
    report = evaluate_tokenizers(tmp_path / "frames.npy", [str(cosmos), str(wan)], [360])
    values = report.to_json()["results"]
    assert [value["frames_measured"] for value in values] == [17, 17]
    assert values[0]["digest"] == tokenizer_digest(str(cosmos))
