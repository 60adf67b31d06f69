"""Captions of clips: which model writes them, and the rules that drop clips with bad captions."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, Share
from pipeline import Keep, Rows
from pipeline.errors import RecipeError
from stages.captions.caption_clip import CaptionClip
from stages.captions.compare_captions import CompareCaptions
from stages.captions.enhance_caption import EnhanceCaption
from stages.captions.measure_caption import MeasureCaption
from stages.recipes.semantics import (
    ModelPlace,
    Semantics,
    caption_events,
    filter_by_answers,
    measure_similarity,
)


@dataclass(frozen=True)
class Captions(Semantics):
    """The knobs of captions, with those of `Semantics`. A recipe's argument of this type stands for all.

    Without a model, captions are written from the measurements, and the rules on captions do not apply.

    Attributes:
        caption_model: Vision-language model that writes the captions: a folder, OWNER/NAME, or the name that
            the endpoint uses. Empty: captions are written from the measurements.
        caption_endpoint: URL of an OpenAI-compatible endpoint up to /v1, or several with one model, separated
            by blanks; or env:NAME to read them from an environment variable of the workers. Empty: the models
            run in the workers.
        caption_gpus: GPUs of one worker if the models run in the workers; below 1, workers share a GPU.
        caption_prompt: Prompt of the model: default, short, driving, robotics, or the path of a file.
        caption_refine: Second prompt, which sees the frames and the first answer: refine, or the path of a
            file. Empty: no second request.
        caption_enhancer: Text model, at the same place as caption_model, that rewrites the captions. Empty:
            captions are not rewritten.
        min_caption_words: Minimum number of words of a model's caption. Clips with shorter captions are
            dropped. Higher drops more.
        max_caption_words: Maximum number of words of a model's caption. Clips with longer captions are
            dropped. Higher keeps more.
        max_caption_repetition: Maximum share of repeated word trigrams in a model's caption, 0 to 1. Clips
            that reach it are dropped. Higher keeps more.
        max_caption_duplicates: Maximum number of other clips with nearly the same caption. Clips that reach
            it are dropped, because the caption is a stock phrase. Higher keeps more.
    """

    caption_model: str = ""
    caption_endpoint: str = ""
    caption_gpus: NonNegativeFloat = 0.0
    caption_prompt: str = "default"
    caption_refine: str = ""
    caption_enhancer: str = ""
    min_caption_words: NonNegativeInt = 5
    max_caption_words: NonNegativeInt = 1000
    max_caption_repetition: Share = 0.25
    max_caption_duplicates: NonNegativeInt = 25


DEFAULT_CAPTIONS = Captions()


def rules(captions: Captions) -> tuple[Keep, ...]:
    """The rules on a model's caption. Each names the defect for which it drops a clip."""
    return (
        Keep(f"caption_words >= {captions.min_caption_words}", "caption too short"),
        Keep(f"caption_words <= {captions.max_caption_words}", "caption too long"),
        Keep(f"caption_repetition < {captions.max_caption_repetition}", "repetitive caption"),
        Keep(f"caption_duplicates < {captions.max_caption_duplicates}", "duplicate caption"),
    )


def caption_clips(clips: Rows, captions: Captions) -> Rows:
    """Ask questions about the clips, caption them, and keep those that pass all rules.

    Without a model, clips keep the captions that they have.

    Raises:
        RecipeError: a knob needs another knob that is not set, such as an endpoint without a model.
        ClipmillError: the file of questions is wrong.
    """
    model, place = captions.caption_model, ModelPlace(captions.caption_endpoint, captions.caption_gpus)
    if captions.caption_enhancer and not model:
        raise RecipeError(
            "caption_enhancer is set, but caption_model is not", remedy="add caption_model=NAME"
        )
    if captions.caption_endpoint and not (model or captions.question_model or captions.event_model):
        raise RecipeError(
            "caption_endpoint is set, but caption_model is not", remedy="add caption_model=NAME"
        )
    rows = filter_by_answers(clips, captions, model, place)
    rows = _caption(rows, captions, place) if model else rows
    rows = measure_similarity(rows, captions, place)
    return caption_events(rows, captions, model, place)


def _caption(clips: Rows, captions: Captions, place: ModelPlace) -> Rows:
    """Caption the clips with a model and keep those that pass all rules."""
    caption = CaptionClip(
        model=captions.caption_model,
        endpoint=captions.caption_endpoint,
        prompt=captions.caption_prompt,
        refine_prompt=captions.caption_refine,
    )
    rows = clips.annotate(caption.on(gpus=place.gpus, batch=place.batch))
    rows = rows.keep("caption_status == 'ok'", because="caption cut off or refused")
    if captions.caption_enhancer:
        enhance = EnhanceCaption(model=captions.caption_enhancer, endpoint=captions.caption_endpoint)
        rows = rows.annotate(enhance.on(gpus=place.gpus, batch=place.batch))
        rows = rows.keep("enhanced_status == 'ok'", because="enhanced caption cut off or refused")
    rows = rows.annotate(MeasureCaption()).survey(CompareCaptions())
    for rule in rules(captions):
        rows = rows.keep(rule.where, because=rule.because)
    return rows
