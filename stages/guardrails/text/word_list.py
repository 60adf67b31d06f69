"""Word lists: YAML files with a name, a version, entries to block by category, and phrases that are allowed.

name: mine
version: 3
block:
  S9: [pipe bomb, nerve gas*]    # * at the end: any ending of the word
allow: [bath bomb]               # an entry within an allowed phrase does not block
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from manifests import ClipmillError
from manifests.messages import closest_name, join_names
from stages.guardrails.verdict import CATEGORIES
from stages.models.weights import digest_of_files

FOLDER = Path(__file__).parents[1] / "lists"
_FORM = "write `name`, `version`, `block` (category: [entry, …]) and `allow` ([phrase, …])"


class WordList(NamedTuple):
    """A word list.

    Attributes:
        name, version: As the file states them.
        block: Entries by category.
        allow: Phrases that are allowed.
        sha256: Digest of the file.
    """

    name: str
    version: str
    block: Mapping[str, tuple[str, ...]]
    allow: tuple[str, ...]
    sha256: str


def read_yaml(name: str, what: str) -> tuple[Path, Mapping[str, Any]]:
    """Read a built-in YAML file by its name, or a file by its path, and check its name and version.

    Args:
        what: What the file is, for the error message, such as "word list".

    Raises:
        ClipmillError: the file does not exist, is not YAML, or has no name or version.
    """
    import yaml

    built_in = FOLDER / f"{name}.yaml"
    path = built_in if re.fullmatch(r"[a-z_]+", name) and built_in.is_file() else Path(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        names = sorted(file.stem for file in FOLDER.glob("*.yaml"))
        raise ClipmillError(
            f"there is no {what} {name!r}: {getattr(error, 'strerror', None) or 'the file is not text'}",
            where=str(path),
            remedy=f"name a YAML file, or one of {join_names(names)}",
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ClipmillError(
            f"the {what} is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            remedy="put special characters into quotes",
        ) from error
    for key in ("name", "version"):
        if not isinstance(content, dict) or not isinstance(content.get(key), str | int | float):
            raise ClipmillError(f"the {what} has no {key}", where=str(path), remedy=f"write `{key}: …`")
    return path, content


def read_word_list(name: str) -> WordList:
    """Read a built-in list ("default") or a file.

    Raises:
        ClipmillError: the file does not exist, or is not a word list.
    """
    path, content = read_yaml(name, "word list")
    unknown = sorted(set(content) - {"name", "version", "block", "allow"})
    if unknown:
        raise ClipmillError(f"a word list has no {unknown[0]!r}", where=str(path), remedy=_FORM)
    blocked = content.get("block") or {}
    if not isinstance(blocked, dict):
        raise ClipmillError("block is not a table of categories", where=str(path), remedy=_FORM)
    for category in blocked:
        if category not in CATEGORIES:
            close = closest_name(str(category), CATEGORIES)
            raise ClipmillError(
                f"there is no category {category!r}",
                where=f"{path}, block",
                remedy=f"did you mean {close}?" if close else f"use {join_names(list(CATEGORIES), 14)}",
            )
    block = {category: _entries(entries, f"{path}, {category}") for category, entries in blocked.items()}
    allow = _entries(content.get("allow") or [], f"{path}, allow")
    return WordList(str(content["name"]), str(content["version"]), block, allow, digest_of_files([path]))


def _entries(entries: Any, where: str) -> tuple[str, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ClipmillError("the entries are not a list of texts", where=where, remedy=_FORM)
    if empty := [entry for entry in entries if not re.search(r"\w", entry)]:
        raise ClipmillError(f"the entry {empty[0]!r} holds no letter", where=where, remedy="delete it")
    return tuple(entries)
