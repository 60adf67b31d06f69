"""Lets a text model write captions again, so that they read well; it sees the caption, and not the clip."""

from functools import cached_property

from manifests import Row, column
from pipeline import Annotate, Needs
from stages.captions.asking import Asks, Desk, total
from stages.captions.prompt import Prompt, prompt_named


class Told(Row):
    caption: str


class Enhanced(Row):
    enhanced_caption: str = column("the caption, written again; empty where the model refused")
    enhanced_by: str = column("the model that wrote it again, with its revision")
    enhanced_status: str = column("ok; truncated: the text has no end; refused: there is no text")
    enhanced_prompt_sha256: str = column("digest of the prompt's text")
    enhanced_prompt_tokens: int | None = column("tokens read; null where nobody counted them")
    enhanced_output_tokens: int | None = column("tokens written; null where nobody counted them")
    enhanced_latency_s: float = column("time from asking to the answer", unit="s")


class EnhanceCaption(Asks[Told, Enhanced], Annotate[Told, Enhanced]):
    """The caption stays as it is; what is written stands beside it. Nothing is asked of an empty one."""

    place = Asks.place | {"prompt"}
    needs = Needs(cpus=0.5, batch=64)

    prompt: str = "enhance"  # one of stages/captions/prompts, or a file of your own, with a place {caption}

    @cached_property
    def loaded_prompt(self) -> Prompt:
        return prompt_named(self.prompt)

    def digest(self) -> str:
        """Of the weights, where they are files, and of the prompt.

        Raises:
            ClipmillError: a setting cannot be meant so, or there is no such prompt or model.
        """
        self.loaded_prompt.check(["caption"], needed=["caption"])
        return f"{super().digest()} {self.loaded_prompt.sha256}"

    async def answer(self, row: Told, desk: Desk) -> Enhanced:
        asked = [self.loaded_prompt.filled({"caption": row.caption})]
        said = await desk.talk(lambda: (asked, ())) if row.caption else []
        revision = next((one.revision for one in said), "")
        return Enhanced(
            enhanced_caption=said[0].text if said else "",
            enhanced_by=f"{self.named}, {revision or 'revision unknown'}",
            enhanced_status=said[0].status if said else "ok",
            enhanced_prompt_sha256=self.loaded_prompt.sha256,
            enhanced_prompt_tokens=total(one.prompt_tokens for one in said),
            enhanced_output_tokens=total(one.output_tokens for one in said),
            enhanced_latency_s=sum(one.seconds for one in said),
        )
