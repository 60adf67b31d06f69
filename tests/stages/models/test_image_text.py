"""Models of transformers that read pictures: true classes from small files, and errors that help."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_vlm import save_vlm

from stages.models.image_text import ImageText, image_text_digest
from stages.models.weights import NoWeights


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vlm(tmp_path_factory.mktemp("vlm") / request.param, request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> ImageText:
    return ImageText(str(folder), device="cpu")


def picture(seed: int, height: int = 90, width: int = 160) -> np.ndarray:
    """A picture of one colour, but for a corner."""
    rng = np.random.default_rng(seed)
    made = np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8)
    made[: height // 2, : width // 2] = rng.integers(0, 255, 3)
    return made


def test_the_same_question_gives_the_same_words(model: ImageText) -> None:
    asked = ([("what is word3 ?", "")], [picture(1), picture(2)], 6)
    first = model.write(*asked)
    model.write([("word9", "")], [picture(3, 64, 64)], 4)
    assert model.write(*asked) == first
    assert first.text
    assert first.output_tokens <= 6


def test_words_depend_on_pictures_their_order_and_the_talk(model: ImageText) -> None:
    turns = [("what is word3 ?", "")]
    found = {
        model.write(turns, [picture(1), picture(2)], 6).text,
        model.write(turns, [picture(2), picture(1)], 6).text,
        model.write([("word5", "word6"), *turns], [picture(1), picture(2)], 6).text,
        model.write(turns, [], 6).text,
    }
    assert len(found) == 4


def test_more_pictures_are_more_tokens(model: ImageText) -> None:
    one, two = (model.write([("word1", "")], [picture(1)] * n, 1).prompt_tokens for n in (1, 2))
    assert two - one > 5


def test_one_that_ends_is_not_cut(model: ImageText, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ([("word1", "")], [picture(1)])
    network = model._network
    inputs = model.write(*asked, 3)
    written = model._processor.tokenizer(inputs.text.split()[0])["input_ids"][0]
    monkeypatch.setattr(network.generation_config, "eos_token_id", [written])
    told = model.write(*asked, 3)
    assert not told.cut
    assert told.output_tokens < 3
    monkeypatch.setattr(network.generation_config, "eos_token_id", (written + 1) % 64)
    short = model.write(*asked, 1)
    assert short.cut
    assert short.output_tokens == 1


def test_the_digest_is_of_all_files(folder: Path, model: ImageText, tmp_path: Path) -> None:
    assert model.revision == image_text_digest(str(folder))
    other = save_vlm(tmp_path / "other", "qwen3_vl", seed=1)
    before = image_text_digest(str(other))
    assert before != model.revision
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert image_text_digest(str(other)) != before
    assert image_text_digest("Qwen/Qwen2.5-VL-7B-Instruct") == ""


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoWeights, match="no such folder"):
        image_text_digest(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoWeights, match="holds no weights"):
        image_text_digest(str(tmp_path / "empty"))
    with pytest.raises(NoWeights, match="could not be loaded"):
        ImageText(str(tmp_path / "empty"))
    mute = save_vlm(tmp_path / "mute", "qwen3_vl")
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(NoWeights, match="no chat template"):
        ImageText(str(mute), device="cpu")


def test_no_code_of_a_model_is_run(tmp_path: Path) -> None:
    own = save_vlm(tmp_path / "own", "qwen3_vl")
    said = json.loads((own / "config.json").read_text())
    said |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForImageTextToText": "mine.Mine"},
    }
    (own / "config.json").write_text(json.dumps(said))
    (own / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(NoWeights, match="could not be loaded"):
        ImageText(str(own), device="cpu")
