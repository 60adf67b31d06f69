"""open_clip models load from real files with the real library; errors name what is wrong."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from small_towers import SMALL, save_towers

from stages.models.open_clip import OpenClipModel, open_clip_digest
from stages.models.weights import WeightsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_towers(tmp_path / "model")


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (30 + 5 * k, 50, 3), np.uint8) for k in range(count)]


def test_vectors_equal_those_of_open_clip(folder: Path) -> None:
    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    images, sentences = _images(2), ["a dog", "a photo of the sea"]
    with torch.inference_mode():
        inputs = torch.stack([transform(Image.fromarray(image)) for image in images])
        image_vectors = network.eval().encode_image(inputs)
        text_vectors = network.encode_text(open_clip.tokenize(sentences))
    model = OpenClipModel(str(folder))
    for ours, theirs in (
        (model.embed_images(images), image_vectors),
        (model.embed_texts(sentences), text_vectors),
    ):
        assert ours.dtype == np.float32
        assert np.allclose(ours, torch.nn.functional.normalize(theirs, dim=-1).numpy(), atol=1e-5)
        assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert model.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_equal_calls_give_equal_bits_and_many_images_run_in_batches(folder: Path) -> None:
    model = OpenClipModel(str(folder))
    many = _images(37)
    assert np.array_equal(model.embed_images(many), OpenClipModel(str(folder)).embed_images(many))
    assert np.allclose(model.embed_images(many)[20:23], model.embed_images(many[20:23]), atol=1e-5)


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
    assert OpenClipModel(f"Small-1:{file}").embed_texts(["sea"]).shape == (1, 16)
    assert open_clip_digest(f"Small-1:{file}") != open_clip_digest(str(folder)) != ""


def test_the_digest_depends_on_the_bytes(folder: Path, tmp_path: Path) -> None:
    copy, other = save_towers(tmp_path / "copy"), save_towers(tmp_path / "other", seed=1)
    assert open_clip_digest(str(folder)) == open_clip_digest(str(copy)) != open_clip_digest(str(other))
    assert open_clip_digest("hf-hub:somebody/something") == ""


@pytest.mark.parametrize(
    ("model", "message", "remedy"),
    [
        ("nowhere/at/all", "no open_clip model", "name a folder"),
        ("ViT-B-23:x", "no open_clip model", "ViT-B-32:FILE"),
        ("ViT-B-32", "no open_clip model", "ViT-B-32:FILE"),
        ("ViT-B-32:none.safetensors", "neither a file nor a tag", "laion2b"),
    ],
)
def test_a_missing_model_is_an_error_before_the_run(model: str, message: str, remedy: str) -> None:
    with pytest.raises(WeightsError, match=message) as error:
        open_clip_digest(model)
    assert remedy in error.value.remedy
    with pytest.raises(WeightsError, match=message):
        OpenClipModel(model)


def test_a_folder_without_a_needed_file_is_an_error(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds no weights"):
        OpenClipModel(str(folder))
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(WeightsError, match=r"holds no open_clip_config\.json"):
        OpenClipModel(str(folder))


def test_weights_that_do_not_fit_are_errors(folder: Path) -> None:
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace('"embed_dim": 16', '"embed_dim": 24'))
    with pytest.raises(WeightsError, match="do not load") as error:
        OpenClipModel(str(folder))
    assert "open_clip_model.safetensors" in error.value.where
    (folder / "open_clip_model.safetensors").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="do not load"):
        OpenClipModel(str(folder))


def test_a_failed_download_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("open_clip.factory.download_pretrained_from_hf", unreachable)
    with pytest.raises(WeightsError, match="could not be fetched") as error:
        OpenClipModel("hf-hub:somebody/something")
    assert "name its folder" in error.value.remedy
