"""Prompts: text files with names and digests. Placeholders such as {length_s} stand for facts."""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from manifests import ClipmillError
from manifests.messages import closest_name, join_names

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Prompt(NamedTuple):
    """A prompt. Equal digests mean equal texts, whatever their names."""

    name: str
    text: str
    sha256: str

    @property
    def placeholders(self) -> list[str]:
        """The names in braces, in order, each once."""
        return list(dict.fromkeys(_PLACEHOLDER.findall(self.text)))

    def fill(self, facts: Mapping[str, str]) -> str:
        """Return the text with each placeholder replaced by its fact."""
        return _PLACEHOLDER.sub(lambda match: facts[match[1]], self.text)

    def check(self, known: Collection[str], required: Collection[str] = ()) -> None:
        """Check the placeholders.

        Raises:
            ClipmillError: a placeholder is not in `known`, or one of `required` is missing.
        """
        for name in self.placeholders:
            if name not in known:
                close = closest_name(name, known)
                raise ClipmillError(
                    f"the prompt {self.name!r} has the placeholder {{{name}}}, but there is no such fact",
                    remedy=f"write {{{close}}}" if close else f"use one of {join_names(sorted(known))}",
                )
        missing = [name for name in required if name not in self.placeholders]
        if missing:
            raise ClipmillError(
                f"the prompt {self.name!r} has no placeholder {{{missing[0]}}}",
                remedy="add it to the text",
            )


def load_prompt(name: str, folder: Path) -> Prompt:
    """Load a built-in prompt by its name, or a file by its path.

    Args:
        folder: The built-in prompts.

    Raises:
        ClipmillError: the file does not exist, is not text, or is empty.
    """
    built_in = folder / f"{name}.txt"
    path = built_in if re.fullmatch(r"[a-z_]+", name) and built_in.is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        names = sorted(file.stem for file in folder.glob("*.txt"))
        raise ClipmillError(
            f"there is no prompt {name!r}: {getattr(error, 'strerror', None) or 'the file is not text'}",
            where=str(path),
            remedy=f"name a file, or one of {join_names(names)}",
        ) from error
    if not text:
        raise ClipmillError("the prompt is empty", where=str(path), remedy="write the prompt into the file")
    return Prompt(path.stem, text, hashlib.sha256(text.encode()).hexdigest())
