"""Questions come from YAML files or lines; an error names the file, the line and the remedy."""

from pathlib import Path

import pytest

from manifests import ClipmillError
from stages.captions.questions.question import FOLDER, Question, parse_question, read_questions


def test_a_file_holds_questions_and_their_choices(tmp_path: Path) -> None:
    file = tmp_path / "questions.yaml"
    text = (
        "# own\nhas_person: Is a person\n  visible, yes or no?\n"
        "place:\n  question: 'Where is it: in or out?'\n  choices: [indoors, yes, 3]\n"
    )
    file.write_text(text)
    person, place = map(parse_question, read_questions(str(file)))
    assert person == Question("has_person", "Is a person visible, yes or no?")
    assert place == Question("place", "Where is it: in or out?", ("indoors", "yes", "3"))
    assert place.prompt == '"place" ("indoors", "yes", "3"): Where is it: in or out?'
    assert person.prompt.startswith('"has_person" (true, false): ')
    assert read_questions(str(file)) == (person.line, place.line)
    file.write_text(
        text.removeprefix("# own\n").replace("[indoors, yes, 3]", "\n  - indoors\n  - yes\n  - 3")
    )
    assert read_questions(str(file)) == (person.line, place.line), "the layout of the file does not count"


def test_every_built_in_list_can_be_read() -> None:
    for file in FOLDER.glob("*.yaml"):
        questions = [parse_question(line) for line in read_questions(file.stem)]
        assert len({question.name for question in questions}) == len(questions) > 3


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: [1", "not YAML", 1),
        ("ok: {question: Is it?, choices: [a, b]}", "not YAML", 1),
        ("- a\n- b", "holds no questions", 0),
        ("", "holds no questions", 0),
        ("ok: Is it?\nIs there a dog: yes", "is not lower_snake_case", 2),
        ("ok: Is it?\nid: Is it?", "is taken", 2),
        ("ok: Is it?\nok: Is it not?", "two questions have the name 'ok'", 2),
        ("ok: ''", "no text", 1),
        ("ok: A | B?", "contains '|'", 1),
        ("ok: [a, b]", "the entry 'ok' is not a question", 1),
        ("ok: {text: Is it}", "the entry 'ok' is not a question", 1),
        ("ok: {question: Is it, choices: maybe}", "the entry 'ok' is not a question", 1),
        ("ok: {question: Is it, choices: [a, {b: c}]}", "the entry 'ok' is not a question", 1),
        ("ok: {question: Is it, choices: [a]}", "two or more different texts", 1),
        ("ok: {question: Is it, choices: [a, A]}", "two or more different texts", 1),
    ],
)
def test_a_wrong_file_is_an_error_with_its_line(tmp_path: Path, text: str, message: str, line: int) -> None:
    file = tmp_path / "questions.yaml"
    file.write_text(text)
    with pytest.raises(ClipmillError) as error:
        read_questions(str(file))
    assert message in error.value.what
    assert error.value.where == (f"{file}:{line}" if line else str(file))
    assert error.value.remedy


def test_a_missing_file_and_a_wrong_line_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ClipmillError, match="there are no questions") as error:
        read_questions(str(tmp_path / "none.yaml"))
    assert "defects" in error.value.remedy
    for line in ("has_person", "has_person:", ": Is it?", "a: b | c", "a: b | c | c"):
        with pytest.raises(ClipmillError):
            parse_question(line)
