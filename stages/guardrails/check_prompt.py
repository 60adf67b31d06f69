"""Checks a prompt against word lists with one compiled automaton, and records a verdict."""

from collections.abc import Iterator, Sequence
from functools import cached_property

from manifests import Row
from pipeline import Annotate, Needs
from stages.guardrails.text.matcher import Match, Matcher
from stages.guardrails.text.prompt_text import PromptText, check_text_column, text_of
from stages.guardrails.text.word_list import WordList, read_word_list
from stages.guardrails.verdict import BLOCKED, CATEGORIES, SAFE, Verdict, short_digest, verdict_row

_MAX_REASONS = 3  # finds that the reason names


class CheckPrompt(Annotate[PromptText, Row]):
    """Searches a prompt for the entries of word lists and records a verdict. It drops nothing; a rule does.

    Folded before the search: case, full-width and accented letters, letters that look like Latin ones,
    invisible characters, digits and signs for letters, separated and repeated letters. The reason names each
    find with its offsets in the prompt as it was written. The columns are named after `text`:
    `prompt_check`, `prompt_check_category`, `prompt_check_score` (1 for a find, 0 without), `…_reason`,
    `…_by`.

    Attributes:
        text: Column that is checked: prompt, upsampled_prompt or caption.
        lists: Word lists: default, or YAML files.
    """

    from_store = True
    needs = Needs(cpus=1, batch=256)

    text: str = "prompt"
    lists: tuple[str, ...] = ("default",)

    @cached_property
    def word_lists(self) -> list[WordList]:
        return [read_word_list(name) for name in self.lists]

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher(self.word_lists)

    def added_columns(self) -> type[Row]:
        check_text_column(self.text)
        return verdict_row(f"{self.text}_check", f"the {self.text}, by word lists")

    def digest(self) -> str:
        """Return the digests of the lists.

        Raises:
            ClipmillError: a list does not exist or cannot be read.
        """
        return " ".join(words.sha256 for words in self.word_lists)

    def annotate(self, rows: Sequence[PromptText]) -> Iterator[Row]:
        by = "CheckPrompt, " + ", ".join(
            f"{words.name} {words.version} ({short_digest(words.sha256)})" for words in self.word_lists
        )
        for row in rows:
            matches = self.matcher.find(text_of(row, self.text))
            if matches:
                found = Verdict(BLOCKED, by, matches[0].category, 1.0, _reason(matches))
            else:
                found = Verdict(SAFE, by, score=0.0)
            yield self.adds(**found.columns(f"{self.text}_check"))


def _reason(matches: Sequence[Match]) -> str:
    texts = []
    for match in matches[:_MAX_REASONS]:
        category = f"{match.category} {CATEGORIES[match.category]}"
        texts.append(
            f"{match.text[:80]!r} at {match.start} to {match.end} is the entry {match.entry!r} ({category})"
        )
    more = len(matches) - _MAX_REASONS
    return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")
