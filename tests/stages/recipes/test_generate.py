"""clipmill generate: prompts become videos; what is blocked never reaches the model, and is on record."""

import json
from pathlib import Path

import pytest
from chat_client import is_probe
from chat_server import ChatServer, Reply, Request, completion
from small_models import save_small_autoregressive_model

from manifests import clips
from pipeline.cli import main
from stages.models_trained.sample_prompt import SamplePrompt

SAFE, BLOCKED, TURNED, DOWN = "two dogs on a beach", "a murder in a house", "a film about fish", "a cat"
LONG = "word " * 5000
CAPTIONS = {
    SAFE: "Two dogs run along a wide beach in the evening.",
    TURNED: "A film about fish that shows a massacre under water.",
    DOWN: "",
}


def reply(request: Request) -> Reply:
    prompt = request.prompt.rpartition("Request: ")[2]
    return completion("Yes." if is_probe(request) else CAPTIONS[prompt])


def test_each_prompt_has_an_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, store = save_small_autoregressive_model(tmp_path / "model"), str(tmp_path / "store")
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in (SAFE, BLOCKED, TURNED, DOWN, LONG)))
    command = ["generate", str(file), f"model={model}", f"store={store}", "--inline", "upsampler=toy"]
    command += ["video_check=off", "seed=3"]
    with ChatServer(reply) as server:
        assert main([*command, f"upsampler_endpoint={server.url}"]) == 0
        printed = capsys.readouterr().out
        sent = " ".join(request.prompt for request in server.requests)
        requests = len(server.requests)
        monkeypatch.setattr(SamplePrompt, "annotate", lambda *_: pytest.fail("a video is sampled again"))
        assert main([*command, f"upsampler_endpoint={server.url}"]) == 0
        assert len(server.requests) == requests
    assert BLOCKED not in sent  # no model sees what is blocked
    rows = {row["prompt"]: row for row in clips(store, of="list_prompts").to_pylist()}
    assert {prompt: row["outcome"] for prompt, row in rows.items()} == {
        SAFE: "kept",
        BLOCKED: "dropped",
        TURNED: "dropped",
        DOWN: "kept",
        LONG.strip(): "rejected",
    }
    assert rows[SAFE]["sampled_prompt"] == CAPTIONS[SAFE]
    assert (rows[DOWN]["sampled_prompt"], rows[DOWN]["upsample_status"]) == (DOWN, "original")
    assert (tmp_path / "store" / rows[SAFE]["video"]).is_file()
    assert rows[SAFE]["video"] in printed
    assert "'murder' at 2 to 8" in rows[BLOCKED]["prompt_check_reason"]
    assert "dropped: prompt blocked" in printed
    assert "massacre" in rows[TURNED]["upsampled_prompt_check_reason"]
    assert rows[TURNED]["sampled_prompt"] is None
    assert main(["explain", rows[BLOCKED]["id"], f"store={store}"]) == 0
    assert "murder" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_without_guardrails_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, store = save_small_autoregressive_model(tmp_path / "model"), tmp_path / "store"
    command = ["generate", BLOCKED, f"model={model}", f"store={store}", "--inline", "--no-guardrails"]
    assert main(command) == 0
    assert "no prompt and no video was checked" in capsys.readouterr().err
    [row] = clips(str(store), of="list_prompts").to_pylist()
    assert (row["outcome"], row["sampled_prompt"]) == ("kept", BLOCKED)
    assert '"guardrails": "false"' in "".join(file.read_text() for file in store.glob("runs/*/*.json"))


def test_wrong_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([str(tmp_path / "none.txt"), f"model={tmp_path}"], "cannot be read"),
        (["a dog", f"model={tmp_path}"], "no model here"),
        (["a dog", "model=m", "prompt=a cat"], "a prompt and the knob prompt"),
        (["a dog", "model=m", "upsampler_endpoint=http://a/v1"], "upsampler is not"),
    ):
        assert main(["generate", *words, f"store={tmp_path / 'store'}", "--inline"]) != 0
        assert message in capsys.readouterr().err
