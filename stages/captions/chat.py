"""What is asked of a model, and what it said: the promise that an endpoint and a model in this process keep.

An answer is what one call gives back, and never an item of a list that is matched with a list of questions.
"""

import re
from dataclasses import dataclass
from typing import Protocol

OK, TRUNCATED, REFUSED = "ok", "truncated", "refused"
STATUSES = (OK, TRUNCATED, REFUSED)  # from good to bad

_CONTROLS = {code: " " for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
_THOUGHTS = re.compile(r"\A\s*<think>.*?(</think>|\Z)", re.DOTALL)
_REFUSALS = re.compile(
    r"\W*(i['’]?m (very |really )?sorry\b|i am (very |really )?sorry\b|sorry, (but )?i\b"
    r"|i (can['’]?t|cannot|can not|am unable to|['’]m unable to|won['’]t) "
    r"(help|assist|describe|provide|identify|view|see|process|fulfil|comply|do that|caption)"
    r"|i['’]m (unable|not able) to\b|as an ai\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """Pictures and words, after turns of the same talk that went before.

    Attributes:
        prompt: what is asked now.
        pictures: JPEGs in the order of time; they stand before the first prompt of the talk.
        earlier: prompts of this talk with what was said to them.
    """

    prompt: str
    pictures: tuple[bytes, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Said:
    """The answer to one question.

    Attributes:
        text: tidy; empty only where the model refused.
        status: one of `STATUSES`.
        revision: which state of the model said it, as far as that is known.
        prompt_tokens, output_tokens: None where nobody counted them.
        seconds: from asking to the whole answer; of the last try.
    """

    text: str
    status: str
    revision: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0


class Unanswered(Exception):
    """This question, and not the one who is asked, is at fault, or nothing fit to keep was said."""


class Asked(Protocol):
    """Someone who can be asked: an endpoint, or a model in this process."""

    def check(self) -> None:
        """Raises `Unavailable` where it is known that nobody is answered now."""

    async def ask(self, question: Question) -> Said:
        """What is said to one question.

        Raises:
            Unanswered: nothing fit to keep was said, though others are answered.
            Unavailable: nobody is answered now.
        """


def said(text: str, finish: str, refusal: str = "", **told: object) -> Said:
    """What a model said, as it is kept.

    Args:
        finish: why it ended, in the words of the chat completions API: "stop", "length", "content_filter".
        refusal: what it said instead, where that is told apart.

    Raises:
        Unanswered: it said nothing.
    """
    words = tidy(_THOUGHTS.sub("", text, count=1))
    if refusal or finish == "content_filter" or _REFUSALS.match(words):
        return Said("", REFUSED, **told)  # type: ignore[arg-type]
    if not words:
        short = ": it used up all its tokens; raise max_tokens" if finish == "length" else ""
        raise Unanswered(f"the model said nothing{short}")
    return Said(words, TRUNCATED if finish == "length" else OK, **told)  # type: ignore[arg-type]


def tidy(text: str) -> str:
    """Text that any file can hold: no control characters, no half characters, no blank ends."""
    whole = text.encode("utf-8", "replace").decode("utf-8")  # half of a pair has no UTF-8
    return whole.replace("\r\n", "\n").translate(_CONTROLS).strip()
