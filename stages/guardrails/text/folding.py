"""Folds a text to the letters that a reader sees, and remembers where each of them was.

Full-width, styled and accented letters become plain ones by NFKC and the removal of accents; letters of other
scripts that look like Latin ones become these; invisible characters vanish. Any other script, and emoji, stay
as they are.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

# Letters of other scripts, in lower case, that look like Latin ones in lower or upper case.
_LOOK_ALIKES = str.maketrans(
    {
        **dict(zip("авеһіјкӏмнорсѕтухԁԛԝ", "abehijklmhopcstyxdqw", strict=True)),  # Cyrillic
        **dict(zip("αβεηικνορτυχ", "abenikvoptux", strict=True)),  # Greek
        **dict(zip("ıłøđɑɡ", "ilodag", strict=True)),
    }
)
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and marks that show nothing
_BLANKS = str.maketrans(dict.fromkeys("\t\n\v\f\r\x1c\x1d\x1e\x1f", " "))
_MARKS = (
    ("\u0300", "\u036f"),
    ("\u1ab0", "\u1aff"),
    ("\u1dc0", "\u1dff"),
    ("\u20d0", "\u20ff"),
    ("\ufe20", "\ufe2f"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
_WHITE_ON_BLACK = (0x1F150, 0x1F170)  # first letters of two alphabets that NFKC leaves as they are


class Folded(NamedTuple):
    """A folded text.

    Attributes:
        text: The folded characters, in lower case; each white space is a blank.
        offsets: For each of them, the offset of its character in the original text.
    """

    text: str
    offsets: Sequence[int]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The offsets in the original text of the folded characters from `start` to before `end`."""
        return self.offsets[start], self.offsets[end - 1] + 1


def fold(text: str) -> Folded:
    """Return the folded text with the offsets of its characters."""
    if text.isascii() and not _CONTROLS.search(text):
        return Folded(text.lower().translate(_BLANKS), range(len(text)))
    folded, offsets = [], []
    for offset, character in enumerate(text):
        letters = _fold_character(character)
        folded.append(letters)
        offsets += [offset] * len(letters)
    return Folded("".join(folded), offsets)


@lru_cache(maxsize=65536)
def _fold_character(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in ("Cc", "Cf") or character in _INVISIBLE or _is_selector(character):
        return ""
    for first in _WHITE_ON_BLACK:
        if first <= ord(character) < first + 26:
            return chr(ord("a") + ord(character) - first)
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", character).casefold())
    letters = "".join(part for part in parts if not any(low <= part <= high for low, high in _MARKS))
    return unicodedata.normalize("NFC", letters).translate(_LOOK_ALIKES).replace("\u2044", "/")


def _is_selector(character: str) -> bool:
    """Whether it selects a variant of the character before it."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
