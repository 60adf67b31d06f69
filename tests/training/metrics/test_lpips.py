"""LPIPS by its formula, from a file with the names of the package lpips."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from training.errors import CheckpointError
from training.metrics.lpips import LPIPS

WIDTHS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights with the names of `lpips.LPIPS(net="vgg").state_dict()`."""
    torch.manual_seed(0)
    stored = {
        "scaling_layer.shift": torch.zeros(1, 3, 1, 1),
        "lins.0.model.1.weight": torch.zeros(1, 64, 1, 1),
    }
    number = 0
    for block, widths in enumerate(WIDTHS):
        for c, o in pairwise(widths):
            name = f"net.slice{block + 1}.{number}"
            stored[f"{name}.weight"] = torch.randn(o, c, 3, 3) * (2 / (9 * c)) ** 0.5
            stored[f"{name}.bias"] = torch.randn(o) * 0.1
            number += 2
        number += 1
        stored[f"lin{block}.model.1.weight"] = torch.rand(1, widths[-1], 1, 1)
    return stored


def expected_distance(x: Tensor, y: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The formula for images [n 3 h w], layer by layer."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, y = (((v + 1) / 2 - mean[:, None, None]) / std[:, None, None] for v in (x, y))
    total: Tensor = torch.zeros(len(x))
    for block in range(5):
        if block:
            x, y = (torch.nn.functional.max_pool2d(v, 2) for v in (x, y))
        names = [name for name in weights if name.startswith(f"net.slice{block + 1}.") and "weight" in name]
        for name in names:
            bias = weights[name.replace("weight", "bias")]
            x, y = (torch.nn.functional.conv2d(v, weights[name], bias, padding=1).relu() for v in (x, y))
        difference = torch.nn.functional.normalize(x, dim=1) - torch.nn.functional.normalize(y, dim=1)
        total = total + (difference**2 * weights[f"lin{block}.model.1.weight"]).sum(1).mean((1, 2))
    return total


def test_lpips_is_the_formula_for_each_frame(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "lpips.safetensors")
    lpips = LPIPS(tmp_path / "lpips.safetensors")
    video, reference = torch.rand(2, 1, 3, 3, 32, 48) * 2 - 1
    expected = expected_distance(video[0].transpose(0, 1), reference[0].transpose(0, 1), weights)
    # The package rounds mean and standard deviation of the colors to three digits.
    assert torch.allclose(lpips(video, reference), expected, rtol=1e-2)
    assert float(lpips(video, video).abs().max()) == 0
    assert lpips.extractor.startswith("VGG-16, weights ")


def test_other_weights_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    renamed = {name.replace("net.slice1.0.bias", "net.slice1.1.bias"): w for name, w in weights.items()}
    save_file(renamed, tmp_path / "lpips.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: features.0.bias; unknown: features.1.bias"):
        LPIPS(tmp_path / "lpips.safetensors")


def test_an_evaluation_names_the_extractor(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    import numpy as np

    from training.cli import main

    save_file(weights, tmp_path / "lpips.safetensors")
    np.save(tmp_path / "frames.npy", np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), np.uint8))
    arguments = ["--lpips-weights", str(tmp_path / "lpips.safetensors"), "--json", str(tmp_path / "out.json")]
    arguments += ["--num-threads", str(torch.get_num_threads())]
    assert main(["evaluate", "tokenizer", str(tmp_path / "frames.npy"), *arguments]) == 0
    assert "LPIPS: VGG-16, weights" in capsys.readouterr().out
    values = json.loads((tmp_path / "out.json").read_text())
    assert values["continuous"]["lpips"] > 0
    assert values["settings"]["lpips_extractor"].startswith("VGG-16")
