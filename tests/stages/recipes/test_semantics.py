"""Questions, the fit of captions, and events in a recipe: the steps that they add, and a run with them."""

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer, Reply, Request, completion
from small_towers import save_towers

from manifests import ClipmillError
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Keep
from pipeline.cli import main
from pipeline.errors import RecipeError
from stages.captions.ask_questions import AskQuestions
from stages.captions.caption_events import CaptionEvents
from stages.recipes.captions import Captions
from stages.recipes.curate import curate

MODEL = {"caption_model": "m", "caption_endpoint": "http://host:8000/v1"}
QUESTIONS = "has_person: Is a person visible?\nplace: {question: Where is it, choices: [indoors, outdoors]}\n"


@pytest.fixture
def questions(tmp_path: Path) -> str:
    file = tmp_path / "questions.yaml"
    file.write_text(QUESTIONS)
    return str(file)


def test_the_knobs_add_steps_around_the_captions(questions: str, tmp_path: Path) -> None:
    towers = str(tmp_path / "towers")
    dag = curate(
        "x",
        captions=Captions(
            **MODEL,
            questions=questions,
            question_model="q",
            semantic_filter="has_person and place == 'indoors' and duration_s > 3",
            caption_similarity_model=towers,
            min_caption_similarity=0.2,
            events=True,
            event_duration_s=2.0,
        ),
    )
    expected = [
        "copy_of_another_clip",
        "ask_questions",
        "questions_refused",
        "semantic_filter",
        "caption_clip",
    ]
    expected += [
        "duplicate_caption",
        "measure_caption_similarity",
        "caption_does_not_fit",
        "caption_events",
        "cut_clip",
    ]
    assert [step for step in dag.nodes if step in expected] == expected
    assert dag.nodes["caption_does_not_fit"].work == Keep("caption_similarity > 0.2", "caption does not fit")
    ask, events = dag.nodes["ask_questions"].work, dag.nodes["caption_events"].work
    assert isinstance(ask, AskQuestions)
    assert (ask.model, ask.endpoint) == ("q", MODEL["caption_endpoint"])
    assert ask.questions == ("has_person: Is a person visible?", "place: Where is it | indoors | outdoors")
    assert isinstance(events, CaptionEvents)
    assert (events.model, events.event_duration_s) == ("m", 2.0)
    plain = curate("x", captions=Captions(**MODEL))
    assert not set(plain.nodes) & {"ask_questions", "caption_events", "measure_caption_similarity"}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"question_model": "q"}, "question_model is set, but questions is not"),
        ({"semantic_filter": "has_person"}, "semantic_filter is set, but questions is not"),
        ({"questions": "defects"}, "questions is set, but no model answers them"),
        ({"questions": "defects", "question_model": "q", "semantic_filter": "is_dog"}, "no column 'is_dog'"),
        ({"questions": "deffects", "question_model": "q"}, "no questions 'deffects'"),
        ({"min_caption_similarity": 0.2}, "caption_similarity_model is not"),
        ({"events": True}, "events is true, but no model"),
        ({"event_model": "m"}, "event_model is set, but events is not"),
        ({"caption_endpoint": "http://h/v1", "questions": "defects"}, "caption_endpoint is set, but"),
    ],
)
def test_knobs_that_do_not_go_together_are_errors(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ClipmillError, match=message) as error:
        curate("x", captions=Captions(**knobs))
    assert error.value.remedy
    assert isinstance(error.value, RecipeError) or "questions" in knobs


ANSWERS = {
    "dark": '{"has_person": true, "place": "indoors"}',
    "bright": "```\n{'has_person': no, 'place': outdoors}",
    "gray": "I see fog.",
}


def answer(request: Request) -> Reply:
    """Answer about the brightness of the images."""
    luma = np.mean([image.mean() for image in request.images])
    name = "dark" if luma < 90 else "bright" if luma > 150 else "gray"
    return completion(ANSWERS[name] if "Is a person" in request.prompt else f"A {name} scene.")


def _rows(store: FolderStore, step: str) -> list[dict[str, Any]]:
    folders = [name for name in store.names("") if name.rsplit("-", 2)[0] == step]
    parts = [read_part(store, f"{name}/{part_name(n)}") for name in folders for n in parts_of(store, name)]
    return [row for part in parts for row in part.to_pylist()]


def test_a_run_filters_by_answers_and_packs_answers_and_events(
    tmp_path: Path,
    questions: str,
    film: Callable[..., Path],
    moving: Callable[..., Iterator[np.ndarray]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for k, shift in enumerate((20, 150, 90)):
        frames = (p * 0.4 + shift for p in moving(k + 1, 72, step=(2, 1), size=(120, 200)))
        film((frame.astype(np.uint8) for frame in frames), f"films/{k}.mp4")
    knobs = {
        "footage": f"{tmp_path}/films", "store": f"{tmp_path}/store", "questions": questions,
        "question_model": "q", "semantic_filter": "has_person", "events": "true", "event_model": "e",
        "event_duration_s": 1, "caption_similarity_model": save_towers(tmp_path / "towers"),
        "min_sharpness": 0, "min_highlight_luma": 0, "max_overexposed_share": 1,
    }  # fmt: skip

    def run(**changed: Any) -> int:
        words = [f"{name}={value}" for name, value in (knobs | changed).items()]
        return main(["run", curate.__code__.co_filename, "--inline", "--quiet", *words])

    with ChatServer(answer) as server:
        run(caption_endpoint=server.url)
        models = [request.body["model"] for request in server.requests]
        assert models.count("q") == 3
        assert models.count("e") == 3, "one clip is kept, and has three spans"
        run(caption_endpoint=server.url, semantic_filter="place == 'indoors'")
        assert len(server.requests) == 6, "another filter asks nothing again"
    output = capsys.readouterr()
    assert "I see fog." in output.out + output.err
    store = FolderStore(tmp_path / "store")
    dropped = [row["value"] for row in _rows(store, "semantic_filter")]
    assert sorted(dropped) == ["has_person=false", "place=outdoors"], "the clip without answers is an error"
    [tar, *_] = sorted((tmp_path / "store").rglob("*.tar"))
    with tarfile.open(tar) as members:
        [name] = [name for name in members.getnames() if name.endswith(".json")]
        member = members.extractfile(name)
        assert member is not None
        metadata = json.load(member)
    assert metadata["answers"] == {"has_person": "yes", "place": "indoors"}
    assert -1 <= metadata["caption_similarity"] <= 1
    assert metadata["events"] == [{"start_s": 0.0, "end_s": 3.0, "text": "A dark scene."}]
    assert metadata["duration_s"] == 3.0
