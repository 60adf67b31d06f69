"""Measures the length of a caption and how much it repeats itself, as a model in a loop does."""

import unicodedata
from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Needs
from stages.models.chat.words import split_words, trigrams


class CaptionText(Row):
    caption: str
    enhanced_caption: str | None = None


class CaptionMeasures(Row):
    caption_words: int = column("number of words; in scripts without spaces, of letters with their marks")
    caption_characters: int = column("number of characters of the composed form (NFC), including spaces")
    caption_repetition: float = column(
        "share of the word trigrams that occur earlier in the caption; 0 for fewer than four words",
        unit="0..1",
    )


class MeasureCaption(Annotate[CaptionText, CaptionMeasures]):
    """Measures the enhanced caption, or the caption if there is none. Case and punctuation do not count."""

    version = 3
    from_store = True
    needs = Needs(cpus=0.5, batch=64)

    def annotate(self, rows: Sequence[CaptionText]) -> Iterator[CaptionMeasures]:
        for row in rows:
            caption = row.enhanced_caption or row.caption
            words = split_words(caption)
            grams = trigrams(words)
            repetition = 1 - len(set(grams)) / len(grams) if grams else 0.0
            yield CaptionMeasures(
                caption_words=len(words),
                caption_characters=len(unicodedata.normalize("NFC", caption)),
                caption_repetition=round(repetition, 6),
            )
