"""Finds the entries of word lists in a text with one Aho-Corasick automaton.

The folded text is searched as it is, and again with each trick undone that it holds a sign of: digits and
signs for letters ("b0mb"), separators in a word ("b-o-m-b", "b o m b"), and repeated letters ("boooomb").
Words are never joined across blanks unless all of them are single letters, so "desk in" is not "deskin". A
find must begin and end at the borders of a word.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from stages.guardrails.text.folding import Folded, fold
from stages.guardrails.text.word_list import WordList

ALLOWED = "allowed"
# What stands for a letter. The search replaces these signs, and "l", which "1" stands for too, by one letter;
# the check of a find by `_spelling` tells them apart.
_SIGNS = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!|", "l": "1!|", "o": "0", "s": "5$", "t": "7+"}
_LEET = str.maketrans(
    {"l": "i", **{sign: "i" if key == "l" else key for key in _SIGNS for sign in _SIGNS[key]}}
)
_LEET_SIGNS = re.compile(r"[01345789@$+!|]")
_SEPARATORS = "-_.*·~"
# Both begin with the separator, which is rarer than letters.
_IN_WORD = re.compile(rf"[{_SEPARATORS}](?<=[^\W_].)[{_SEPARATORS}]*(?=[^\W_])")
_LETTER = r"(?:[^\W_]|[@$!])"
_SPACED = re.compile(
    rf"([ ,/{_SEPARATORS}])(?<={_LETTER}.)(?<![^\W_][^\W_].)([ ,/{_SEPARATORS}]{{,2}}){_LETTER}"
    rf"(?:\1\2{_LETTER})+(?![^\W_])"
)
_BLANKS = re.compile(r" {2,}")
_TRIPLE = re.compile(r"(.)\1\1")
_MIN_SPACED = 4  # letters of a find in single letters that does not cover all of them
_NO_BLANKS = ("\u0e00", "\u0eff"), ("\u3040", "\u9fff"), ("\uac00", "\ud7a3")  # scripts without word borders


class Match(NamedTuple):
    """An entry in a text.

    Attributes:
        entry: The entry as the list has it.
        category: Its category, or "allowed".
        start, end: Its offsets in the original text, in characters.
        text: The text there.
        word_list: Name and version of the list.
    """

    entry: str
    category: str
    start: int
    end: int
    text: str
    word_list: str


class _Pattern(NamedTuple):
    """A folded entry: blanks are single, and `is_open` says that the word may go on."""

    folded: str
    entry: str
    category: str
    word_list: str
    is_open: bool


class _Stream(NamedTuple):
    """A text to search.

    Attributes:
        text: Its characters.
        indexes: Their indexes in the folded text.
        written: The text before signs were replaced.
        spaced: Spans of single letters in the folded text.
    """

    text: str
    indexes: Sequence[int]
    written: str
    spaced: Sequence[tuple[int, int]]


class Matcher:
    """The automaton over the entries of several lists."""

    def __init__(self, lists: Sequence[WordList]) -> None:
        self._patterns = [pattern for words in lists for pattern in _patterns(words)]

    def find(self, text: str) -> list[Match]:
        """Return the blocked entries of a text that no allowed phrase covers, in order."""
        folded = fold(text)
        found: dict[tuple[int, int], _Pattern] = {}
        for stream in _streams(folded):
            for start, end, pattern in self._search(stream, folded.text):
                best = found.get((start, end))
                if best is None or pattern.category == ALLOWED:
                    found[start, end] = pattern
        matches, allowed_until = [], 0
        for (start, end), pattern in sorted(found.items(), key=lambda item: (item[0][0], -item[0][1])):
            if pattern.category == ALLOWED:
                allowed_until = max(allowed_until, end)
            elif end > allowed_until:
                first, last = folded.original_span(start, end)
                matches.append(
                    Match(pattern.entry, pattern.category, first, last, text[first:last], pattern.word_list)
                )
        return matches

    @cached_property
    def _automaton(self) -> Any:
        import ahocorasick

        automaton = ahocorasick.Automaton()
        keys: dict[str, list[tuple[int, bool]]] = {}
        for number, pattern in enumerate(self._patterns):
            for key in (pattern.folded, pattern.folded.replace(" ", "")):
                for form in (key, key.translate(_LEET)):
                    for written in (form, _squeeze(form)):
                        keys.setdefault(written, []).append((number, key == pattern.folded))
        for key, values in keys.items():
            automaton.add_word(key, (len(key), tuple(dict.fromkeys(values))))
        automaton.make_automaton()
        return automaton

    def _search(self, stream: _Stream, folded: str) -> Iterator[tuple[int, int, _Pattern]]:
        """Yield the finds as spans of the folded text."""
        if not self._patterns:
            return
        searched = [(stream.text, stream.indexes, stream.indexes)]
        if _TRIPLE.search(stream.text):
            searched.append(_squeezed(stream))
        for text, firsts, lasts in searched:
            for last, (length, numbers) in self._automaton.iter(text):
                start, end = firsts[last + 1 - length], lasts[last] + 1
                for number, has_blanks in numbers:
                    pattern = self._patterns[number]
                    if self._is_find(pattern, has_blanks, start, end, stream, folded):
                        yield start, end, pattern

    def _is_find(
        self, pattern: _Pattern, has_blanks: bool, start: int, end: int, stream: _Stream, folded: str
    ) -> bool:
        if not _has_borders(pattern, start, end, stream, folded):
            return False
        span = folded[start:end]
        if " ".join(span.split()) == pattern.folded:
            return True
        if not has_blanks and span.isalnum():
            return False  # "therapist" is not "the rapist"
        inside = stream.written[bisect_left(stream.indexes, start) : bisect_left(stream.indexes, end)]
        if 3 * sum(c.isalpha() for c in inside) < len(inside):
            return False  # most are digits
        return bool(
            _spelling(pattern.folded if has_blanks else pattern.folded.replace(" ", "")).fullmatch(inside)
        )


def _patterns(words: WordList) -> Iterator[_Pattern]:
    name = f"{words.name} {words.version}"
    for category, entries in (*words.block.items(), (ALLOWED, words.allow)):
        for entry in entries:
            folded = " ".join(fold(entry.removesuffix("*")).text.split())
            yield _Pattern(folded, entry, category, name, entry.endswith("*"))


def _streams(folded: Folded) -> Iterator[_Stream]:
    """Yield the text as it is, without separators in words, and with letters for digits and signs."""
    text = folded.text
    yield _Stream(text, range(len(text)), text, ())
    spaced = [(match.start() - 1, match.end()) for match in _SPACED.finditer(text)]
    keep = bytearray(b"\1") * len(text)
    for start, end in (match.span() for match in _IN_WORD.finditer(text)):
        keep[start:end] = bytes(end - start)
    for start, end in (match.span() for match in _BLANKS.finditer(text)):
        keep[start + 1 : end] = bytes(end - start - 1)
    for start, end in spaced:
        for at in range(start, end):
            keep[at] = keep[at] and text[at] not in f" ,/{_SEPARATORS}"
    indexes = [at for at in range(len(text)) if keep[at]] if 0 in keep else range(len(text))
    joined = "".join(text[at] for at in indexes) if 0 in keep else text
    if joined != text:
        yield _Stream(joined, indexes, joined, spaced)
    if _LEET_SIGNS.search(joined):
        yield _Stream(joined.translate(_LEET), indexes, joined, spaced)


def _squeeze(text: str) -> str:
    return "".join(letter for letter, _ in groupby(text))


def _squeezed(stream: _Stream) -> tuple[str, Sequence[int], Sequence[int]]:
    """A stream without repeats, and the indexes in the folded text where each run begins and ends."""
    text = stream.text
    starts = [0, *(k for k in range(1, len(text)) if text[k] != text[k - 1])]
    ends = [*(start - 1 for start in starts[1:]), len(text) - 1]
    firsts, lasts = ([stream.indexes[k] for k in edges] for edges in (starts, ends))
    return "".join(text[k] for k in starts), firsts, lasts


def _has_borders(pattern: _Pattern, start: int, end: int, stream: _Stream, folded: str) -> bool:
    """Whether a find begins and ends at the borders of a word, or of a span of single letters."""
    at = bisect_right(stream.spaced, (start, len(folded))) - 1
    first, last = stream.spaced[at] if at >= 0 else (0, 0)
    if end <= last:  # the single letters begin at `first`, before the find
        is_article = folded[first] in "ai" and not any(map(str.isalnum, folded[first + 1 : start]))
        begins = start == first or is_article  # "a b o m b"
        ends = end == last or sum(c.isalnum() for c in pattern.folded) >= _MIN_SPACED
        return begins and ends
    begins = start == 0 or not folded[start - 1].isalnum() or _has_no_borders(pattern.folded[0])
    ends = end == len(folded) or not folded[end].isalnum() or _has_no_borders(pattern.folded[-1])
    return begins and (ends or pattern.is_open)


def _has_no_borders(letter: str) -> bool:
    return any(low <= letter <= high for low, high in _NO_BLANKS)


@lru_cache(maxsize=4096)
def _spelling(entry: str) -> re.Pattern[str]:
    """A pattern for an entry with signs for letters, and letters that are repeated three times or more."""
    parts = []
    for letter, group in groupby(entry):
        kind = f"[{re.escape(letter + _SIGNS.get(letter, ''))}]"
        parts.append(f"(?:{kind}{{3,}}+|{kind}{{{len(list(group))}}})")
    return re.compile("".join(parts))
