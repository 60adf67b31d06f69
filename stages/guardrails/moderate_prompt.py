"""Asks a safety model about a prompt, at an endpoint or in this process, and records a verdict."""

from manifests import Row
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
from stages.models.chat.chat_model import ChatResponse, NoResponse
from stages.models.chat.chat_stage import ChatModelStage, ChatSession

_SCORES = {"safe": 0.0, "controversial": 0.5, "unsafe": 1.0}
_MAX_REPLIES = 2  # replies without a label before the check counts as not run
_NAME = "ModeratePrompt"


class ModeratePrompt(ChatModelStage[PromptText, Row], Annotate[PromptText, Row]):
    """Asks a safety model whether a prompt is safe, and records a verdict. It drops nothing; a rule does.

    The prompt is sent as it is: the chat template of the model holds the policy. A reply without a label, a
    refusal and a request that fails are "not run", and never safe. With `on_error="block"` such a row becomes
    an error, which `--retry-errors` repeats; if the endpoint is down, the step pauses and the rows wait. With
    `allow` the verdict says "not run" and the row goes on. An empty prompt is safe without a request. The
    columns are named after `text`: `prompt_moderation`, `prompt_moderation_category`, `…_score` (1 unsafe,
    0.5 controversial, 0 safe), `…_reason`, `…_by`.

    Attributes:
        text: Column that is checked: prompt, upsampled_prompt or caption.
        reply_format: qwen3guard (Safety: … and Categories: …) or llama_guard (safe, or unsafe and codes).
        controversial: What Qwen3Guard's label Controversial means: block or allow.
        on_error: What happens to a prompt that the model did not judge: block or allow.
    """

    needs = Needs(cpus=1, memory_gb=2, batch=32)

    text: str = "prompt"
    reply_format: str = QWEN3GUARD
    controversial: str = BLOCK
    on_error: str = BLOCK

    def added_columns(self) -> type[Row]:
        check_text_column(self.text)
        return verdict_row(f"{self.text}_moderation", f"the {self.text}, by a safety model")

    def digest(self) -> str:
        """Return the digest of the weights if they are files of this machine, else "".

        Raises:
            ClipmillError: a setting is not valid.
        """
        check_choice("reply_format", self.reply_format, FORMATS)
        check_choice("controversial", self.controversial, (BLOCK, ALLOW))
        check_choice("on_error", self.on_error, (BLOCK, ALLOW))
        return super().digest()

    async def annotate_row(self, row: PromptText, session: ChatSession) -> Row:
        found = await self._verdict(text_of(row, self.text), session)
        columns: Row = self.adds(**found.columns(f"{self.text}_moderation"))
        return columns

    async def _verdict(self, text: str, session: ChatSession) -> Verdict:
        if not text.strip():
            return Verdict(SAFE, self._by(""), score=0.0)
        try:
            return await self._ask(text, session)
        except (NotRun, NoResponse, Unavailable) as error:
            if self.on_error == ALLOW:
                return Verdict(NOT_RUN, self._by(""), reason=str(error))
            if isinstance(error, NoResponse):
                raise NotRun(f"the safety model did not judge the {self.text}: {error}") from error
            raise

    async def _ask(self, text: str, session: ChatSession) -> Verdict:
        """Return the verdict of the model.

        Raises:
            NotRun: no reply has a label.
            NoResponse, Unavailable: see there.
        """
        for attempt in range(_MAX_REPLIES):
            [response] = await session.converse(lambda: ([text], []))
            try:
                return self._read(response)
            except NotRun as error:
                if attempt + 1 == _MAX_REPLIES:
                    raise NotRun(f"the safety model did not judge the {self.text}: {error}") from error
        raise AssertionError("the loop returns or raises")

    def _read(self, response: ChatResponse) -> Verdict:
        if not response.text:
            raise NotRun("the model refused to reply")
        label = parse_reply(response.text, self.reply_format)
        is_blocked = label.label == "unsafe" or (
            label.label == "controversial" and self.controversial == BLOCK
        )
        return Verdict(
            BLOCKED if is_blocked else SAFE,
            self._by(response.revision),
            label.categories,
            _SCORES[label.label],
            f"the model says {label.label}" if label.label != "safe" else "",
        )

    def _by(self, revision: str) -> str:
        shown = short_digest(revision) if revision else "revision unknown"
        return f"{_NAME}, {self.model_name} ({shown})"
