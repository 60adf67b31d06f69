"""Events have the exact times of their frames, cover the clip, and describe what was seen in their span."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, Request, completion
from numbered_frames import number_text, read_number
from small_vlm import save_vlm

from manifests import ClipmillError
from stages.captions.caption_clip import ScannedClip
from stages.captions.caption_events import CaptionEvents, Events

Clips = Callable[..., list[ScannedClip]]


def read_images(request: Request) -> Reply:
    seen = ", ".join(dict.fromkeys(map(read_number, request.images)))
    return completion("I can't help with that." if "9 " in seen else seen)


def events_of(rows: list[ScannedClip], **settings: Any) -> list[Events]:
    with ChatServer(read_images) as server:
        stage = CaptionEvents(model="toy", endpoint=server.url, event_duration_s=1.0, **settings)
        stage.digest()
        found = list(stage.annotate(rows))
    assert all(isinstance(row, Events) for row in found), found
    return found  # type: ignore[return-value]


def test_events_have_the_times_of_their_frames_inside_the_clip(clips: Clips) -> None:
    rows = clips([1, 2, 2, 3, 4, 5, 6, 9], per_clip=4)  # 8 frames of each number at 8 fps: 1 s
    first, second = events_of(rows)
    assert first.event_captions == (number_text(1), number_text(2), number_text(3))
    assert first.event_starts_s == (0, 1, 3), "equal texts in a row are one event"
    assert first.event_ends_s == (1, 3, 4)
    assert second.event_starts_s == (0, 1, 2, 3), "times count from the start of the clip"
    assert second.event_ends_s[-1] == rows[1].end_s - rows[1].start_s == 4
    assert second.event_captions == (*(number_text(n) for n in (4, 5, 6)), "")
    assert second.event_statuses == ("ok", "ok", "ok", "refused")
    assert (first.events_by, first.events_prompt_tokens) == ("toy, toy-1 fp_7", 44)
    [alone] = events_of(rows[:1])
    assert replace(alone, events_latency_s=0) == replace(first, events_latency_s=0)


def test_events_cover_a_clip_of_any_length_without_gaps(clips: Clips) -> None:
    [row] = clips(range(10, 14), per_clip=4)
    for frames in (1, 3, 11, 12, 13, 29, 32):
        part = replace(row, end_frame=frames, end_pts=row.end_pts * frames // 32, end_s=frames / 8)
        [events] = events_of([part])
        spans = list(zip(events.event_starts_s, events.event_ends_s, strict=True))
        assert spans[0][0] == 0
        assert spans[-1][1] == frames / 8
        assert all(one[1] == two[0] for one, two in pairwise(spans))
        assert all(start < end for start, end in spans)
        assert len(spans) == max(1, (frames + 4) // 8)


def test_the_prompt_says_where_in_the_clip_the_span_is(clips: Clips, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("{event_start_s} to {event_end_s} of {clip_length_s}, {pictures}")
    with ChatServer(read_images) as server:
        stage = CaptionEvents(
            model="toy", endpoint=server.url, event_duration_s=1.0, prompt=str(tmp_path / "own.txt")
        )
        list(stage.annotate(clips([1, 2, 3, 4], per_clip=2)[1:]))
    assert sorted(request.prompt for request in server.requests) == [
        "0.0 to 1.0 of 2.0, 2",
        "1.0 to 2.0 of 2.0, 2",
    ]
    (tmp_path / "own.txt").write_text("{questions}")
    with pytest.raises(ClipmillError, match="no such fact"):
        CaptionEvents(model="toy", endpoint="http://h/v1", prompt=str(tmp_path / "own.txt")).digest()


def test_a_model_in_this_process_captions_events(clips: Clips, tmp_path: Path) -> None:
    stage = CaptionEvents(model=str(save_vlm(tmp_path / "vlm")), max_tokens=2, event_duration_s=1.0)
    [row] = stage.annotate(clips([1, 2], per_clip=2))
    assert isinstance(row, Events), row
    assert set(row.event_statuses) == {"truncated"}
    assert row.event_ends_s[-1] == 2
