"""Answers of chat models are JSON, or are repaired by fixed rules, or are errors; nothing is guessed."""

import pytest

from stages.captions.questions.answers import BadAnswer, parse_answers
from stages.captions.questions.question import Question, parse_question

QUESTIONS = [
    parse_question(line)
    for line in (
        "has_person: Is one visible?",
        "is_dark: Is it?",
        "place: Where? | indoors | Out of doors | none",
    )
]
EXPECTED = {"has_person": True, "is_dark": False, "place": "Out of doors"}


@pytest.mark.parametrize(
    "text",
    [
        '{"has_person": true, "is_dark": false, "place": "Out of doors"}',
        'Sure!\n```json\n{"has_person": true, "is_dark": false, "place": "Out of doors"}\n```\n{Bye}',
        'The answer is {"has_person": true, "is_dark": false, "place": "Out of doors"}, I think.',
        "{'has_person': True, 'is_dark': False, 'place': 'Out of doors',}",
        '{"Has Person": "Yes", "IS-DARK": "no.", "place": "out of doors."}',
        '{"has_person": "Yes, two people walk.", "is_dark": "No - it is day", "place": "OUT OF DOORS"}',
        '{"answers": {"has_person": true, "is_dark": false, "place": "Out of doors", "note": 1}}',
        '{"has_person": {"answer": true, "why": "a face"}, "is_dark": false, "place": "Out of doors"}',
        "has_person: yes\nis_dark: no\nplace: Out of doors",
        "{has_person: yes, is_dark: no, place: Out of doors}",
    ],
)
def test_an_answer_is_read_or_repaired(text: str) -> None:
    assert parse_answers(text, QUESTIONS) == EXPECTED


def test_a_model_that_cannot_tell_gives_none() -> None:
    text = '{"has_person": null, "is_dark": "Unclear", "place": "none"}'
    assert parse_answers(text, QUESTIONS) == {"has_person": None, "is_dark": None, "place": "none"}


def test_a_number_is_a_choice() -> None:
    questions = [Question("people", "How many?", ("0", "1", "more"))]
    assert parse_answers('{"people": 1}', questions) == {"people": "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Yes, a person walks.", "not a JSON object"),
        ("", "not a JSON object"),
        ("[true, false]", "not a JSON object"),
        ('{"has_person": true, "is_dark": fal', "not a JSON object"),
        ('{"other": true}', "not a JSON object"),
        ("{" * 3000, "not a JSON object"),
        ('{"has_person": true, "place": "indoors"}', "no answer to 'is_dark'"),
        (
            '{"has_person": true, "is_dark": "maybe", "place": "indoors"}',
            "is no answer to 'is_dark'",
        ),
        ('{"has_person": 1, "is_dark": false, "place": "indoors"}', "1 is no answer to 'has_person'"),
        ('{"has_person": "yesterday", "is_dark": false, "place": "indoors"}', "no answer to 'has_person'"),
        ('{"has_person": true, "is_dark": false, "place": "on the moon"}', "no answer to 'place'"),
        ('{"has_person": true, "is_dark": false, "place": ["indoors"]}', "no answer to 'place'"),
        ('{"has_person": true, "has_person": false, "is_dark": true, "place": "none"}', "has two answers"),
    ],
)
def test_anything_else_is_an_error(text: str, message: str) -> None:
    with pytest.raises(BadAnswer) as error:
        parse_answers(text, QUESTIONS)
    assert message in str(error.value)
