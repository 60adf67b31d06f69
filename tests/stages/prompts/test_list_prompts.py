"""Prompts from text, lines and JSON lines: a row each; a wrong line is an error before any work."""

import json
from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.prompts.list_prompts import ListPrompts

TEXTS = ["a dog runs", "", "א כלב רץ על החוף", "🦮 🏖️", "a\tb\x00c \ud800 {prompt}", "x " * 50_000 + "end"]


def test_any_text_is_one_row() -> None:
    rows = [next(iter(ListPrompts(prompt=text, seed=3).rows())) for text in TEXTS]
    assert [row.prompt for row in rows[:4]] == TEXTS[:4]
    assert rows[4].prompt == "a\tb c ? {prompt}"
    assert len(rows[5].prompt) == len(TEXTS[5])
    assert {row.seed for row in rows} == {3}
    assert len({row.id for row in rows}) == len(TEXTS)


def test_a_file_of_lines(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffa dog runs\r\n\r\n  a cat\u2028sits  \na dog runs\n".encode())
    rows = list(ListPrompts(file=str(file)).rows())
    assert [(row.prompt, row.source) for row in rows] == [
        ("a dog runs", "prompts.txt:1"),
        ("a cat\u2028sits", "prompts.txt:3"),
        ("a dog runs", "prompts.txt:4"),
    ]
    assert len({row.id for row in rows}) == 3
    [alone] = ListPrompts(prompt="a dog runs").rows()
    assert alone.id == rows[0].id  # its results are kept when it moves


def test_a_file_of_json_lines(tmp_path: Path) -> None:
    (tmp_path / "dog.png").write_bytes(b"one")
    lines = [{"prompt": "a dog", "image": "dog.png"}, {"prompt": "a dog", "seed": 5}, {"prompt": ""}]
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    stage = ListPrompts(file=str(file), seed=2)
    first, second, third = stage.rows()
    assert (first.given_image, first.seed) == (str(tmp_path / "dog.png"), 2)
    assert (second.given_image, second.seed, second.condition_sha256) == ("", 5, "")
    assert third.prompt == ""
    before = stage.digest()
    (tmp_path / "dog.png").write_bytes(b"two")
    assert stage.digest() != before
    assert next(iter(stage.rows())).id != first.id


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{'prompt': 1}", "is not JSON"),
        ('["a dog"]', "is not a JSON object"),
        ('{"text": "a dog"}', "unknown field 'text'"),
        ('{"image": "a.png"}', "has no text in prompt"),
        ('{"prompt": "a", "image": 3}', "must be paths"),
        ('{"prompt": "a", "seed": -1}', "not a whole number"),
        ('{"prompt": "a", "seed": true}', "not a whole number"),
        ('{"prompt": "a", "image": "none.png"}', "cannot be read"),
        ('{"prompt": "a", "image": "a.jsonl", "video": "a.jsonl"}', "an image and a video"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f'{{"prompt": "good"}}\n{line}\n')
    with pytest.raises(ClipmillError, match=words) as caught:
        ListPrompts(file=str(file)).digest()
    assert "2" in str(caught.value.where)
    assert caught.value.remedy


def test_wrong_files(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name, words in (
        ("empty.txt", "no prompt"),
        ("binary.txt", "not UTF-8"),
        ("none.txt", "No such file"),
    ):
        with pytest.raises(ClipmillError, match=words):
            ListPrompts(file=str(tmp_path / name)).digest()
    with pytest.raises(ClipmillError, match="both given"):
        ListPrompts(file="a.txt", prompt="a dog")
