"""Prompts: files with names and digests; a wrong one is told before anything is asked."""

from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.captions.caption_clip import FACTS, CaptionClip
from stages.captions.caption_with_facts import CaptionWithFacts
from stages.captions.prompt import FOLDER, prompt_named

NAMES = sorted(file.stem for file in FOLDER.glob("*.txt"))


def test_those_that_come_along_have_names_digests_and_known_places() -> None:
    assert {"default", "short", "driving", "robotics", "refine", "enhance"} <= set(NAMES)
    found = {name: prompt_named(name) for name in NAMES}
    assert len({prompt.sha256 for prompt in found.values()}) == len(NAMES)
    for name in ("default", "short", "driving", "robotics", "refine"):
        found[name].check(FACTS)
    found["with_camera"].check(CaptionWithFacts(model="m").known, needed=["camera", "fps"])


def test_places_are_filled_and_other_braces_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text('Answer as {"place": [{}]} for {length_s} s {length_s}')
    prompt = prompt_named(str(tmp_path / "mine.txt"))
    assert prompt.name == "mine"
    assert prompt.places == ["length_s"]
    assert prompt.filled({"length_s": "{fps}"}) == 'Answer as {"place": [{}]} for {fps} s {fps}'


def test_a_place_for_something_unknown_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("The camera does {camera} for {length} s.")
    stage = CaptionClip(model="m", endpoint="http://host/v1", prompt=str(tmp_path / "mine.txt"))
    with pytest.raises(ClipmillError, match=r"\{camera\}, for which nothing is known"):
        stage.digest()
    with pytest.raises(ClipmillError, match=r"\{length\}") as told:
        CaptionWithFacts(**stage.settings()).digest()
    assert "{length_s}" in str(told.value)


def test_text_decides_the_key_and_the_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Say it.")
    (tmp_path / "b.txt").write_text("Say it.\n")
    (tmp_path / "c.txt").write_text("Say more.")
    made = [
        CaptionClip(model="m", endpoint="http://host/v1", prompt=str(tmp_path / f"{name}.txt")).digest()
        for name in "abc"
    ]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00"])
def test_a_prompt_is_a_text_that_says_something(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(ClipmillError, match=r"empty|no text"):
        prompt_named(str(tmp_path / "mine.txt"))


def test_what_is_asked_is_what_was_digested_though_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("Say it.")
    stages = [CaptionClip(model="m", endpoint="http://host/v1", prompt=str(path)) for _ in range(2)]
    before = stages[0].digest()
    path.write_text("Say more.")
    assert [prompt.text for prompt in stages[0].prompts] == ["Say it."]
    assert stages[0].digest() == before != stages[1].digest()
    assert [prompt.text for prompt in stages[1].prompts] == ["Say more."]
