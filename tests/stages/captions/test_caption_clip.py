"""A caption comes from the images of its own window; its row records model, prompt and status."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, Request, completion
from numbered_frames import number_text, read_number

from manifests import ClipmillError
from pipeline import Reject
from stages.captions.caption_clip import Caption, CaptionClip, ScannedClip
from stages.captions.requests.window_request import PROMPTS
from stages.models.chat.prompt import load_prompt

Clips = Callable[..., list[ScannedClip]]


def read_images(request: Request) -> Reply:
    """Answer with the text of the images, each text once."""
    return completion(", ".join(dict.fromkeys(map(read_number, request.images))))


def caption_all(server: ChatServer, rows: list[ScannedClip], **settings: Any) -> list[Caption]:
    stage = CaptionClip(model="toy", endpoint=server.url, **settings)
    assert isinstance(stage.digest(), str)
    answers = list(stage.annotate(rows))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers  # type: ignore[return-value]


def test_a_row_records_model_prompt_and_status(clips: Clips) -> None:
    with ChatServer(read_images) as server:
        [row] = caption_all(server, clips([5]))
    [request] = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "toy"
    assert (request.body["max_tokens"], request.body["temperature"]) == (512, 0)
    assert len(request.images) == 2
    assert request.prompt.startswith("These 2 pictures are frames of one video clip of 1.0 seconds")
    assert "{" not in request.prompt
    assert row.caption == number_text(5)
    assert row.caption_by == "toy, toy-1 fp_7"
    assert (row.caption_model, row.caption_revision) == ("toy", "toy-1 fp_7")
    assert row.caption_prompt == "default"
    assert row.caption_prompt_sha256 == load_prompt("default", PROMPTS).sha256
    assert (row.caption_prompt_tokens, row.caption_output_tokens) == (11, 5)
    assert row.caption_latency_s > 0
    assert row.caption_status == "ok"
    assert (row.window_starts, row.window_ends) == ((0,), (8,))
    assert (row.window_captions, row.window_statuses) == ((number_text(5),), ("ok",))


def test_each_window_has_its_own_request_and_images(clips: Clips) -> None:
    rows = clips([1, 2, 3, 4, 5, 6], frames_each=8, per_clip=3)
    windows = {"window_frames": 8, "min_window_frames": 4}
    with ChatServer(read_images) as server:
        first, second = caption_all(server, rows, **windows)
        [short] = caption_all(server, rows[:1], combine_windows="first", **windows)
    assert first.window_captions == (number_text(1), number_text(2), number_text(3))
    assert (second.window_starts, second.window_ends) == ((24, 32, 40), (32, 40, 48))
    assert second.caption == f"{number_text(4)} {number_text(5)} {number_text(6)}"
    assert second.caption_prompt_tokens == 33
    assert short.caption == number_text(1)
    assert short.window_captions == first.window_captions


def test_the_result_does_not_depend_on_the_batch(clips: Clips) -> None:
    rows = clips(list(range(10, 18)))
    with ChatServer(read_images) as server:
        together = caption_all(server, rows)
        alone = [one for row in rows for one in caption_all(server, [row])]
        reversed_batch = caption_all(server, rows[::-1])[::-1]
    texts = [number_text(n) for n in range(10, 18)]
    assert [row.caption for row in together] == texts
    assert [row.caption for row in alone] == texts
    assert [row.caption for row in reversed_batch] == texts


def test_requests_run_concurrently_up_to_the_limit(clips: Clips) -> None:
    def slow(request: Request) -> Reply:
        return completion(read_number(request.images[0]), delay_s=0.15)

    rows = clips(list(range(6)), per_clip=2)
    with ChatServer(slow) as server:
        caption_all(server, rows, max_concurrent_requests=4, window_frames=8, min_window_frames=4)
    assert server.max_concurrent == 4
    assert len(server.requests) == 6


def test_a_refine_prompt_sees_the_images_and_the_first_answer(clips: Clips, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Better, please: {length_s} s.\n")

    def answer_twice(request: Request) -> Reply:
        before = [m["content"] for m in request.body["messages"] if m["role"] == "assistant"]
        return completion(f"{read_number(request.images[0])} {'again' if before else ''}")

    with ChatServer(answer_twice) as server:
        [row] = caption_all(server, clips([9]), refine_prompt=str(tmp_path / "mine.txt"))
    first, second = server.requests
    assert [m["role"] for m in second.body["messages"]] == ["user", "assistant", "user"]
    assert second.body["messages"][1]["content"] == number_text(9)
    assert second.prompt == "Better, please: 1.0 s."
    assert second.jpegs == first.jpegs
    assert row.caption == f"{number_text(9)} again"
    assert row.caption_prompt == "default mine"
    assert row.caption_prompt_sha256.split() == [
        load_prompt("default", PROMPTS).sha256,
        load_prompt(str(tmp_path / "mine.txt"), PROMPTS).sha256,
    ]
    assert row.caption_output_tokens == 10


def test_stills_of_the_strip_are_used_if_they_are_large_enough(clips: Clips) -> None:
    small, large = clips([3], still_px=80), clips([3], still_px=160)
    with ChatServer(read_images) as server:
        from_small = caption_all(server, small, image_px=80)
        from_large = caption_all(server, small, image_px=448)
        caption_all(server, large, image_px=448)
        caption_all(server, large, image_px=64)
    sizes = [request.images[0].shape for request in server.requests]
    assert sizes == [(45, 80, 3), (90, 160, 3), (90, 160, 3), (36, 64, 3)]
    assert from_small[0].caption == from_large[0].caption == number_text(3)
    strip = large[0].strip.read()
    from_source, from_strip = server.requests[1].jpegs, server.requests[2].jpegs
    assert all(jpeg in strip for jpeg in from_strip)
    assert not any(jpeg in strip for jpeg in from_source)


def test_images_of_the_source_are_those_of_the_window(clips: Clips) -> None:
    rows = clips([1, 2, 3, 4], frames_each=6, still_px=40)
    with ChatServer(read_images) as server:
        found = caption_all(server, rows, sample_fps=8.0)
    assert [row.caption for row in found] == [number_text(n) for n in (1, 2, 3, 4)]
    assert [len(request.images) for request in server.requests] == [6] * 4


def test_a_window_without_a_still_uses_the_source(clips: Clips) -> None:
    rows = clips([1, 2, 3], frames_each=4, fps=24)
    with ChatServer(read_images) as server:
        assert [row.caption for row in caption_all(server, rows)] == [
            number_text(1),
            number_text(2),
            number_text(3),
        ]


def test_images_are_limited_to_max_images(clips: Clips) -> None:
    with ChatServer(read_images) as server:
        caption_all(server, clips([1, 2, 3, 4], per_clip=4), max_images=4)
        [request] = server.requests
    assert [read_number(picture) for picture in request.images] == [number_text(n) for n in (1, 2, 3, 4)]


def test_a_source_that_changed_is_rejected(clips: Clips) -> None:
    row, *_ = clips([1, 2, 3], still_px=40)
    other, *_ = clips([4], frames_each=4, still_px=40)
    Path(row.uri).write_bytes(Path(other.uri).read_bytes())
    with ChatServer(read_images) as server:
        stage = CaptionClip(model="toy", endpoint=server.url)
        [changed] = stage.annotate([row])
        Path(row.uri).unlink()
        [gone] = stage.annotate([row])
        assert server.requests == []
    assert isinstance(changed, Reject)
    assert "but the scan found 8" in str(changed)
    assert isinstance(gone, Reject)


def test_a_clip_of_three_frames_is_rejected(clips: Clips) -> None:
    with ChatServer(read_images) as server:
        [short] = CaptionClip(model="toy", endpoint=server.url).annotate(clips([1], frames_each=3))
        assert server.requests == []
    assert isinstance(short, Reject)
    assert str(short) == "the clip has 3 frames; a caption needs 4"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"combine_windows": "last"}, "combine_windows is 'last'"),
        ({"prompt": "defalt"}, "there is no prompt 'defalt'"),
        ({"endpoint": "localhost:8000"}, "not a URL"),
        ({"endpoint": "http://me:secret@host/v1"}, "contains a user name or password"),
        ({"api_key_env": "sk-0123"}, "name of an environment variable"),
        ({"extra_body": "[1]"}, "not a JSON object"),
        ({"max_attempts": 0}, "greater than 0"),
        ({"sample_fps": 0.0}, "greater than 0"),
        ({"endpoint": "", "model": "./no/such/folder"}, "no such folder"),
    ],
)
def test_wrong_settings_are_errors_while_planning(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ClipmillError, match=message) as error:
        CaptionClip(**{"model": "toy", "endpoint": "http://host/v1", **settings}).digest()
    assert "secret" not in str(error.value)
