"""FVD of evaluate world: the number, with an extractor from a file, and files that are no extractor."""

import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.cli import main
from training.evaluation.world.films import read_film
from training.recipes.sampling import write_video


class ColorAndChange(nn.Module):
    """The mean of each color, and the mean change of red from frame to frame: 4 features."""

    def forward(self, x: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        change = (x[:, :1, 1:] - x[:, :1, :-1]).abs().mean((2, 3, 4))
        return torch.cat([x.mean((2, 3, 4)), change], 1)


class OneArgument(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def save(module: nn.Module, file: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(file))
    return file


def features(file: Path) -> np.ndarray:
    """The same features by NumPy and OpenCV."""
    film = np.stack([cv2.resize(frame, (224, 224)) for frame in read_film(file)[0].astype(np.float32)])
    scaled = film / 127.5 - 1
    return np.array([*scaled.mean((0, 1, 2)), np.abs(np.diff(scaled[..., 0], axis=0)).mean()])


def root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Dowson and Landau 1982, with the symmetric form of the root."""
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    cross = root(root(cov_x) @ cov_y @ root(cov_x))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * cross))


def evaluate(films: Path, weights: Path, out: Path) -> int:
    folders = ["--videos", str(films / "made"), "--reference", str(films / "truth"), "--metrics", "psnr"]
    options = ["--fvd-weights", str(weights), "--json", str(out), "--num-threads", "1"]
    return main(["evaluate", "world", *folders, *options])


def test_it_is_the_distance_of_the_features(
    camera_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = save(ColorAndChange(), tmp_path / "color.pt"), tmp_path / "out.json"
    assert evaluate(camera_films, weights, out) == 0
    truth, made = (
        np.stack([features(file) for file in sorted((camera_films / folder).glob("*.mp4"))])
        for folder in ("truth", "made")
    )
    found = json.loads(out.read_text())["fvd"]
    assert found["extractor"].startswith("color.pt, ")
    assert set(found["rows"]) == {"model", "first frame repeated", "constant velocity"}
    model = found["rows"]["model"]
    assert (model["films"], model["reference_films"]) == (3, 3)
    assert model["fvd"] == pytest.approx(frechet(made, truth), rel=0.01)
    still = truth * (1, 1, 1, 0)
    frozen = found["rows"]["first frame repeated"]["fvd"]
    assert frozen == pytest.approx(frechet(still, truth), rel=0.1)
    assert frozen > model["fvd"]
    assert "FVD: color.pt, " in capsys.readouterr().out


def test_short_films_are_counted_and_not_measured(
    push_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("truth", "made"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            film = read_film(push_films / folder / ("push_1.mp4" if folder == "truth" else "push_1__0.mp4"))[
                0
            ]
            write_video(film[: 10 - number], 8.0, tmp_path / folder / f"{number}.mp4")
    weights = save(ColorAndChange(), tmp_path / "color.pt")
    assert evaluate(tmp_path, weights, tmp_path / "out.json") == 0
    found = json.loads((tmp_path / "out.json").read_text())["fvd"]
    assert found["rows"]["model"] == {"fvd": None, "films": 1, "reference_films": 1}
    assert "4 films have fewer than 10 frames, and are not counted" in capsys.readouterr().out


def test_files_that_are_no_extractor(
    camera_films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "state.pt")
    save(OneArgument(), tmp_path / "one.pt")
    for name, message in (
        ("nowhere.pt", "the extractor of FVD cannot be read"),
        ("state.pt", "the extractor of FVD cannot be read"),
        ("one.pt", "cannot be used on 13 frames of 224 px: it fails"),
    ):
        assert evaluate(camera_films, tmp_path / name, tmp_path / "out.json") == 1
        error = capsys.readouterr().err
        assert message in error, error
        assert "i3d_torchscript.pt" in error
        assert not (tmp_path / "out.json").exists()
