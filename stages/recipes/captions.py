"""Who says what the clips show, and which of a model's captions are kept."""

from dataclasses import dataclass

from pipeline import Keep, Rows
from pipeline.errors import RecipeError
from stages.captions.caption_clip import CaptionClip
from stages.captions.compare_captions import CompareCaptions
from stages.captions.enhance_caption import EnhanceCaption
from stages.captions.measure_caption import MeasureCaption


@dataclass(frozen=True)
class Captions:
    """The knobs of captions. An argument of this type stands for all of them.

    Without a model, captions are made of what was measured, and none is dropped.

    Args:
        caption_model: a vision-language model: a folder, OWNER/NAME, or what the endpoint calls it.
        caption_endpoint: URL of an OpenAI-compatible endpoint up to /v1, or env:NAME; empty: runs here.
        caption_gpus: devices of one worker, where the model runs here.
        caption_prompt: default, short, driving, robotics, or a file.
        caption_refine: a second prompt, which sees the first answer: refine, or a file; empty: none.
        caption_enhancer: a text model at the same place that writes captions again; empty: none.
        min_caption_words: captions of fewer words are dropped.
        max_caption_words: captions of more words are dropped.
        max_caption_repetition: share of repeated trigrams of words from which on a caption is dropped.
        max_caption_duplicates: clips with nearly the same caption from which on it is dropped, as a max_caption_duplicates phrase.
    """

    caption_model: str = ""
    caption_endpoint: str = ""
    caption_gpus: float = 0.0
    caption_prompt: str = "default"
    caption_refine: str = ""
    caption_enhancer: str = ""
    min_caption_words: int = 5
    max_caption_words: int = 1000
    max_caption_repetition: float = 0.25
    max_caption_duplicates: int = 25


DEFAULT_CAPTIONS = Captions()


def rules(captions: Captions) -> tuple[Keep, ...]:
    """What must hold of a model's caption, and the name of what is wrong where it does not."""
    return (
        Keep(f"caption_words >= {captions.min_caption_words}", "caption too short"),
        Keep(f"caption_words <= {captions.max_caption_words}", "caption too long"),
        Keep(f"caption_repetition < {captions.max_caption_repetition}", "caption rambles"),
        Keep(f"caption_duplicates < {captions.max_caption_duplicates}", "max_caption_duplicates caption"),
    )


def captioned(clips: Rows, captions: Captions) -> Rows:
    """The clips, captioned by a model, of which all rules hold; where none is named, as they are.

    Raises:
        RecipeError: an endpoint is named, and no model.
    """
    if not captions.caption_model:
        if captions.caption_endpoint or captions.caption_enhancer:
            raise RecipeError(
                "captions are asked for, and no model is named", remedy="add caption_model=NAME"
            )
        return clips
    asks = CaptionClip(
        model=captions.caption_model,
        endpoint=captions.caption_endpoint,
        prompt=captions.caption_prompt,
        refine=captions.caption_refine,
    )
    batch = 32 if captions.caption_endpoint else 1  # here, one is asked after the other
    rows = clips.annotate(asks.on(gpus=captions.caption_gpus, batch=batch))
    rows = rows.keep("caption_status == 'ok'", because="caption cut off or refused")
    if captions.caption_enhancer:
        enhance = EnhanceCaption(model=captions.caption_enhancer, endpoint=captions.caption_endpoint)
        rows = rows.annotate(enhance.on(gpus=captions.caption_gpus, batch=batch))
        rows = rows.keep("enhanced_status == 'ok'", because="enhanced caption cut off or refused")
    rows = rows.annotate(MeasureCaption()).survey(CompareCaptions())
    for rule in rules(captions):
        rows = rows.keep(rule.where, because=rule.because)
    return rows
