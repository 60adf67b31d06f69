"""Prompts: files with names and digests; a wrong prompt is an error before any request."""

from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.captions.caption_clip import CaptionClip
from stages.captions.caption_with_facts import CaptionWithFacts
from stages.captions.requests.window_request import FACTS, PROMPTS
from stages.models.chat.prompt import load_prompt

NAMES = sorted(file.stem for file in PROMPTS.glob("*.txt"))


def test_built_in_prompts_have_names_digests_and_known_placeholders() -> None:
    assert {"default", "short", "driving", "robotics", "refine", "enhance"} <= set(NAMES)
    prompts = {name: load_prompt(name, PROMPTS) for name in NAMES}
    assert len({prompt.sha256 for prompt in prompts.values()}) == len(NAMES)
    for name in ("default", "short", "driving", "robotics", "refine"):
        prompts[name].check(FACTS)
    prompts["with_camera"].check(CaptionWithFacts(model="m").fact_names, required=["camera", "fps"])


def test_placeholders_are_filled_and_other_braces_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text('Answer as {"place": [{}]} for {length_s} s {length_s}')
    prompt = load_prompt(str(tmp_path / "mine.txt"), PROMPTS)
    assert prompt.name == "mine"
    assert prompt.placeholders == ["length_s"]
    assert prompt.fill({"length_s": "{fps}"}) == 'Answer as {"place": [{}]} for {fps} s {fps}'


def test_an_unknown_placeholder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("The camera does {camera} for {length} s.")
    stage = CaptionClip(model="m", endpoint="http://host/v1", prompt=str(tmp_path / "mine.txt"))
    with pytest.raises(ClipmillError, match=r"placeholder \{camera\}, but there is no such fact"):
        stage.digest()
    with pytest.raises(ClipmillError, match=r"\{length\}") as error:
        CaptionWithFacts(**stage.settings()).digest()
    assert "{length_s}" in str(error.value)


def test_the_key_depends_on_the_text_and_not_on_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Say it.")
    (tmp_path / "b.txt").write_text("Say it.\n")
    (tmp_path / "c.txt").write_text("Say more.")
    digests = [
        CaptionClip(model="m", endpoint="http://host/v1", prompt=str(tmp_path / f"{name}.txt")).digest()
        for name in "abc"
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00"])
def test_a_prompt_must_be_text_and_not_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(ClipmillError, match=r"empty|not text"):
        load_prompt(str(tmp_path / "mine.txt"), PROMPTS)


def test_a_stage_uses_the_loaded_prompt_although_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("Say it.")
    stages = [CaptionClip(model="m", endpoint="http://host/v1", prompt=str(path)) for _ in range(2)]
    before = stages[0].digest()
    path.write_text("Say more.")
    assert [prompt.text for prompt in stages[0].prompts] == ["Say it."]
    assert stages[0].digest() == before != stages[1].digest()
    assert [prompt.text for prompt in stages[1].prompts] == ["Say more."]
