"""A caption comes from the pictures of its own window, and its row says who said it, to what, and how."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import Asked, ChatServer, Reply, said
from numbered import read, words

from manifests import ClipmillError
from pipeline import Reject
from stages.captions.caption_clip import CaptionClip, Captioned, Shown
from stages.captions.prompt import prompt_named

Clips = Callable[..., list[Shown]]


def reads(asked: Asked) -> Reply:
    """Say what stands in the pictures, each thing once."""
    return said(", ".join(dict.fromkeys(map(read, asked.pictures))))


def captioned(server: ChatServer, rows: list[Shown], **settings: Any) -> list[Captioned]:
    stage = CaptionClip(model="toy", endpoint=server.url, **settings)
    assert isinstance(stage.digest(), str)
    found = list(stage.annotate(rows))
    for one in found:
        if isinstance(one, Exception):
            raise one
    return found  # type: ignore[return-value]


def test_a_row_says_who_said_it_and_to_what(clips: Clips) -> None:
    with ChatServer(reads) as server:
        [row] = captioned(server, clips([5]))
    [asked] = server.seen
    assert asked.path == "/v1/chat/completions"
    assert asked.body["model"] == "toy"
    assert (asked.body["max_tokens"], asked.body["temperature"]) == (512, 0)
    assert len(asked.pictures) == 2
    assert asked.prompt.startswith("These 2 pictures are frames of one video clip of 1.0 seconds")
    assert "{" not in asked.prompt
    assert row.caption == words(5)
    assert row.caption_by == "toy, toy-1 fp_7"
    assert (row.caption_model, row.caption_revision) == ("toy", "toy-1 fp_7")
    assert row.caption_prompt == "default"
    assert row.caption_prompt_sha256 == prompt_named("default").sha256
    assert (row.caption_prompt_tokens, row.caption_output_tokens) == (11, 5)
    assert row.caption_latency_s > 0
    assert row.caption_status == "ok"
    assert (row.window_starts, row.window_ends) == ((0,), (8,))
    assert (row.window_captions, row.window_statuses) == ((words(5),), ("ok",))


def test_each_window_is_asked_about_with_its_own_pictures(clips: Clips) -> None:
    rows = clips([1, 2, 3, 4, 5, 6], frames_each=8, per_clip=3)
    windows = {"window_frames": 8, "window_least": 4}
    with ChatServer(reads) as server:
        first, second = captioned(server, rows, **windows)
        [short] = captioned(server, rows[:1], whole="first", **windows)
    assert first.window_captions == (words(1), words(2), words(3))
    assert (second.window_starts, second.window_ends) == ((24, 32, 40), (32, 40, 48))
    assert second.caption == f"{words(4)} {words(5)} {words(6)}"
    assert second.caption_prompt_tokens == 33
    assert short.caption == words(1)
    assert short.window_captions == first.window_captions


def test_the_result_does_not_depend_on_company(clips: Clips) -> None:
    rows = clips(list(range(10, 18)))
    with ChatServer(reads) as server:
        together = captioned(server, rows)
        alone = [one for row in rows for one in captioned(server, [row])]
        backwards = captioned(server, rows[::-1])[::-1]
    texts = [words(n) for n in range(10, 18)]
    assert [row.caption for row in together] == texts
    assert [row.caption for row in alone] == texts
    assert [row.caption for row in backwards] == texts


def test_so_many_questions_are_in_flight_and_no_more(clips: Clips) -> None:
    def slow(asked: Asked) -> Reply:
        return said(read(asked.pictures[0]), after_s=0.15)

    rows = clips(list(range(6)), per_clip=2)
    with ChatServer(slow) as server:
        captioned(server, rows, at_once=4, window_frames=8, window_least=4)
    assert server.most_at_once == 4
    assert len(server.seen) == 6


def test_a_second_prompt_sees_the_pictures_and_the_first_answer(clips: Clips, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Better, please: {length_s} s.\n")

    def twice(asked: Asked) -> Reply:
        before = [m["content"] for m in asked.body["messages"] if m["role"] == "assistant"]
        return said(f"{read(asked.pictures[0])} {'again' if before else ''}")

    with ChatServer(twice) as server:
        [row] = captioned(server, clips([9]), refine=str(tmp_path / "mine.txt"))
    first, second = server.seen
    assert [m["role"] for m in second.body["messages"]] == ["user", "assistant", "user"]
    assert second.body["messages"][1]["content"] == words(9)
    assert second.prompt == "Better, please: 1.0 s."
    assert second.jpegs == first.jpegs
    assert row.caption == f"{words(9)} again"
    assert row.caption_prompt == "default mine"
    assert row.caption_prompt_sha256.split() == [
        prompt_named("default").sha256,
        prompt_named(str(tmp_path / "mine.txt")).sha256,
    ]
    assert row.caption_output_tokens == 10


def test_stills_of_the_strip_serve_where_they_are_large_enough(clips: Clips) -> None:
    small, large = clips([3], still_px=80), clips([3], still_px=160)
    with ChatServer(reads) as server:
        asked_small = captioned(server, small, picture_px=80)
        asked_large = captioned(server, small, picture_px=448)
        captioned(server, large, picture_px=448)
        captioned(server, large, picture_px=64)
    sizes = [asked.pictures[0].shape for asked in server.seen]
    assert sizes == [(45, 80, 3), (90, 160, 3), (90, 160, 3), (36, 64, 3)]
    assert asked_small[0].caption == asked_large[0].caption == words(3)
    strip = large[0].strip.read()
    from_source, from_strip = server.seen[1].jpegs, server.seen[2].jpegs
    assert all(jpeg in strip for jpeg in from_strip)
    assert not any(jpeg in strip for jpeg in from_source)


def test_pictures_of_the_source_are_those_of_the_window(clips: Clips) -> None:
    rows = clips([1, 2, 3, 4], frames_each=6, still_px=40)
    with ChatServer(reads) as server:
        found = captioned(server, rows, picture_fps=8.0)
    assert [row.caption for row in found] == [words(n) for n in (1, 2, 3, 4)]
    assert [len(asked.pictures) for asked in server.seen] == [6] * 4


def test_a_window_too_short_for_a_still_is_seen_at_the_source(clips: Clips) -> None:
    rows = clips([1, 2, 3], frames_each=4, fps=24)
    with ChatServer(reads) as server:
        assert [row.caption for row in captioned(server, rows)] == [words(1), words(2), words(3)]


def test_pictures_are_thinned_out_where_there_are_too_many(clips: Clips) -> None:
    with ChatServer(reads) as server:
        captioned(server, clips([1, 2, 3, 4], per_clip=4), pictures=4)
        [asked] = server.seen
    assert [read(picture) for picture in asked.pictures] == [words(n) for n in (1, 2, 3, 4)]


def test_a_source_that_changed_is_rejected(clips: Clips) -> None:
    row, *_ = clips([1, 2, 3], still_px=40)
    other, *_ = clips([4], frames_each=4, still_px=40)
    Path(row.uri).write_bytes(Path(other.uri).read_bytes())
    with ChatServer(reads) as server:
        stage = CaptionClip(model="toy", endpoint=server.url)
        [changed] = stage.annotate([row])
        Path(row.uri).unlink()
        [gone] = stage.annotate([row])
        assert server.seen == []
    assert isinstance(changed, Reject)
    assert "where the scan saw 8" in str(changed)
    assert isinstance(gone, Reject)


def test_a_clip_of_three_frames_is_rejected(clips: Clips) -> None:
    with ChatServer(reads) as server:
        [short] = CaptionClip(model="toy", endpoint=server.url).annotate(clips([1], frames_each=3))
        assert server.seen == []
    assert isinstance(short, Reject)
    assert str(short) == "the clip has 3 frames; a caption needs 4"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"whole": "last"}, "whole is 'last'"),
        ({"prompt": "defalt"}, "there is no prompt 'defalt'"),
        ({"endpoint": "localhost:8000"}, "no URL"),
        ({"endpoint": "http://me:secret@host/v1"}, "holds a key"),
        ({"key_env": "sk-0123"}, "name of an environment variable"),
        ({"options": "[1]"}, "no JSON object"),
        ({"tries": 0}, "more than nothing"),
        ({"picture_fps": 0.0}, "more than nothing"),
        ({"endpoint": "", "model": "./no/such/folder"}, "no such folder"),
    ],
)
def test_wrong_settings_are_told_while_planning(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ClipmillError, match=what) as told:
        CaptionClip(**{"model": "toy", "endpoint": "http://host/v1", **settings}).digest()
    assert "secret" not in str(told.value)
