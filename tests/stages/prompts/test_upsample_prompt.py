"""Prompts are rewritten by a real server, good and bad. Each prompt has a result on record."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from chat_client import in_turn, is_probe
from chat_server import ChatServer, Reply, Request, closed_port, completion
from small_vlm import save_vlm

from manifests import ClipmillError
from pipeline import Unavailable
from stages.prompts.reply import WrongReply, clean_reply
from stages.prompts.upsample_prompt import PromptToUpsample, UpsampledPrompt, UpsamplePrompt

PROMPT = "two dogs on a beach"
CAPTION = "Two brown dogs run along a wide beach at sunset while the camera follows them slowly."


def upsample(
    reply: Callable[[Request], Reply], *prompts: str, image: str = "", **settings: object
) -> tuple[list[UpsampledPrompt], list[Request]]:
    with ChatServer(reply) as server:
        fast = {"max_attempts": 1, "timeout_s": 60.0, **settings}
        stage = UpsamplePrompt(model="toy", endpoint=server.url, **fast)  # type: ignore[arg-type]
        stage.digest()
        given = [PromptToUpsample(prompt=text, given_image=image) for text in prompts or (PROMPT,)]
        rows = list(stage.annotate(given))
    assert all(isinstance(row, UpsampledPrompt) for row in rows), rows
    return [row for row in rows if isinstance(row, UpsampledPrompt)], server.requests


def test_a_prompt_becomes_a_caption() -> None:
    [row], [request] = upsample(in_turn(completion(CAPTION)), seed=4)
    assert (row.upsampled_prompt, row.upsample_status, row.upsample_reason) == (CAPTION, "upsampled", "")
    assert (row.upsampled_by, row.upsample_template, row.upsample_replies) == ("toy, toy-1 fp_7", "video", 1)
    assert (row.upsample_prompt_tokens, row.upsample_output_tokens) == (11, 5)
    assert request.body["seed"] == 4
    assert request.prompt.endswith(f"Request: {PROMPT}")
    assert "60 to 200 words" in request.prompt


def test_every_prompt_gets_its_own_caption() -> None:
    def reply(request: Request) -> Reply:
        prompt = request.prompt.rpartition("Request: ")[2]
        return completion(
            f"The camera sees {prompt} in the evening light.", delay_s=request.number % 3 * 0.02
        )

    prompts = [f"the robot number {n} and {{prompt}}" for n in range(20)]
    rows, _ = upsample(reply, *prompts)
    assert [row.upsampled_prompt for row in rows] == [
        f"The camera sees {prompt} in the evening light." for prompt in prompts
    ]


@pytest.mark.parametrize(
    ("reply", "correction"),
    [
        (completion("A dog runs on a beach in the evening."), "leaves out: 2"),
        (completion("Two cats run on a beach in the evening."), "leaves out: dogs"),
        (completion("Two dogs on a beach and", "length"), "at most 200 words"),
        (completion("Two dogs on a beach. " + "More words come here. " * 60), "at most 200 words"),
        (completion("dogs beach two " * 9), "Do not repeat"),
        (completion("Yes."), "more details"),
        (completion('{"scene": {"subject": "dogs"}}'), "without JSON"),
    ],
)
def test_a_wrong_reply_is_corrected(reply: Reply, correction: str) -> None:
    [row], [_, second] = upsample(in_turn(reply, completion(CAPTION)))
    assert (row.upsampled_prompt, row.upsample_replies) == (CAPTION, 2)
    assert correction in second.prompt
    assert [message["role"] for message in second.body["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("reply", "reason", "requests"),
    [
        (completion("A dog on a beach at night."), "leaves out: 2", 3),
        (completion("I'm sorry, but I can't help with that."), "refused", 1),
        (completion(""), "no text", 1),
        (completion("{ broken json, dogs"), "JSON without a text", 3),
        (Reply(b"<html>gateway</html>"), "", 1),
        (Reply(status=400, body=b"too long"), "HTTP 400", 1),
        (Reply(status=401), "refuses the key", 1),
    ],
)
def test_the_prompt_itself_is_used_and_the_reason_is_on_record(
    reply: Reply, reason: str, requests: int
) -> None:
    [row], sent = upsample(in_turn(reply))
    assert (row.upsampled_prompt, row.upsample_status, row.upsampled_by) == (PROMPT, "original", "")
    assert row.upsample_reason
    assert reason in row.upsample_reason
    assert len([request for request in sent if not is_probe(request)]) == requests


def test_prompts_that_no_model_should_see() -> None:
    rows, sent = upsample(in_turn(completion(CAPTION)), "", " \n", "word " * 201, "x" * 100_000)
    assert sent == []
    assert [row.upsample_status for row in rows] == ["original"] * 4
    assert [row.upsampled_prompt for row in rows] == ["", " \n", "word " * 201, "x" * 100_000]
    assert ["empty" in row.upsample_reason for row in rows] == [True, True, False, False]


def test_a_model_that_is_down() -> None:
    settings = {"model": "toy", "endpoint": f"http://127.0.0.1:{closed_port()}/v1", "max_attempts": 1}
    rows = [PromptToUpsample(prompt=PROMPT)] * 3
    for row in UpsamplePrompt(**settings).annotate(rows):
        assert isinstance(row, UpsampledPrompt), row
        assert (row.upsampled_prompt, row.upsample_status) == (PROMPT, "original")
        assert "unavailable" in row.upsample_reason
    waiting = list(UpsamplePrompt(on_unavailable="wait", **settings).annotate(rows))
    assert {type(row) for row in waiting} == {Unavailable}


def test_the_model_sees_the_image(tmp_path: Path) -> None:
    file = tmp_path / "wide.png"
    cv2.imwrite(str(file), np.full((500, 2000, 3), (0, 0, 255), np.uint8))
    [row], [request] = upsample(in_turn(completion(CAPTION)), image=str(file))
    assert row.upsample_template == "image_to_video"
    assert request.images[0].shape == (256, 1024, 3)
    assert np.abs(request.images[0].mean((0, 1)) - (255, 0, 0)).max() < 5
    file.write_bytes(base64.b64decode("AAAA"))
    [row], sent = upsample(in_turn(completion(CAPTION)), image=str(file))
    assert (row.upsample_status, sent) == ("original", [])


def test_a_model_in_this_process(tmp_path: Path) -> None:
    stage = UpsamplePrompt(model=str(save_vlm(tmp_path / "vlm", "qwen3_vl")), max_tokens=8)
    [row] = stage.annotate([PromptToUpsample(prompt="word3 word4")])
    assert isinstance(row, UpsampledPrompt), row
    assert (row.upsampled_prompt, row.upsample_status, row.upsample_replies) == (
        "word3 word4",
        "original",
        3,
    )


@pytest.mark.parametrize(
    "reply",
    [
        CAPTION,
        f'"{CAPTION}"',
        f"```\n{CAPTION}\n```",
        f"**Upsampled prompt:** {CAPTION}",
        f"Sure! Here is the caption:\n\n{CAPTION}",
        f"# Caption\n{CAPTION}".replace("# Caption\n", "Caption: "),
        f"```json\n{json.dumps({'caption': CAPTION, 'words': '15'})}\n```",
        json.dumps([{"prompt": CAPTION}]),
        CAPTION.replace(" along", "\n\nalong"),
    ],
)
def test_wrappings_of_a_caption_are_removed(reply: str) -> None:
    assert clean_reply(reply) == CAPTION


def test_texts_that_only_look_wrapped() -> None:
    for text in ("Sure-footed goats climb: one falls.", '"Go" says a sign, and "Stop" another "one"'):
        assert clean_reply(text) == text
    with pytest.raises(WrongReply):
        clean_reply("[1, 2]")


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Expand {prompt} in {words} words.")
    for settings, words in (
        ({"template": str(tmp_path / "mine.txt")}, r"placeholder \{words\}"),
        ({"on_unavailable": "drop"}, "on_unavailable"),
        ({"min_words": 300}, "greater than max_words"),
    ):
        with pytest.raises(ClipmillError, match=words):
            UpsamplePrompt(model="m", endpoint="http://host/v1", **settings).digest()  # type: ignore[arg-type]
    (tmp_path / "mine.txt").write_text("Expand {prompt}.")
    before = UpsamplePrompt(model="m", endpoint="http://host/v1").digest()
    assert (
        UpsamplePrompt(model="m", endpoint="http://a/v1", template=str(tmp_path / "mine.txt")).digest()
        != before
    )
