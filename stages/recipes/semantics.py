"""What a clip shows, as models see it: questions, the fit of its caption, and its events."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from manifests import NonNegativeFloat, PositiveFloat, Range
from pipeline import Rows
from pipeline.errors import RecipeError
from stages.captions.ask_questions import AskQuestions
from stages.captions.caption_events import CaptionEvents
from stages.captions.measure_caption_similarity import MeasureCaptionSimilarity
from stages.captions.questions.question import read_questions


@dataclass(frozen=True)
class Semantics:
    """The knobs of questions about clips, of the fit of captions, and of events. `Captions` has all of them.

    Attributes:
        questions: YAML file of questions about each clip, with `name: question` on each line, or defects for
            the built-in list. Each answer is a column with that name. Empty: no questions.
        question_model: Vision-language model that answers the questions, at the same place as caption_model.
            Empty: caption_model.
        semantic_filter: Predicate over the answers and all other columns, such as "has_person and not
            is_screen_recording". Clips for which it is false are dropped. A clip with a missing answer is
            rejected. Empty: no clip is dropped.
        caption_similarity_model: Model of open_clip that compares each caption with the stills of its clip: a
            folder, ARCHITECTURE:FILE, ARCHITECTURE:TAG or hf-hub:OWNER/NAME. Empty: they are not compared.
        min_caption_similarity: Minimum cosine similarity of caption and stills, -1 to 1, no unit. Clips that
            do not exceed it are dropped. Higher drops more; -1 drops none. Models differ: look at the values
            of your clips first.
        events: Whether each span of a clip gets a caption with its times: event_starts_s, event_ends_s and
            event_captions, and `events` in the json of the shards.
        event_model: Vision-language model that captions events, at the same place as caption_model. Empty:
            caption_model.
        event_duration_s: Duration of an event in seconds. Higher makes fewer, longer events and costs less.
    """

    questions: str = ""
    question_model: str = ""
    semantic_filter: str = ""
    caption_similarity_model: str = ""
    min_caption_similarity: Annotated[float, Range(-1, 1)] = -1.0
    events: bool = False
    event_model: str = ""
    event_duration_s: PositiveFloat = CaptionEvents.event_duration_s


class ModelPlace(NamedTuple):
    """Where a model runs: at an endpoint, or in workers that have `gpus` GPUs each."""

    endpoint: str
    gpus: NonNegativeFloat

    @property
    def batch(self) -> int:
        """Clips that a worker works on at the same time. A model in a worker processes one at a time."""
        return 32 if self.endpoint else 1


def filter_by_answers(clips: Rows, semantics: Semantics, model: str, place: ModelPlace) -> Rows:
    """Ask the questions about each clip, and keep the clips that pass `semantic_filter`.

    Args:
        model: The model of captions, which answers if `question_model` is empty.

    Raises:
        RecipeError: a knob needs another knob that is not set.
        ClipmillError: the file of questions is wrong.
    """
    if not semantics.questions:
        for knob in ("question_model", "semantic_filter"):
            _require(not getattr(semantics, knob), f"{knob} is set, but questions is not", "questions=FILE")
        return clips
    name = semantics.question_model or model
    _require(bool(name), "questions is set, but no model answers them", "question_model=NAME")
    ask = AskQuestions(model=name, endpoint=place.endpoint, questions=read_questions(semantics.questions))
    rows = clips.annotate(ask.on(gpus=place.gpus, batch=place.batch))
    if not semantics.semantic_filter:
        return rows
    rows = rows.keep("answers_status == 'ok'", because="questions refused")
    return rows.keep(semantics.semantic_filter, because="semantic filter")


def measure_similarity(clips: Rows, semantics: Semantics, place: ModelPlace) -> Rows:
    """Compare captions and stills, and keep the clips whose captions fit.

    Raises:
        RecipeError: a knob needs another knob that is not set.
    """
    has_limit = semantics.min_caption_similarity > -1
    if not semantics.caption_similarity_model:
        problem = "min_caption_similarity is set, but caption_similarity_model is not"
        _require(not has_limit, problem, "caption_similarity_model=NAME")
        return clips
    measure = MeasureCaptionSimilarity(model=semantics.caption_similarity_model)
    rows = clips.annotate(measure.on(gpus=0.0 if place.endpoint else place.gpus))
    if not has_limit:
        return rows
    rule = f"caption_similarity > {semantics.min_caption_similarity}"
    return rows.keep(rule, because="caption does not fit")


def caption_events(clips: Rows, semantics: Semantics, model: str, place: ModelPlace) -> Rows:
    """Caption the events of each clip.

    Args:
        model: The model of captions, which captions events if `event_model` is empty.

    Raises:
        RecipeError: a knob needs another knob that is not set.
    """
    if not semantics.events:
        _require(not semantics.event_model, "event_model is set, but events is not", "events=true")
        return clips
    name = semantics.event_model or model
    _require(bool(name), "events is true, but no model captions them", "event_model=NAME")
    stage = CaptionEvents(model=name, endpoint=place.endpoint, event_duration_s=semantics.event_duration_s)
    return clips.annotate(stage.on(gpus=place.gpus, batch=place.batch))


def _require(is_met: bool, problem: str, remedy: str) -> None:
    """Raise an error about knobs that do not go together."""
    if not is_met:
        raise RecipeError(problem, remedy=f"add {remedy}")
