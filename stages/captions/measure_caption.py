"""Measures how long a caption is and how much it repeats itself, as models do that have lost the thread."""

from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Needs
from stages.captions.wording import trigrams_of, words_of


class Worded(Row):
    caption: str
    enhanced_caption: str | None = None


class CaptionMeasures(Row):
    caption_words: int = column("words; of scripts without blanks, signs")
    caption_characters: int = column("characters, blanks included")
    caption_repetition: float = column(
        "share of its trigrams of words that stood in it before; 0 for fewer than four words", unit="0..1"
    )


class MeasureCaption(Annotate[Worded, CaptionMeasures]):
    """Of the enhanced caption, where there is one. Case and punctuation do not count."""

    from_store = True
    needs = Needs(cpus=0.5, batch=64)

    def annotate(self, rows: Sequence[Worded]) -> Iterator[CaptionMeasures]:
        for row in rows:
            caption = row.enhanced_caption or row.caption
            words = words_of(caption)
            trigrams = trigrams_of(words)
            repeated = 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
            yield CaptionMeasures(
                caption_words=len(words),
                caption_characters=len(caption),
                caption_repetition=round(repeated, 6),
            )
