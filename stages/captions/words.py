"""Splits captions into words and word trigrams, for measuring and comparing captions."""

import re
import zlib

# A word; or one character of scripts without spaces between words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\W_]+(?:['’][^\W_]+)*")


def split_words(text: str) -> list[str]:
    """Return the words in order, without case and punctuation."""
    return _WORD.findall(text.casefold())


def trigrams(words: list[str]) -> list[str]:
    """Return each three consecutive words as one string. Fewer than three words give one string of all."""
    if len(words) < 3:
        return [" ".join(words)] if words else []
    return [" ".join(words[k : k + 3]) for k in range(len(words) - 2)]


def hash_trigrams(text: str) -> set[int]:
    """Return the 32-bit hashes of a text's word trigrams."""
    return {zlib.crc32(trigram.encode()) for trigram in trigrams(split_words(text))}
