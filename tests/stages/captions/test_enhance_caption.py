"""A caption is written again by a model that sees the caption alone, and stands beside the first."""

from pathlib import Path

import pytest
from chat_server import Asked, ChatServer, Reply, said
from small_vlm import save_vlm

from manifests import ClipmillError
from pipeline import Unavailable
from stages.captions.enhance_caption import EnhanceCaption, Enhanced, Told
from stages.captions.prompt import prompt_named


def again(asked: Asked) -> Reply:
    """Say the caption's last word first."""
    caption = asked.prompt.rpartition("Description: ")[2]
    return said(f"{caption.split()[-1]}, {caption}", after_s=(asked.number % 4) * 0.03)


def test_each_caption_is_written_again_whatever_is_in_it() -> None:
    texts = [f"a {{caption}} of clip {n}" for n in range(12)] + ["שלום 🦮 world", "", "x " * 50_000 + "end"]
    with ChatServer(again) as server:
        stage = EnhanceCaption(model="words", endpoint=server.url, at_once=5)
        found = list(stage.annotate([Told(caption=text) for text in texts]))
    assert all(isinstance(row, Enhanced) for row in found)
    assert [row.enhanced_caption for row in found] == [f"{t.split()[-1]}, {t}" if t else "" for t in texts]
    assert len(server.seen) == len(texts) - 1
    assert not any(asked.jpegs for asked in server.seen)
    assert found[0].enhanced_by == "words, toy-1 fp_7"
    assert found[0].enhanced_prompt_sha256 == prompt_named("enhance").sha256
    assert (found[0].enhanced_prompt_tokens, found[0].enhanced_output_tokens) == (11, 5)


def test_a_model_in_this_process_does_it_too(tmp_path: Path) -> None:
    stage = EnhanceCaption(model=str(save_vlm(tmp_path / "vlm", "qwen3_vl")), max_tokens=4)
    [row] = stage.annotate([Told(caption="word3 word4")])
    assert isinstance(row, Enhanced), row
    assert row.enhanced_caption
    assert row.enhanced_status == "truncated"


def test_one_that_is_away_puts_rows_back() -> None:
    with ChatServer(lambda _: Reply(status=401)) as server:
        found = list(EnhanceCaption(model="words", endpoint=server.url).annotate([Told(caption="a")] * 3))
    assert {type(row) for row in found} == {Unavailable}


def test_the_prompt_has_a_place_for_the_caption(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Write it well.")
    with pytest.raises(ClipmillError, match="no place"):
        EnhanceCaption(model="m", endpoint="http://h/v1", prompt=str(tmp_path / "mine.txt")).digest()
    kept = EnhanceCaption(model="m", endpoint="http://h/v1").digest()
    (tmp_path / "mine.txt").write_text("Write well: {caption}")
    assert (
        EnhanceCaption(model="m", endpoint="http://h/v1", prompt=str(tmp_path / "mine.txt")).digest() != kept
    )
