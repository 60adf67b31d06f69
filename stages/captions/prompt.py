"""Prompts: files with names and digests, in which places like {length_s} stand for facts about the clip."""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from manifests import ClipmillError
from manifests.wording import listed, nearest

FOLDER = Path(__file__).parent / "prompts"
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Prompt(NamedTuple):
    """What is asked. Equal digests are equal texts, whatever their names."""

    name: str
    text: str
    sha256: str

    @property
    def places(self) -> list[str]:
        """The names in braces, in order."""
        return list(dict.fromkeys(_PLACE.findall(self.text)))

    def filled(self, facts: Mapping[str, str]) -> str:
        """The text with each fact in its place."""
        return _PLACE.sub(lambda found: facts[found[1]], self.text)

    def check(self, known: Collection[str], needed: Collection[str] = ()) -> None:
        """
        Raises:
            ClipmillError: it has a place for something that is not known, or none for what is needed.
        """
        for place in self.places:
            if place not in known:
                close = nearest(place, known)
                raise ClipmillError(
                    f"the prompt {self.name!r} has a place {{{place}}}, for which nothing is known",
                    remedy=f"write {{{close}}}" if close else f"known are {listed(sorted(known))}",
                )
        lacking = [name for name in needed if name not in self.places]
        if lacking:
            raise ClipmillError(
                f"the prompt {self.name!r} has no place {{{lacking[0]}}}", remedy="write it where it belongs"
            )


def prompt_named(name: str) -> Prompt:
    """A prompt that comes along, by its name, or one of your own, by its path.

    Raises:
        ClipmillError: there is none, it is no text, or it is empty.
    """
    own = FOLDER / f"{name}.txt"
    path = own if re.fullmatch(r"[a-z_]+", name) and own.is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        names = sorted(file.stem for file in FOLDER.glob("*.txt"))
        raise ClipmillError(
            f"there is no prompt {name!r}: {getattr(error, 'strerror', None) or 'it is no text'}",
            where=str(path),
            remedy=f"name a file, or one of {listed(names)}",
        ) from error
    if not text:
        raise ClipmillError("a prompt is empty", where=str(path), remedy="say in it what is asked")
    return Prompt(path.stem, text, hashlib.sha256(text.encode()).hexdigest())
