"""The text of a row that a check reads: the prompt, the upsampled prompt, or the caption."""

from manifests import ClipmillError, Row
from stages.guardrails.verdict import check_choice

TEXTS = ("prompt", "upsampled_prompt", "caption")


class PromptText(Row):
    prompt: str | None = None
    upsampled_prompt: str | None = None
    caption: str | None = None


def check_text_column(text: str) -> None:
    """Check the setting `text`.

    Raises:
        InvalidSetting: it is none of the columns.
    """
    check_choice("text", text, TEXTS)


def text_of(row: PromptText, text: str) -> str:
    """Return the text to check.

    Raises:
        ClipmillError: no earlier step adds the column.
    """
    value: str | None = getattr(row, text)
    if value is None:
        raise ClipmillError(
            f"the rows have no {text!r} to check", remedy="set text to a column that an earlier step adds"
        )
    return value
