"""Cleans the reply of a model that was asked for a caption, and finds what is wrong with it."""

import json
import re

from stages.models.chat.chat_model import TRUNCATED, ChatResponse
from stages.models.chat.words import split_words, trigrams
from stages.prompts.entities import Entities, missing_entities

_FENCE = re.compile(r"\A```\w*\s*(.*?)\s*(?:```)?\Z", re.DOTALL)
_HEADING = re.compile(
    r"\A[\s*_#>]*(?:(?:sure|certainly|of course|okay)[!.,]\s*)?"
    r"(?:here(?:['’]s| is| are)\b[^:\n]{0,80}:|(?:the )?(?:\w+ )?(?:prompt|caption|description)[*_]*\s*:)?"
    r"[\s*_]*",
    re.IGNORECASE,
)
_TEXT_FIELDS = ("caption", "upsampled_prompt", "prompt", "description", "text")
_QUOTES = {'"': '"', "“": "”", "'": "'", "«": "»"}
_MAX_REPETITION = 0.5  # share of word trigrams that occur earlier in the text


class WrongReply(Exception):
    """The reply cannot replace the prompt.

    Attributes:
        correction: The next request to the model, which says what was wrong.
    """

    def __init__(self, reason: str, correction: str) -> None:
        super().__init__(reason)
        self.correction = correction


def clean_reply(text: str) -> str:
    """Return the caption in a reply as one paragraph: without heading, JSON, code fence and outer quotes.

    Raises:
        WrongReply: the reply is JSON without a text.
    """
    text = text.strip()
    if fenced := _FENCE.match(text):
        text = fenced[1]
    if text[:1] in ("{", "["):
        text = _text_in_json(text)
    text = _HEADING.sub("", text, count=1)
    text = " ".join(text.replace("**", "").split())
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _text_in_json(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value
    texts = {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}
    named = [texts[name] for name in _TEXT_FIELDS if name in texts] or list(texts.values())
    if len(named) < 1 or (len(texts) > 1 and not any(name in texts for name in _TEXT_FIELDS)):
        raise WrongReply("the reply is JSON without a text", "Answer with the caption only, without JSON.")
    return named[0]


def check_reply(
    response: ChatResponse, text: str, prompt: str, entities: Entities, max_words: int, min_kept_share: float
) -> None:
    """Check that a cleaned reply can replace the prompt.

    Raises:
        WrongReply: it is cut off, too long, shorter than the prompt, repeats itself, or leaves things out.
    """
    words, needed = split_words(text), split_words(prompt)
    shorter = f"Write the whole caption again, with at most {max_words} words."
    if response.status == TRUNCATED:
        raise WrongReply("the reply is cut off", shorter)
    if len(words) > max_words or len(text) > 20 * max_words:
        raise WrongReply(f"the reply has {len(words)} words, more than {max_words}", shorter)
    grams = trigrams(words)
    if grams and 1 - len(set(grams)) / len(grams) > _MAX_REPETITION:
        raise WrongReply("the reply repeats itself", "Do not repeat yourself. Write the caption again.")
    if len(words) < max(1, len(needed)):
        reason = f"the reply has {len(words)} words, fewer than the prompt"
        raise WrongReply(reason, "Write a longer caption with more details.")
    strict, lost = missing_entities(entities, text)
    kept_share = 1 - len(lost) / len(entities.words) if entities.words else 1.0
    missing = strict + (lost if kept_share < min_kept_share else [])
    if missing:
        named = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        raise WrongReply(
            f"the reply leaves out: {named}",
            f"The caption leaves out: {named}. Write it again with exactly these words in it.",
        )
