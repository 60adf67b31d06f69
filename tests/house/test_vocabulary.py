"""Retired words: names and phrases that the standard vocabulary replaced stay out of code and documents."""

import re
from pathlib import PurePosixPath
from typing import Any

import pytest

# Words of identifiers, also inside snake_case and CamelCase names, and the term that replaced each.
RETIRED_IN_NAMES = {
    "told": "reported, result or message",
    "untold": "dropout",
    "said": "message, text or value",
    "asked": "request or args",
    "asking": "request",
    "came": "inputs",
    "fate": "outcome",
    "fates": "outcomes",
    "dear": "expensive",
    "twin": "duplicate_of",
    "twins": "duplicates",
    "twinned": "duplicate",
    "shipped": "released",
    "alike": "similar",
    "kin": "related",
    "sight": "decisions",
    "foresight": "forecast",
    "foresee": "forecast",
    "trying": "what_if",
    "pieced": "chunked",
    "haste": "speed_score",
    "hasty": "fast",
    "coarseness": "quantizer_step",
    "quantiser": "quantizer",
    "colour": "color",
    "colours": "color",
    "colourfulness": "colorfulness",
    "neighbour": "neighbor",
    "taught": "trained",
    "mended": "fixed",
    "watcher": "callback",
    "watchers": "callbacks",
}
# Whole names of settings, columns and classes.
RETIRED_NAMES = {
    "darkest",
    "brightest",
    "flickering",
    "softest",
    "noisiest",
    "coarsest",
    "stillest",
    "hastiest",
    "emptiest",
    "fewest_words",
    "most_words",
    "rambling",
    "max_s",
    "min_s",
    "light_reach",
    "bright_share",
    "mark_share",
    "line_share",
    "sharpness_median",
    "sharpness_lowest",
    "twin_similarity",
    "MeasurePace",
    "BooksDoNotBalance",
    "Books",
    "read_books",
    "untold_share",
    "average_share",
    "pairs_floor",
    "keeps",
    "Keeps",
    "light_swing",
    "dark_share",
    "resting_text_share",
    "true_fps",
    "picture_information",
    "clip_way",
}
# Phrases of documents, docstrings, comments and messages.
RETIRED_PHRASES = {
    r"told": "reports, says, is known from",
    r"set aside": "rejected",
    r"give[ns]? back": "requeued, returned",
    r"worked out": "computed",
    r"mend(s|ed|ing)?": "fix",
    r"fates?": "outcome",
    r"dear(er|est)?": "expensive",
    r"whoever": "a user who",
    r"wherefrom": "the source",
    r"bears? the name": "is named",
    r"no word is said": "a description",
    r"the life of": "the history of",
    r"carr(y|ies|ied) out": "run",
    r"keepers? of (a|the) promise": "implementation of a contract",
    r"(books|accounts) (do not )?balance": "row counts match",
    r"clipmill (why|text|draw)": "explain, yaml, graph",
    r"twins?": "duplicate",
    r"foresight": "forecast",
    r"reckon(s|ed|ing)?": "compute, estimate",
}
# Where a retired word has a meaning of its own. Each entry: path, phrase.
MEANT = {
    ("benchmarks/workloads/planting.py", "I have told you already."),  # a subtitle
    ("tests/house/test_vocabulary.py", ""),
    ("manifests/messages.py", "twin=duplicate_of"),  # an old name, for the hint of an error
    ("stages/footage/films.py", 'Shot("twin"'),  # seeds the random generator of a film
}
_PHRASE = re.compile(rf"\b({'|'.join(RETIRED_PHRASES)})\b", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def retired_names(names: set[str]) -> set[str]:
    """The names that are retired or contain a retired word."""
    return {
        n for n in names if n in RETIRED_NAMES or {w.lower() for w in _WORD.findall(n)} & {*RETIRED_IN_NAMES}
    }


def retired_phrases(text: str) -> list[str]:
    """The lines of a text that contain a retired phrase, after their numbers."""
    lines = enumerate(text.splitlines(), 1)
    return [f"{number}: {line.strip()}" for number, line in lines if _PHRASE.search(line)]


def test_no_identifier_has_a_retired_name(files: Any) -> None:
    found = {file.path: retired_names(_identifiers(file)) for file in files if (file.path, "") not in MEANT}
    assert {path: sorted(names) for path, names in found.items() if names} == {}


def test_no_file_has_a_retired_name(files: Any) -> None:
    paths = {part.removesuffix(".py") for file in files for part in PurePosixPath(file.path).parts}
    assert retired_names(paths) == set()


def test_no_text_has_a_retired_phrase(texts: dict[str, str]) -> None:
    read = {p: t for p, t in texts.items() if p.endswith((".py", ".md", ".html")) and (p, "") not in MEANT}
    found = [
        f"{path}:{line}"
        for path, text in read.items()
        for line in retired_phrases(text)
        if not any(path == where and phrase in line for where, phrase in MEANT if phrase)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["told", "_was_told", "CaptionTwins", "darkest", "asked_for", "Books"])
def test_the_check_finds_retired_names(name: str) -> None:
    assert retired_names({name, "row_counts", "golden", "booksellers", "kinds"}) == {name}


@pytest.mark.parametrize(
    "line", ["a row is set aside", "clipmill why ID", "the Fate of a clip", "worked out"]
)
def test_the_check_finds_retired_phrases(line: str) -> None:
    assert retired_phrases(f"a setting\n{line}\nan endearing offset\n") == [f"2: {line}"]


def _identifiers(file: Any) -> set[str]:
    """All names that a file defines or uses: variables, arguments, attributes, functions and classes."""
    import ast

    names: set[str] = set()
    for node in ast.walk(file.tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                names |= {*_NAME.findall(value)}
    return names
