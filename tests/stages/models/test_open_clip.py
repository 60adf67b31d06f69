"""Towers are loaded from real files by the real library, and what is wrong with them is said."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from small_towers import SMALL, save_towers

from stages.models.open_clip import Towers, towers_digest
from stages.models.weights import NoWeights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_towers(tmp_path / "towers")


def _pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (30 + 5 * k, 50, 3), np.uint8) for k in range(count)]


def test_the_vectors_are_those_of_open_clip(folder: Path) -> None:
    network, _, prepared = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    pictures, words = _pictures(2), ["a dog", "a photo of the sea"]
    with torch.inference_mode():
        images = network.eval().encode_image(torch.stack([prepared(Image.fromarray(p)) for p in pictures]))
        texts = network.encode_text(open_clip.tokenize(words))
    towers = Towers(str(folder))
    for ours, theirs in ((towers.images(pictures), images), (towers.texts(words), texts)):
        assert ours.dtype == np.float32
        assert np.allclose(ours, torch.nn.functional.normalize(theirs, dim=-1).numpy(), atol=1e-5)
        assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert towers.scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_the_same_call_gives_the_same_bits_and_many_pictures_are_taken_in_turn(folder: Path) -> None:
    towers = Towers(str(folder))
    many = _pictures(37)
    assert np.array_equal(towers.images(many), Towers(str(folder)).images(many))
    assert np.allclose(towers.images(many)[20:23], towers.images(many[20:23]), atol=1e-5)


def test_an_architecture_takes_weights_from_a_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    (tmp_path / "Small-1.json").write_text(json.dumps(SMALL))
    open_clip.add_model_config(tmp_path / "Small-1.json")
    file = tmp_path / "weights.pth"
    network = open_clip.create_model(f"local-dir:{folder}")
    torch.save(network.state_dict(), file)
    assert Towers(f"Small-1:{file}").texts(["sea"]).shape == (1, 16)
    assert towers_digest(f"Small-1:{file}") != towers_digest(str(folder)) != ""


def test_the_digest_follows_the_bytes(folder: Path, tmp_path: Path) -> None:
    twin, other = save_towers(tmp_path / "twin"), save_towers(tmp_path / "other", seed=1)
    assert towers_digest(str(folder)) == towers_digest(str(twin)) != towers_digest(str(other))
    assert towers_digest("hf-hub:somebody/something") == ""


@pytest.mark.parametrize(
    ("model", "what", "remedy"),
    [
        ("nowhere/at/all", "no open_clip model", "name a folder"),
        ("ViT-B-23:x", "no open_clip model", "ViT-B-32:FILE"),
        ("ViT-B-32", "no open_clip model", "ViT-B-32:FILE"),
        ("ViT-B-32:none.safetensors", "neither a file nor a tag", "laion2b"),
    ],
)
def test_a_model_that_is_not_there_is_told_before_the_run(model: str, what: str, remedy: str) -> None:
    with pytest.raises(NoWeights, match=what) as error:
        towers_digest(model)
    assert remedy in error.value.remedy
    with pytest.raises(NoWeights, match=what):
        Towers(model)


def test_a_folder_that_lacks_a_file_is_told(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(NoWeights, match="holds no weights"):
        Towers(str(folder))
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(NoWeights, match=r"holds no open_clip_config\.json"):
        Towers(str(folder))


def test_weights_that_do_not_fit_are_told(folder: Path) -> None:
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace('"embed_dim": 16', '"embed_dim": 24'))
    with pytest.raises(NoWeights, match="do not load") as error:
        Towers(str(folder))
    assert "open_clip_model.safetensors" in error.value.where
    (folder / "open_clip_model.safetensors").write_bytes(b"junk")
    with pytest.raises(NoWeights, match="do not load"):
        Towers(str(folder))


def test_what_cannot_be_fetched_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **more: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("open_clip.factory.download_pretrained_from_hf", unreachable)
    with pytest.raises(NoWeights, match="could not be fetched") as error:
        Towers("hf-hub:somebody/something")
    assert "name its folder" in error.value.remedy
