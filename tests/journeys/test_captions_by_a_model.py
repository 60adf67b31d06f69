"""From drawn films to shards with a model's captions: paused, resumed, rewritten and filtered by rules."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply, Request, closed_port, completion

from pipeline.cli import main
from stages.captions.caption_clip import CaptionClip
from stages.footage.draw import draw

pytestmark = pytest.mark.slow

RECIPE = str(Path(__file__).parents[2] / "stages" / "recipes" / "curate.py")
FILMS = ("cuts", "rotated")


def caption_of(request: Request) -> str:
    """Return a sentence that only these images have."""
    name = hashlib.sha256(b"".join(request.jpegs)).hexdigest()[:12]
    return f"A clip that shows the word {name} and nothing else at all"


def reply(request: Request) -> Reply:
    if not request.jpegs:  # a caption is rewritten
        return completion(f"{request.prompt.rpartition('Description: ')[2]}, written well")
    return completion(caption_of(request))


def run(films: Path, store: Path, url: str, *words: str) -> int:
    arguments = ("caption_model=toy", f"caption_endpoint={url}", "videos_per_part=2", "shard_mb=1", *words)
    return main(["run", RECIPE, f"footage={films}", f"store={store}", "--inline", *arguments])


def packed(store: Path) -> dict[str, dict[str, bytes]]:
    """Return the members of each clip, by suffix."""
    found: dict[str, dict[str, bytes]] = {}
    for path in store.glob("pack_shards-*/shards/**/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                found.setdefault(key, {})[suffix] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def test_captions_of_a_model_reach_the_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.models.chat.endpoint._MIN_BACKOFF_S", 0.01)
    monkeypatch.setitem(CaptionClip.__init__.__kwdefaults__, "patience_s", 0.1)
    draw(tmp_path / "films", films=FILMS)
    store = tmp_path / "store"
    assert run(tmp_path / "films", store, f"http://127.0.0.1:{closed_port()}/v1") == 1
    output = capsys.readouterr().err
    assert "step caption_clip waits: the endpoint of toy does not answer" in output
    assert "run again when the service is available: no row was dropped" in output
    assert packed(store) == {}
    with ChatServer(reply) as server:
        assert run(tmp_path / "films", store, server.url) == 0
        first, count = packed(store), len(server.requests)
        assert len(first) >= 2
        assert {s["txt"].decode() for s in first.values()} <= {caption_of(one) for one in server.requests}
        assert len({s["txt"] for s in first.values()}) == len(first)
        facts = [json.loads(sample["json"]) for sample in first.values()]
        assert {one["caption_by"] for one in facts} == {"toy, toy-1 fp_7"}
        assert {one["caption_status"] for one in facts} == {"ok"}
        assert run(tmp_path / "films", store, server.url, "max_caption_words=12") == 0
        assert len(server.requests) == count, "a rule on captions sends no new request"
        assert run(tmp_path / "films", tmp_path / "again", server.url, "caption_enhancer=words") == 0
    enhanced = packed(tmp_path / "again")
    assert enhanced.keys() == first.keys()
    for key, sample in enhanced.items():
        assert sample["txt"] == first[key]["txt"] + b", written well"
        assert json.loads(sample["json"])["enhanced_by"] == "words, toy-1 fp_7"
    assert main(["manifest", "check", str(store)]) == 0
    assert main(["manifest", "check", str(tmp_path / "again")]) == 0
