"""What a rewritten prompt must still say: quoted texts, numbers, names and words. A plain rule, no parser.

- A quoted text must occur letter by letter, apart from case and blanks.
- A number must occur, in digits or, from two to twelve, as an English word.
- A name is a word with a capital letter that does not begin a sentence, or with a digit or capital inside it.
- Of all other words of three or more letters, those that are not function words must occur, in any regular
  English inflection: "dogs" is "dog", "running" is "runs". They include the nouns; the rule does not tell
  nouns apart.

Words of scripts without spaces, such as Chinese, are not found, because only a dictionary could find them.
"""

import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from stages.models.chat.words import split_words

_QUOTES = re.compile(
    r"\"([^\"\n]+)\"|“([^”\n]+)”|«([^»\n]+)»|„([^“”\n]+)[“”]|「([^」\n]+)」|‘([^’\n]+)’(?!\w)|(?<!\w)'([^'\n]+)'(?!\w)"
)
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w])")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_START = re.compile(r"(?:\A|[.!?:;…\n])[\s\"'“‘«„(\[]*\Z")
_NUMBER_WORDS = dict(
    zip(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        map(str, range(2, 13)),
        strict=True,
    )
)
_MIN_LETTERS = 3
_FUNCTION_WORDS = frozenset(Path(__file__).with_name("function_words.txt").read_text("utf-8").split())


class Entities(NamedTuple):
    """What a prompt names, each thing once and in order."""

    quoted: tuple[str, ...]
    numbers: tuple[str, ...]
    names: tuple[str, ...]
    words: tuple[str, ...]


def find_entities(prompt: str) -> Entities:
    """Find what a rewritten prompt must still say."""
    text = unicodedata.normalize("NFKC", prompt)
    quoted = [" ".join("".join(groups).split()) for groups in _QUOTES.findall(text)]
    plain = _QUOTES.sub(" ", text)
    has_lower = any(letter.islower() for letter in plain)
    names = [
        match[0]
        for match in _WORD.finditer(plain)
        if has_lower and _is_name(match[0], plain[max(0, match.start() - 8) : match.start()])
    ]
    named = {word for name in names for word in split_words(name)}
    words = [
        word
        for word in split_words(plain)
        if len(word) >= _MIN_LETTERS
        and word not in named
        and word not in _FUNCTION_WORDS
        and word not in _NUMBER_WORDS
        and not any(letter.isdigit() for letter in word)
    ]
    return Entities(*(tuple(dict.fromkeys(found)) for found in (quoted, _numbers(plain), names, words)))


def missing_entities(entities: Entities, text: str) -> tuple[list[str], list[str]]:
    """Return what a text does not say: the quoted texts, numbers and names; and the other words."""
    flat = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    found = split_words(flat)
    stems, numbers = {_stem(word) for word in found}, set(_numbers(flat))
    strict = [quoted for quoted in entities.quoted if quoted.casefold() not in flat]
    strict += [number for number in entities.numbers if number not in numbers]
    strict += [name for name in entities.names if not all(_stem(w) in stems for w in split_words(name))]
    joined = " ".join(found)
    words = [
        word
        for word in entities.words
        if _stem(word) not in stems and (word.isascii() or word not in joined)  # other languages inflect more
    ]
    return strict, words


def _is_name(word: str, before: str) -> bool:
    letters = word.replace("'", "").replace("’", "")
    if any(letter.isdigit() for letter in letters) and any(letter.isalpha() for letter in letters):
        return True
    if any(letter.isupper() for letter in letters[1:]):
        return True
    return letters[:1].isupper() and letters != "I" and not _SENTENCE_START.search(before.rstrip(" "))


def _numbers(text: str) -> list[str]:
    """The numbers of a text in ASCII digits, without separators of thousands."""
    found = [(match.start(), _plain_number(match[0])) for match in _NUMBER.finditer(text)]
    found += [
        (match.start(), number)
        for match in _WORD.finditer(text)
        if (number := _NUMBER_WORDS.get(match[0].casefold()))
    ]
    return [number for _, number in sorted(found)]


def _plain_number(text: str) -> str:
    digits = "".join(str(unicodedata.digit(sign)) if sign.isdigit() else sign for sign in text)
    return re.sub(r"[.,](?=\d{3}(?!\d))", "", digits)


def _stem(word: str) -> str:
    """The word without a regular English ending; other words as they are."""
    word = re.sub(r"['’]s?\Z", "", word)
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _MIN_LETTERS:
            word = word.removesuffix(ending)
            break
    if len(word) > _MIN_LETTERS and word[-1] == word[-2] and word[-1] not in "sl":
        word = word[:-1]
    if len(word) > _MIN_LETTERS and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") else word
