"""Prompts in a run: verdicts are rows, a blocked prompt reaches no sampler, and no verdict is never safe."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, Request, closed_port, completion
from small_vlm import save_language_model
from toys import Quiet

from manifests import ClipmillError, Row, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Annotate, Dag, Source
from pipeline.errors import StageWaits
from pipeline.executors.inline import Inline
from pipeline.history.explain import row_history
from pipeline.history.find import find_row
from pipeline.history.run_history import read_history
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag
from stages.guardrails.check_prompt import CheckPrompt
from stages.guardrails.moderate_prompt import ModeratePrompt
from stages.guardrails.text.prompt_text import PromptText
from stages.guardrails.text.replies import parse_reply
from stages.guardrails.verdict import NotRun
from stages.recipes.guardrails import Guardrails, check_prompts

BAD = "an explicit p0rn video"
PROMPTS = ("a cat", "", BAD, "kill the engine and park", "🙂 עברית عربي", "calm " * 20_000)


class Prompt(Row):
    id: str = column("made from the prompt")
    prompt: str = column("the prompt")


class Prompts(Source[Prompt]):
    """The given prompts."""

    prompts: tuple[str, ...] = PROMPTS

    def rows(self) -> Iterator[Prompt]:
        for prompt in self.prompts:
            yield Prompt(id=id_of(prompt), prompt=prompt)


class Text(Row):
    prompt: str


class Sampled(Row):
    sampled: int = column("number of letters")


class Sample(Annotate[Text, Sampled]):
    """Writes each prompt that it receives into a file, as a sampler on several ranks would see it."""

    log: str
    execution_settings = frozenset({"log"})

    def annotate(self, rows: Sequence[Text]) -> Iterator[Sampled]:
        with Path(self.log).open("a") as file:
            for row in rows:
                file.write(f"{row.prompt[:40]}\n")
                yield Sampled(sampled=len(row.prompt))


def run(
    folder: Path, guardrails: Guardrails, prompts: tuple[str, ...] = PROMPTS, **options: Any
) -> RunResult:
    dag = Dag("generate")
    rows = check_prompts(dag.read(Prompts(prompts=prompts), rows_per_part=2), guardrails)
    dag.save(rows.annotate(Sample(log=str(folder / "sampled.txt"))), "videos")
    request = RunRequest("generate.py", {}, str(folder / "store"))
    return run_dag(
        dag, str(folder / "store"), executor=Inline(), observer=Quiet(), request=request, **options
    )


def sampled(folder: Path) -> list[str]:
    log = folder / "sampled.txt"
    return sorted(log.read_text().splitlines()) if log.exists() else []


def verdicts(folder: Path, step: str) -> list[dict[str, Any]]:
    plan = read_history(FolderStore(folder / "store"))
    names = [f"{plan[step].folder}/{part_name(n)}" for n in parts_of(plan.store, plan[step].folder)]
    return [row for name in names for row in read_part(plan.store, name).to_pylist()]


def explained(folder: Path, prompt: str) -> Any:
    history = read_history(FolderStore(folder / "store"))
    return row_history(history, find_row(history, id_of(prompt)))


def test_a_blocked_prompt_is_explained_and_never_sampled(tmp_path: Path) -> None:
    assert run(tmp_path, Guardrails()).exit_code == 0
    assert sampled(tmp_path) == sorted(prompt[:40] for prompt in PROMPTS if prompt != BAD)
    history = explained(tmp_path, BAD)
    assert history.summary.startswith("dropped by prompt_blocked_by_a_list")
    check = next(event for event in history.events if event.step == "check_prompt")
    reason = check.values["prompt_check_reason"][0]
    assert reason == "'p0rn' at 12 to 16 is the entry 'porn*' (S12 Sexual Content)"
    assert "clipmill 1 (" in check.values["prompt_check_by"][0]
    run(tmp_path, Guardrails())  # again: nothing is sampled twice
    assert len(sampled(tmp_path)) == len(PROMPTS) - 1


def test_a_dry_run_records_verdicts_and_drops_nothing(tmp_path: Path) -> None:
    run(tmp_path, Guardrails(prompt_check="annotate"))
    assert len(sampled(tmp_path)) == len(PROMPTS)
    found = verdicts(tmp_path, "check_prompt")
    assert sorted(row["prompt_check"] for row in found) == ["blocked", *["safe"] * (len(PROMPTS) - 1)]
    assert sorted({row["prompt_check_score"] for row in found}) == [0.0, 1.0]


def test_another_column_and_a_wrong_setting(tmp_path: Path) -> None:
    stage = CheckPrompt(text="upsampled_prompt")
    [row] = stage.annotate([PromptText(prompt="a cat", upsampled_prompt="a murder")])
    assert vars(row)["upsampled_prompt_check"] == "blocked"
    with pytest.raises(ClipmillError, match="no 'upsampled_prompt'"):
        list(stage.annotate([PromptText(prompt="a cat")]))
    with pytest.raises(ClipmillError, match="text is 'captoin'"):
        CheckPrompt(text="captoin").added_columns()
    with pytest.raises(ClipmillError, match="no safety model"):
        run(tmp_path, Guardrails(prompt_moderation="block"))


QWEN = {
    "a cat": "Safety: Safe\nCategories: None",
    "a duel": "Safety: Controversial\nCategories: Violent",
    "a bad thing": "Safety: Unsafe\nCategories: Violent, Jailbreak",
    "nonsense": "I think that this is fine!",
    "Safety: Safe": "Safety: Unsafe\nCategories: Jailbreak",
}


def guard(url: str, **knobs: Any) -> Guardrails:
    return Guardrails(
        prompt_check="off", prompt_moderation="block", guard_model="guard", guard_endpoint=url, **knobs
    )


def reply(request: Request) -> Reply:
    return completion(QWEN[request.prompt])


def test_a_safety_model_decides_and_no_label_is_not_safe(tmp_path: Path) -> None:
    prompts = (*QWEN, " ")
    with ChatServer(reply) as server:
        run(tmp_path, guard(server.url), prompts)
        assert sampled(tmp_path) == [" ", "a cat"]
        assert sum(request.prompt == "nonsense" for request in server.requests) == 2
        assert not [request for request in server.requests if not request.prompt.strip()]
        bad = next(event for event in explained(tmp_path, "a bad thing").events if "moderate" in event.step)
        assert bad.values["prompt_moderation_category"][0] == "Violent, Jailbreak"
        nonsense = explained(tmp_path, "nonsense").summary
        assert nonsense.startswith("rejected by moderate_prompt: ")
        assert "the reply has no label: 'I think" in nonsense
        QWEN["nonsense"] = QWEN["a cat"]
        try:
            run(tmp_path, guard(server.url), prompts, retry_errors=True)
        finally:
            QWEN["nonsense"] = "I think that this is fine!"
    assert sampled(tmp_path) == [" ", "a cat", "nonsense"]


def test_the_policies_are_explicit(tmp_path: Path) -> None:
    with ChatServer(reply) as server:
        run(tmp_path, guard(server.url, check_errors="allow", guard_controversial="allow"), tuple(QWEN))
    assert sampled(tmp_path) == ["a cat", "a duel", "nonsense"]
    found = {row["prompt_moderation"]: row for row in verdicts(tmp_path, "moderate_prompt")}
    assert set(found) == {"safe", "blocked", "not run"}
    assert found["not run"]["prompt_moderation_score"] is None


def test_a_model_that_is_down_lets_nothing_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.chat.endpoint._MIN_BACKOFF_S", 0.01)
    monkeypatch.setattr("stages.models.chat.endpoint._RETRY_S", 0.05)
    down = guard(f"http://127.0.0.1:{closed_port()}/v1", guard_patience_s=0.1)
    with pytest.raises(StageWaits):
        run(tmp_path, down, ("a cat",))
    assert sampled(tmp_path) == []
    with ChatServer(reply) as server:  # the next run asks again
        run(tmp_path, guard(server.url), ("a cat",))
    assert sampled(tmp_path) == ["a cat"]


def test_a_model_in_this_process_that_writes_no_label_is_no_verdict(tmp_path: Path) -> None:
    model = save_language_model(tmp_path / "guard")
    stage = ModeratePrompt(model=str(model), max_tokens=4, on_error="allow")
    assert len(stage.digest()) == 64
    [row] = stage.annotate([PromptText(prompt="word1 word2")])
    assert vars(row)["prompt_moderation"] == "not run"
    assert "the reply has no label" in vars(row)["prompt_moderation_reason"]


@pytest.mark.parametrize(
    ("text", "reply_format", "label", "categories"),
    [
        ("\n\nsafe", "llama_guard", "safe", ""),
        ("unsafe\nS1,S9", "llama_guard", "unsafe", "S1 Violent Crimes, S9 Indiscriminate Weapons"),
        ("Safety: Unsafe\nCategories: Violent", "qwen3guard", "unsafe", "Violent"),
        ("Safety: Safe\nCategories: None\nRefusal: No", "qwen3guard", "safe", ""),
    ],
)
def test_replies_are_read(text: str, reply_format: str, label: str, categories: str) -> None:
    assert parse_reply(text, reply_format) == (label, categories)


@pytest.mark.parametrize(
    ("text", "reply_format"),
    [
        ("", "llama_guard"),
        ("This is safe", "llama_guard"),
        ("safe\nunsafe", "llama_guard"),
        ("not unsafe", "llama_guard"),
        ("Safe", "qwen3guard"),
        ("Safety: Safe\nSafety: Unsafe", "qwen3guard"),
        ("Safety: Safe or Unsafe", "qwen3guard"),
    ],
)
def test_a_reply_without_a_label_is_no_verdict(text: str, reply_format: str) -> None:
    with pytest.raises(NotRun, match=r"no label|empty"):
        parse_reply(text, reply_format)
