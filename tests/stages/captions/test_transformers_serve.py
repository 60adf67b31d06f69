"""A real server with a real model: `transformers serve` and a small Qwen2.5-VL that the test makes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from chat_server import closed_port
from small_vlm import save_vlm

from stages.captions.caption_clip import Caption, CaptionClip, ScannedClip
from stages.captions.enhance_caption import CaptionedClip, EnhanceCaption, EnhancedCaption

pytest.importorskip("fastapi", reason="transformers serve needs `pip install transformers[serving]`")
pytest.importorskip("openai", reason="transformers serve needs `pip install transformers[serving]`")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_vlm(tmp_path_factory.mktemp("vlm") / "small", "qwen2_5_vl"))


@pytest.fixture(scope="module")
def url(folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the server and return its URL when it answers."""
    port = closed_port()
    program = Path(sys.executable).with_name("transformers")
    words = [str(program), "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    with log.open("wb") as out:
        quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        server = subprocess.Popen([*words, "--dtype", "float32"], env=quiet, stdout=out, stderr=out)
        try:
            for _ in range(600):
                assert server.poll() is None, log.read_text()
                try:
                    if httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                        break
                except httpx2.TransportError:
                    pass
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(20)


def test_the_server_gives_the_same_captions_as_the_model_in_this_process(
    url: str, folder: str, clips: Callable[..., list[ScannedClip]]
) -> None:
    rows = clips([1, 2, 3, 4, 5, 6])
    here = list(CaptionClip(model=folder, max_tokens=8, refine_prompt="refine").annotate(rows))
    stage = CaptionClip(
        model=folder, endpoint=url, max_tokens=8, refine_prompt="refine", max_concurrent_requests=4
    )
    there = list(stage.annotate(rows))
    assert [row for row in (*here, *there) if not isinstance(row, Caption)] == []
    assert [row.caption for row in there] == [row.caption for row in here]
    assert len({row.caption for row in there}) > 2
    assert [row.caption_status for row in there] == [row.caption_status for row in here]
    assert [row.caption_prompt_tokens for row in there] == [row.caption_prompt_tokens for row in here]
    assert [row.caption_output_tokens for row in there] == [row.caption_output_tokens for row in here]


def test_the_server_rewrites_a_caption(url: str, folder: str) -> None:
    [row] = EnhanceCaption(model=folder, endpoint=url, max_tokens=4).annotate(
        [CaptionedClip(caption="word1 word2")]
    )
    assert isinstance(row, EnhancedCaption), row
    assert row.enhanced_caption
