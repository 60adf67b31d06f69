"""From drawn films to shards with captions by a model: asked, written again, kept by rules, resumed."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply, RunRequest, closed_port, said

from pipeline.cli import main
from stages.captions.caption_clip import CaptionClip
from stages.footage.draw import draw

pytestmark = pytest.mark.slow

RECIPE = str(Path(__file__).parents[2] / "stages" / "recipes" / "curate.py")
FILMS = ("cuts", "rotated")


def seen(asked: RunRequest) -> str:
    """A sentence that only these pictures can have."""
    name = hashlib.sha256(b"".join(asked.jpegs)).hexdigest()[:12]
    return f"A clip that is told by the word {name} and by nothing else at all"


def reply(asked: RunRequest) -> Reply:
    if not asked.jpegs:  # a caption is written again
        return said(f"{asked.prompt.rpartition('Description: ')[2]}, written well")
    return said(seen(asked))


def run(films: Path, store: Path, url: str, *words: str) -> int:
    asked = ("caption_model=toy", f"caption_endpoint={url}", "videos_per_part=2", "shard_mb=1", *words)
    return main(["run", RECIPE, f"footage={films}", f"store={store}", "--inline", *asked])


def packed(store: Path) -> dict[str, dict[str, bytes]]:
    """The members of each clip, by suffix."""
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
    monkeypatch.setattr("stages.captions.endpoint._FIRST_S", 0.01)
    monkeypatch.setitem(CaptionClip.__init__.__kwdefaults__, "patience_s", 0.1)
    draw(tmp_path / "films", films=FILMS)
    store = tmp_path / "store"
    assert run(tmp_path / "films", store, f"http://127.0.0.1:{closed_port()}/v1") == 1
    told = capsys.readouterr().err
    assert "step caption_clip waits: the endpoint of toy does not answer" in told
    assert "run again when it is back: nothing was dropped" in told
    assert packed(store) == {}
    with ChatServer(reply) as server:
        assert run(tmp_path / "films", store, server.url) == 0
        first, asked = packed(store), len(server.seen)
        assert len(first) >= 2
        assert {s["txt"].decode() for s in first.values()} <= {seen(one) for one in server.seen}
        assert len({s["txt"] for s in first.values()}) == len(first)
        facts = [json.loads(sample["json"]) for sample in first.values()]
        assert {one["caption_by"] for one in facts} == {"toy, toy-1 fp_7"}
        assert {one["caption_status"] for one in facts} == {"ok"}
        assert run(tmp_path / "films", store, server.url, "max_caption_words=12") == 0
        assert len(server.seen) == asked, "a rule on captions asks nobody again"
        assert run(tmp_path / "films", tmp_path / "again", server.url, "caption_enhancer=words") == 0
    enhanced = packed(tmp_path / "again")
    assert enhanced.keys() == first.keys()
    for key, sample in enhanced.items():
        assert sample["txt"] == first[key]["txt"] + b", written well"
        assert json.loads(sample["json"])["enhanced_by"] == "words, toy-1 fp_7"
    assert main(["manifest", "check", str(store)]) == 0
    assert main(["manifest", "check", str(tmp_path / "again")]) == 0
