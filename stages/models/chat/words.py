"""Splits texts into words and word trigrams, for measuring and comparing captions and what models write."""

import re
import unicodedata
import zlib
from functools import lru_cache

# Letters of scripts without spaces between words: Thai, Lao, Tai, Myanmar, Khmer, Chinese and Japanese.
# Korean has spaces.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u3005-\u3007\u3021-\u3029\u3040-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
# Characters without a form of their own: soft hyphen, joiners, direction marks, byte order mark.
_INVISIBLE = dict.fromkeys(
    [0xAD, *range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)
_SPACING_VOWELS = "\u0e33\u0eb3"  # the Thai and Lao vowel AM: letters that belong to the letter before them
_LAST_MARK_BLOCK = 0x1F000  # the only marks above are variation selectors


def split_words(text: str) -> list[str]:
    """Return the words in order, without case and punctuation.

    A combining mark (a vowel sign, a tone mark, an accent) belongs to the letter before it. Composed and
    decomposed forms of a text give equal words. In scripts without spaces, such as Thai, Chinese and
    Japanese, each letter with its marks counts as a word: only a dictionary could find the words.
    """
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return _word_pattern().findall(composed.translate(_INVISIBLE))


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    codes = (chr(code) for code in range(_LAST_MARK_BLOCK))
    marks = _SPACING_VOWELS + "".join(code for code in codes if unicodedata.category(code)[0] == "M")
    unspaced = rf"(?:(?![\W\d_])[{_UNSPACED}])"
    letter = rf"(?:(?!{unspaced})[^\W_][{marks}]*)"
    return re.compile(rf"{unspaced}[{marks}]*|{letter}+(?:['’·\u05f3\u05f4]{letter}+)*")


def trigrams(words: list[str]) -> list[str]:
    """Return each three consecutive words as one string. Fewer than three words give one string of all."""
    if len(words) < 3:
        return [" ".join(words)] if words else []
    return [" ".join(words[k : k + 3]) for k in range(len(words) - 2)]


def hash_trigrams(text: str) -> set[int]:
    """Return the 32-bit hashes of a text's word trigrams."""
    return {zlib.crc32(trigram.encode()) for trigram in trigrams(split_words(text))}
