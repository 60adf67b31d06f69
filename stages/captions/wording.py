"""The words of a caption: how they are told apart, and what of them is compared."""

import re
import zlib

# A word; or one sign of the scripts that put no blanks between words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\W_]+(?:['’][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words, in order, without case and punctuation."""
    return _WORD.findall(text.casefold())


def trigrams_of(words: list[str]) -> list[str]:
    """Each three words that follow each other; of fewer than three, all of them as one."""
    if len(words) < 3:
        return [" ".join(words)] if words else []
    return [" ".join(words[k : k + 3]) for k in range(len(words) - 2)]


def hashes_of(text: str) -> set[int]:
    """The trigrams of a text as numbers of 32 bits."""
    return {zlib.crc32(trigram.encode()) for trigram in trigrams_of(words_of(text))}
