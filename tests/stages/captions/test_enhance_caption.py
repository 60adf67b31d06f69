"""A model that sees only the caption rewrites it; the first caption stays."""

from pathlib import Path

import pytest
from chat_server import ChatServer, Reply, Request, completion
from small_vlm import save_vlm

from manifests import ClipmillError
from pipeline import Unavailable
from stages.captions.enhance_caption import CaptionedClip, EnhanceCaption, EnhancedCaption
from stages.captions.requests.window_request import PROMPTS
from stages.models.chat.prompt import load_prompt


def rewrite(request: Request) -> Reply:
    """Answer with the caption's last word before the caption."""
    caption = request.prompt.rpartition("Description: ")[2]
    return completion(f"{caption.split()[-1]}, {caption}", delay_s=(request.number % 4) * 0.03)


def test_each_caption_is_rewritten_whatever_it_contains() -> None:
    texts = [f"a {{caption}} of clip {n}" for n in range(12)] + ["שלום 🦮 world", "", "x " * 50_000 + "end"]
    with ChatServer(rewrite) as server:
        stage = EnhanceCaption(model="words", endpoint=server.url, max_concurrent_requests=5)
        rows = list(stage.annotate([CaptionedClip(caption=text) for text in texts]))
    assert all(isinstance(row, EnhancedCaption) for row in rows)
    assert [row.enhanced_caption for row in rows] == [f"{t.split()[-1]}, {t}" if t else "" for t in texts]
    assert len(server.requests) == len(texts) - 1
    assert not any(request.jpegs for request in server.requests)
    assert rows[0].enhanced_by == "words, toy-1 fp_7"
    assert rows[0].enhanced_prompt_sha256 == load_prompt("enhance", PROMPTS).sha256
    assert (rows[0].enhanced_prompt_tokens, rows[0].enhanced_output_tokens) == (11, 5)


def test_a_model_in_this_process_rewrites_captions(tmp_path: Path) -> None:
    stage = EnhanceCaption(model=str(save_vlm(tmp_path / "vlm", "qwen3_vl")), max_tokens=4)
    [row] = stage.annotate([CaptionedClip(caption="word3 word4")])
    assert isinstance(row, EnhancedCaption), row
    assert row.enhanced_caption
    assert row.enhanced_status == "truncated"


def test_an_unavailable_model_requeues_the_rows() -> None:
    with ChatServer(lambda _: Reply(status=401)) as server:
        found = list(
            EnhanceCaption(model="words", endpoint=server.url).annotate([CaptionedClip(caption="a")] * 3)
        )
    assert {type(row) for row in found} == {Unavailable}


def test_the_prompt_needs_a_placeholder_for_the_caption(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Write it well.")
    with pytest.raises(ClipmillError, match="no placeholder"):
        EnhanceCaption(model="m", endpoint="http://h/v1", prompt=str(tmp_path / "mine.txt")).digest()
    default = EnhanceCaption(model="m", endpoint="http://h/v1").digest()
    (tmp_path / "mine.txt").write_text("Write well: {caption}")
    assert (
        EnhanceCaption(model="m", endpoint="http://h/v1", prompt=str(tmp_path / "mine.txt")).digest()
        != default
    )
