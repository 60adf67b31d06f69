"""FVD has the value of the Fréchet distance of Gaussians, with a TorchScript extractor from a file."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.cli import main
from training.errors import CheckpointError
from training.metrics.fvd import VideoFeatures, frechet_distance


class MeanColor(nn.Module):
    def forward(self, x: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        assert return_features
        assert not rescale
        assert not resize
        return x.mean((2, 3, 4))


@pytest.fixture
def extractor(tmp_path: Path) -> Path:
    file = tmp_path / "mean_color.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(MeanColor()).save(str(file))
    return file


def test_the_distance_of_two_gaussians() -> None:
    """Of N(0, diag(1, 4)) and N((3, 0), diag(4, 1)): 9 + (1 - 2)^2 + (2 - 1)^2."""
    rng = torch.Generator().manual_seed(0)
    normal = torch.randn(200_000, 2, generator=rng, dtype=torch.float64)
    x, y = normal[:100_000] * torch.tensor([1.0, 2.0]), normal[100_000:] * torch.tensor([2.0, 1.0])
    y = y + torch.tensor([3.0, 0.0])
    assert frechet_distance(x, y) == pytest.approx(11, rel=0.02)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="two videos"):
        frechet_distance(x[:1], y)


def test_features_are_those_of_the_file(extractor: Path, tmp_path: Path) -> None:
    features = VideoFeatures(extractor)
    assert features.extractor.startswith("mean_color.pt, ")
    video = torch.stack([torch.full((3, 2, 8, 8), 0.5), torch.zeros(3, 2, 8, 8)])
    torch.testing.assert_close(features(video), torch.tensor([[0.5] * 3, [0.0] * 3], dtype=torch.float64))
    (tmp_path / "broken.pt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="extractor of FVD"):
        VideoFeatures(tmp_path / "broken.pt")


def test_the_command_prints_fvd_and_names_the_extractor(
    extractor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(3):
        np.save(videos / f"{number}.npy", np.full((13, 16, 16, 3), 60 * number, np.uint8))
    np.save(videos / "short.npy", np.zeros((5, 16, 16, 3), np.uint8))
    out = tmp_path / "figures.json"
    command = ["evaluate", "tokenizer", str(videos), "--tokenizer", "small", "--num-threads", "1"]
    assert main([*command, "--fvd-weights", str(extractor), "--json", str(out)]) == 0
    assert "FVD: mean_color.pt, " in capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert 0 <= figures["continuous"]["fvd"] < 0.1
    assert figures["settings"]["fvd_extractor"].startswith("mean_color.pt")
