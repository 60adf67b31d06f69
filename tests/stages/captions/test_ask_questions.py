"""A model answers questions about each clip; the answers are columns of the clip that the model saw."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, Request, completion
from numbered_frames import color_of, number_text, read_number
from small_vlm import save_vlm

from manifests import ClipmillError
from pipeline.planning.keys import hashed_settings
from stages.captions.ask_questions import AskQuestions
from stages.captions.caption_clip import ScannedClip
from stages.captions.requests.window_request import PROMPTS
from stages.models.chat.chat_model import NoResponse
from stages.models.chat.prompt import load_prompt

Clips = Callable[..., list[ScannedClip]]
QUESTIONS = ("is_red: Is the background red?", "color: Which color? | red | green | blue | yellow")


def look(request: Request) -> Reply:
    """Answer from the images; wrongly for number 3, not at all for number 4, with a refusal for number 5."""
    texts = {read_number(image) for image in request.images}
    color = texts.pop().rpartition(" ")[2] if len(texts) == 1 else "mixed"
    answer = json.dumps({"is_red": color == "red", "color": color})
    special = {3: 'It is "very" colorful.', 4: "", 5: "I'm sorry, I can't help with that."}
    found = [special[n] for n in special if number_text(n) in map(read_number, request.images)]
    return completion(found[0] if found else answer, delay_s=(request.number % 3) * 0.03)


def test_each_answer_is_about_its_clip_and_errors_show_the_answer(clips: Clips) -> None:
    with ChatServer(look) as server:
        stage = AskQuestions(model="toy", endpoint=server.url, questions=QUESTIONS)
        found: list[Any] = list(stage.annotate(clips(range(8))))
    assert len(server.requests) == 8, "one request per clip"
    for number in (0, 1, 2, 6, 7):
        row = found[number]
        assert type(row) is stage.adds
        assert (row.color, row.is_red) == (color_of(number), color_of(number) == "red")
        assert json.loads(row.answers_text)["color"] == row.color
        assert json.loads(row.answers) == {"is_red": "yes" if row.is_red else "no", "color": row.color}
        assert row.answers_status == "ok"
    assert isinstance(found[3], NoResponse)
    assert "The answer: 'It is \"very\" colorful.'" in str(found[3])
    assert isinstance(found[4], NoResponse)
    refused = found[5]
    assert (refused.answers_text, refused.answers_status) == ("", "refused")
    assert json.loads(refused.answers) == {"is_red": "", "color": ""}
    assert (refused.is_red, refused.color) == (None, None)
    assert found[0].answers_by == "toy, toy-1 fp_7"
    assert found[0].answers_prompt_sha256 == load_prompt("questions", PROMPTS).sha256
    assert (found[0].answers_prompt_tokens, found[0].answers_output_tokens) == (11, 5)
    prompt = server.requests[0].prompt
    assert '- "is_red" (true, false): Is the background red?\n- "color" ("red", "green", ' in prompt
    assert "{" not in prompt
    assert stage.adds.names()[-2:] == ("is_red", "color")


def test_a_long_clip_is_one_request_with_images_from_its_whole_length(clips: Clips) -> None:
    [row] = clips([1, 2, 3, 6], per_clip=4)
    with ChatServer(lambda _: completion("is_red: no\ncolor: blue", "length")) as server:
        [answer] = AskQuestions(model="m", endpoint=server.url, questions=QUESTIONS, max_images=4).annotate(
            [row]
        )
    [request] = server.requests
    assert [read_number(image) for image in request.images] == [number_text(n) for n in (1, 2, 3, 6)]
    assert answer.answers_status == "ok", "a complete answer is ok, whatever the reason for its end"


def test_an_answer_that_was_cut_off_names_the_remedy(clips: Clips) -> None:
    with ChatServer(lambda _: completion('{"is_red": true, "col', "length")) as server:
        [error] = AskQuestions(model="m", endpoint=server.url, questions=QUESTIONS).annotate(clips([1]))
    assert "raise max_tokens" in str(error)


def test_a_model_in_this_process_answers(clips: Clips, tmp_path: Path) -> None:
    stage = AskQuestions(
        model=str(save_vlm(tmp_path / "vlm")), questions=QUESTIONS, max_tokens=3, max_images=2
    )
    [error] = stage.annotate(clips([1]))
    assert isinstance(error, NoResponse)
    assert "the answer cannot be read" in str(error)
    assert "word" in str(error), "the error shows what the model wrote"


def test_the_questions_are_part_of_the_key_and_the_endpoint_is_not(tmp_path: Path) -> None:
    def key(**settings: Any) -> Any:
        stage = AskQuestions(**{"model": "m", "endpoint": "http://a/v1", "questions": QUESTIONS, **settings})
        return hashed_settings(stage), stage.digest()

    assert key() == key(endpoint="http://b/v1")
    assert key() != key(questions=QUESTIONS[:1])
    (tmp_path / "own.txt").write_text("Answer: {questions}")
    assert key() != key(prompt=str(tmp_path / "own.txt"))
    (tmp_path / "own.txt").write_text("Answer.")
    with pytest.raises(ClipmillError, match=r"no placeholder \{questions\}"):
        key(prompt=str(tmp_path / "own.txt"))


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ((), "there is no question"),
        (("a: Is it?", "a: Is it not?"), "same name"),
        (("answers: Is it?",), "is taken"),
        (("Is it?",), "not a question"),
    ],
)
def test_wrong_questions_are_errors(questions: tuple[str, ...], message: str) -> None:
    with pytest.raises(ClipmillError, match=message):
        _ = AskQuestions(model="m", questions=questions).adds
