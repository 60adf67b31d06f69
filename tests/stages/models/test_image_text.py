"""Image-text models of transformers: real classes from small files, and helpful errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_vlm import save_language_model, save_vlm

from stages.models.image_text import ImageTextModel, image_text_digest
from stages.models.weights import WeightsError


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vlm(tmp_path_factory.mktemp("vlm") / request.param, request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> ImageTextModel:
    return ImageTextModel(str(folder), device="cpu")


def image(seed: int, height: int = 90, width: int = 160) -> np.ndarray:
    """An image of one color, with another color in one corner."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8)
    pixels[: height // 2, : width // 2] = rng.integers(0, 255, 3)
    return pixels


def test_equal_requests_give_equal_text(model: ImageTextModel) -> None:
    request = ([("what is word3 ?", "")], [image(1), image(2)], 6)
    first = model.generate(*request)
    model.generate([("word9", "")], [image(3, 64, 64)], 4)
    assert model.generate(*request) == first
    assert first.text
    assert first.output_tokens <= 6


def test_text_depends_on_images_their_order_and_earlier_turns(model: ImageTextModel) -> None:
    turns = [("what is word3 ?", "")]
    texts = {
        model.generate(turns, [image(1), image(2)], 6).text,
        model.generate(turns, [image(2), image(1)], 6).text,
        model.generate([("word5", "word6"), *turns], [image(1), image(2)], 6).text,
        model.generate(turns, [], 6).text,
    }
    assert len(texts) == 4


def test_more_images_are_more_tokens(model: ImageTextModel) -> None:
    one, two = (model.generate([("word1", "")], [image(1)] * n, 1).prompt_tokens for n in (1, 2))
    assert two - one > 5


def test_an_answer_that_ends_is_not_truncated(model: ImageTextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ([("word1", "")], [image(1)])
    network = model._network
    full = model.generate(*request, 3)
    first = model._processor.tokenizer(full.text.split()[0])["input_ids"][0]
    monkeypatch.setattr(network.generation_config, "eos_token_id", [first])
    ended = model.generate(*request, 3)
    assert not ended.truncated
    assert ended.output_tokens < 3
    monkeypatch.setattr(network.generation_config, "eos_token_id", (first + 1) % 64)
    short = model.generate(*request, 1)
    assert short.truncated
    assert short.output_tokens == 1


def test_the_digest_covers_all_files(folder: Path, model: ImageTextModel, tmp_path: Path) -> None:
    assert model.revision == image_text_digest(str(folder))
    other = save_vlm(tmp_path / "other", "qwen3_vl", seed=1)
    before = image_text_digest(str(other))
    assert before != model.revision
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert image_text_digest(str(other)) != before
    assert image_text_digest("Qwen/Qwen2.5-VL-7B-Instruct") == ""


def test_models_that_do_not_load_are_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        image_text_digest(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no weights"):
        image_text_digest(str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match="could not be loaded"):
        ImageTextModel(str(tmp_path / "empty"))
    no_chat = save_vlm(tmp_path / "no_chat", "qwen3_vl")
    (no_chat / "chat_template.jinja").unlink()
    with pytest.raises(WeightsError, match="no chat template"):
        ImageTextModel(str(no_chat), device="cpu")


def test_code_of_a_model_does_not_run(tmp_path: Path) -> None:
    own = save_vlm(tmp_path / "own", "qwen3_vl")
    config = json.loads((own / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForImageTextToText": "mine.Mine"},
    }
    (own / "config.json").write_text(json.dumps(config))
    (own / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(WeightsError, match="could not be loaded"):
        ImageTextModel(str(own), device="cpu")


def test_a_model_that_reads_only_text_answers(tmp_path: Path) -> None:
    model = ImageTextModel(str(save_language_model(tmp_path / "llm")), device="cpu")
    turns = [("what is word3 ?", "word4"), ("word9 word1", "")]
    found = model.generate(turns, [], 5)
    assert found == model.generate(turns, [], 5)
    assert found.text
    assert found.prompt_tokens > len(turns)
    with pytest.raises(ValueError, match="reads only text"):
        model.generate(turns, [image(1)], 5)
