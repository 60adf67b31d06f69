"""Files of lists and limits: what is wrong with a file, and where."""

from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.guardrails.class_limits import read_class_limits
from stages.guardrails.text.word_list import read_word_list


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("block: {S1: [a]}\nversion: 1", "has no name"),
        ("name: x\nblock: {S1: [a]}", "has no version"),
        ("name: [x", "is not YAML"),
        ("- a", "has no name"),
        ("name: x\nversion: 1\nblock: {S99: [a]}", "there is no category 'S99'"),
        ("name: x\nversion: 1\nblock: {S1: a}", "not a list of texts"),
        ("name: x\nversion: 1\nblock: {S1: ['**']}", "holds no letter"),
        ("name: x\nversion: 1\nblock: [a]", "not a table"),
        ("name: x\nversion: 1\ndeny: [a]", "has no 'deny'"),
        ("name: !!python/object:os.system x\nversion: 1", "is not YAML"),
    ],
)
def test_a_wrong_list_is_explained(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "list.yaml"
    file.write_text(text)
    with pytest.raises(ClipmillError, match=what) as error:
        read_word_list(str(file))
    assert str(file) in str(error.value)


def test_a_missing_list_names_the_built_in_ones() -> None:
    with pytest.raises(ClipmillError, match="default"):
        read_word_list("defualt")


def test_the_digest_and_the_version_are_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    digests = set()
    for version in (1, 2):
        file.write_text(f"name: mine\nversion: {version}\nblock: {{S9: [b o m b]}}\nallow: [x]\n")
        words = read_word_list(str(file))
        assert (words.name, words.version, words.block, words.allow) == (
            "mine",
            str(version),
            {"S9": ("b o m b",)},
            ("x",),
        )
        digests.add(words.sha256)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("classes: [a, b]", "no class has a limit"),
        ("classes: [a]\nlimits: {a: 0.5}", "no two different classes"),
        ("classes: [a, b]\nlimits: {c: 0.5}", "is of no class"),
        ("classes: [a, b]\nlimits: {b: 2}", "is not 0 to 1"),
    ],
)
def test_wrong_limits_are_explained(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "limits.yaml").write_text(f"name: x\nversion: 1\n{text}\n")
    with pytest.raises(ClipmillError, match=what):
        read_class_limits(str(tmp_path / "limits.yaml"))
