"""Rewrites captions with a text model, so that they read better. The model does not see the clip."""

from functools import cached_property

from manifests import Row, column
from pipeline import Annotate, Needs
from stages.captions.requests.window_request import PROMPTS
from stages.models.chat.chat_stage import ChatModelStage, ChatSession, sum_if_known
from stages.models.chat.prompt import Prompt, load_prompt


class CaptionedClip(Row):
    caption: str


class EnhancedCaption(Row):
    enhanced_caption: str = column("the rewritten caption; empty if the model refused")
    enhanced_by: str = column("model that rewrote the caption, with its revision")
    enhanced_status: str = column("ok; truncated: the text is incomplete; refused: there is no text")
    enhanced_prompt_sha256: str = column("digest of the prompt's text")
    enhanced_prompt_tokens: int | None = column("tokens read; null if unknown")
    enhanced_output_tokens: int | None = column("tokens written; null if unknown")
    enhanced_latency_s: float = column("time from the request to the response", unit="s")


class EnhanceCaption(
    ChatModelStage[CaptionedClip, EnhancedCaption], Annotate[CaptionedClip, EnhancedCaption]
):
    """Rewrites each caption and adds the result; the original caption stays. An empty caption stays empty.

    Attributes:
        prompt: Name of a prompt in stages/captions/prompts, or a file, with the placeholder {caption}.
    """

    version = 2
    execution_settings = ChatModelStage.execution_settings | {"prompt"}
    needs = Needs(cpus=0.5, batch=64)

    prompt: str = "enhance"

    @cached_property
    def loaded_prompt(self) -> Prompt:
        return load_prompt(self.prompt, PROMPTS)

    def digest(self) -> str:
        """Return the digest of the prompt, and of the weights if they are files.

        Raises:
            ClipmillError: a setting is not valid, or the prompt or the model does not exist.
        """
        self.loaded_prompt.check(["caption"], required=["caption"])
        return f"{super().digest()} {self.loaded_prompt.sha256}"

    async def annotate_row(self, row: CaptionedClip, session: ChatSession) -> EnhancedCaption:
        prompts = [self.loaded_prompt.fill({"caption": row.caption})]
        responses = await session.converse(lambda: (prompts, ())) if row.caption else []
        revision = next((response.revision for response in responses), "")
        return EnhancedCaption(
            enhanced_caption=responses[0].text if responses else "",
            enhanced_by=f"{self.model_name}, {revision or 'revision unknown'}",
            enhanced_status=responses[0].status if responses else "ok",
            enhanced_prompt_sha256=self.loaded_prompt.sha256,
            enhanced_prompt_tokens=sum_if_known(response.prompt_tokens for response in responses),
            enhanced_output_tokens=sum_if_known(response.output_tokens for response in responses),
            enhanced_latency_s=sum(response.seconds for response in responses),
        )
