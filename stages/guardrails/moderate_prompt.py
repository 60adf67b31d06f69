"""Asks a safety model about a prompt, at an endpoint or in this process, and records a verdict."""

from functools import cached_property, partial
from typing import TYPE_CHECKING

from manifests import Row
from manifests.errors import InvalidSetting
from pipeline import Annotate, Needs, Unavailable
from stages.guardrails.text.prompt_text import PromptText, check_text_column, text_of
from stages.guardrails.text.replies import FORMATS, QWEN3GUARD, parse_reply
from stages.guardrails.verdict import (
    ALLOW,
    BLOCK,
    BLOCKED,
    NOT_RUN,
    SAFE,
    NotRun,
    Verdict,
    check_choice,
    short_digest,
    verdict_row,
)

if TYPE_CHECKING:
    from stages.models.image_text import ImageTextModel
