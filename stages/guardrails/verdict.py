"""Verdicts: the columns that every check adds, and what happens if a check could not run."""

from typing import Any, NamedTuple

from manifests import Row, column, make_row
from manifests.errors import InvalidSetting
from manifests.messages import join_names

SAFE, BLOCKED, NOT_RUN = "safe", "blocked", "not run"
BLOCK, ALLOW = "block", "allow"
DIGITS = 4  # decimals of a score

# The hazard categories of MLCommons, by the codes of Llama Guard 3.
CATEGORIES = {
    "S1": "Violent Crimes",
    "S2": "Non-Violent Crimes",
    "S3": "Sex-Related Crimes",
    "S4": "Child Sexual Exploitation",
    "S5": "Defamation",
    "S6": "Specialized Advice",
    "S7": "Privacy",
    "S8": "Intellectual Property",
    "S9": "Indiscriminate Weapons",
    "S10": "Hate",
    "S11": "Suicide & Self-Harm",
    "S12": "Sexual Content",
    "S13": "Elections",
    "S14": "Code Interpreter Abuse",
}


class NotRun(Exception):
    """A check could not decide. The row is no safer for it: with `on_error="block"` it becomes an error."""


class Verdict(NamedTuple):
    """What a check found.

    Attributes:
        verdict: safe, blocked, or not run.
        by: The stage, and the model or list with version and digest.
        category: Category of the finding; empty without one.
        score: Score that was compared with the limit; None if the check did not run.
        reason: What was found and where, or why the check did not run; empty if safe.
    """

    verdict: str
    by: str
    category: str = ""
    score: float | None = None
    reason: str = ""

    def columns(self, prefix: str) -> dict[str, Any]:
        """The values of the columns that `verdict_row` declares."""
        return {
            prefix: self.verdict,
            **{f"{prefix}_{name}": value for name, value in self._asdict().items() if name != "verdict"},
        }


def verdict_row(prefix: str, what: str) -> type[Row]:
    """Return the row type of a verdict: `prefix`, and `prefix_by`, `…_category`, `…_score`, `…_reason`."""
    return make_row(
        "Verdict",
        {
            prefix: (str, column(f"verdict on {what}: safe, blocked, or not run")),
            f"{prefix}_by": (str, column("stage, and model or list with version and digest")),
            f"{prefix}_category": (str, column("category of the finding; empty without one")),
            f"{prefix}_score": (
                float | None,
                column("score that was compared with the limit; null: not run", unit="0..1"),
            ),
            f"{prefix}_reason": (str, column("what was found and where, or why the check did not run")),
        },
    )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check a setting that is one of a few words.

    Raises:
        InvalidSetting: the value is none of the choices.
    """
    if value not in choices:
        raise InvalidSetting(f"{name} is {value!r}", remedy=f"set it to {join_names(choices, len(choices))}")


def short_digest(digest: str) -> str:
    """The first 12 hex digits of a digest, for a column that people read."""
    return digest[:12]
