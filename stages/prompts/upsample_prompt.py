"""Rewrites short prompts into captions like those of the training. No prompt is lost."""

from functools import cached_property, partial
from pathlib import Path
from typing import Any

from manifests import ClipmillError, NonNegativeInt, PositiveInt, Row, Share, column
from pipeline import Annotate, Needs, Unavailable
from stages.media.decoding.video import open_video
from stages.media.strip import encode_jpeg
from stages.models.chat.chat_model import REFUSED, ChatRequest, ChatResponse
from stages.models.chat.chat_stage import ChatModelStage, ChatSession, sum_if_known
from stages.models.chat.prompt import Prompt, load_prompt
from stages.models.chat.words import split_words
from stages.prompts.entities import find_entities
from stages.prompts.reply import WrongReply, check_reply, clean_reply

_TEMPLATES = Path(__file__).parent / "templates"
_FACTS = ("prompt", "min_words", "max_words")
_IMAGE_PX, _JPEG_QUALITY = 1024, 90
_MAX_LETTERS = 20  # of a word, on average: a longer prompt is no text of words


class PromptToUpsample(Row):
    prompt: str
    given_image: str = ""
    given_video: str = ""


class UpsampledPrompt(Row):
    upsampled_prompt: str = column("the caption that the model wrote, or the prompt itself")
    upsample_status: str = column("upsampled: the model wrote it; original: it is the prompt itself")
    upsample_reason: str = column("why it is the prompt itself; empty if the model wrote it")
    upsampled_by: str = column("model with its revision; empty if it is the prompt itself")
    upsample_replies: int = column("replies of the model", unit="1")
    upsample_template: str = column("name of the template")
    upsample_template_sha256: str = column("digest of the text of the template")
    upsample_prompt_tokens: int | None = column("tokens read over all requests; null if unknown")
    upsample_output_tokens: int | None = column("tokens written over all requests; null if unknown")
    upsample_latency_s: float = column("sum over all requests of the time to the response", unit="s")


class UpsamplePrompt(
    ChatModelStage[PromptToUpsample, UpsampledPrompt], Annotate[PromptToUpsample, UpsampledPrompt]
):
    """Rewrites each prompt with a chat model and adds the result; the original stays in `prompt`.

    The model also sees the given image, or the last frame of the given video. What the prompt names must
    survive, see `stages/prompts/entities.py`. A reply that is wrong is sent back with a correction. If all
    replies are wrong, the model refuses, fails or is unavailable, or the prompt is empty or long, the result
    is the prompt itself, with the reason.

    Attributes:
        template: Name of a template in stages/prompts/templates, or a file, with the placeholder {prompt}; it
            may have {min_words} and {max_words}.
        image_template: The same for prompts with an image or a video.
        min_words: Words that the template asks for, at least. Higher values ask for longer captions.
        max_words: Words of the result, at most; a longer prompt is not rewritten. Higher values allow more.
        min_kept_share: Share of the words of the prompt that must survive, 0 to 1; quoted texts, numbers and
            names must always. Higher values are stricter, and use the prompt itself more often.
        max_corrections: Corrections of a wrong reply, at most. Higher values save more prompts and cost more.
        on_unavailable: What happens to prompts while the model is unavailable: original uses the prompt
            itself; wait pauses the step, as for captions.
        seed: Seed of the model at an endpoint. A model in this process decodes greedily.
    """

    execution_settings = ChatModelStage.execution_settings | {"template", "image_template"}
    needs = Needs(cpus=0.5, memory_gb=1, batch=32)

    template: str = "video"
    image_template: str = "image_to_video"
    min_words: PositiveInt = 60
    max_words: PositiveInt = 200
    min_kept_share: Share = 1.0
    max_corrections: NonNegativeInt = 2
    on_unavailable: str = "original"
    seed: NonNegativeInt = 0

    @cached_property
    def templates(self) -> tuple[Prompt, Prompt]:
        return load_prompt(self.template, _TEMPLATES), load_prompt(self.image_template, _TEMPLATES)

    def digest(self) -> str:
        """Return the digest of the templates, and of the weights if they are files.

        Raises:
            ClipmillError: a setting is not valid, or a template or the model does not exist.
        """
        if self.on_unavailable not in ("original", "wait"):
            raise ClipmillError(
                f"on_unavailable is {self.on_unavailable!r}", remedy='set it to "original" or "wait"'
            )
        if self.min_words > self.max_words:
            raise ClipmillError("min_words is greater than max_words", remedy="lower min_words")
        for template in self.templates:
            template.check(_FACTS, required=["prompt"])
        return " ".join([super().digest(), *(template.sha256 for template in self.templates)])

    def _extra_body(self) -> dict[str, Any]:
        return {"seed": self.seed, **super()._extra_body()}

    async def annotate_row(self, row: PromptToUpsample, session: ChatSession) -> UpsampledPrompt:
        template = self.templates[1 if row.given_image or row.given_video else 0]
        responses: list[ChatResponse] = []
        text, reason = "", _unsuitable(row.prompt, self.max_words)
        if not reason:
            try:
                text = await self._converse(row, template, session, responses)
            except ClipmillError:
                raise
            except Unavailable as error:
                if self.on_unavailable == "wait":
                    raise
                reason = f"the model is unavailable: {error}"
            except Exception as error:  # whatever fails, the prompt remains
                reason = str(error) or type(error).__name__
        revision = responses[-1].revision if responses else ""
        return UpsampledPrompt(
            upsampled_prompt=text or row.prompt,
            upsample_status="original" if reason else "upsampled",
            upsample_reason=reason,
            upsampled_by="" if reason else f"{self.model_name}, {revision or 'revision unknown'}",
            upsample_replies=len(responses),
            upsample_template=template.name,
            upsample_template_sha256=template.sha256,
            upsample_prompt_tokens=sum_if_known(response.prompt_tokens for response in responses),
            upsample_output_tokens=sum_if_known(response.output_tokens for response in responses),
            upsample_latency_s=sum(response.seconds for response in responses),
        )

    async def _converse(
        self, row: PromptToUpsample, template: Prompt, session: ChatSession, responses: list[ChatResponse]
    ) -> str:
        """Return the caption of the first reply that passes all checks. The replies are added to `responses`.

        Raises:
            WrongReply: no reply passes.
            Exception: the image cannot be read, or the model fails.
        """
        words = {"min_words": str(self.min_words), "max_words": str(self.max_words)}
        request, entities = template.fill({"prompt": row.prompt, **words}), find_entities(row.prompt)
        turns: list[tuple[str, str]] = []
        while True:
            response = await session.ask(partial(_request, row, request, tuple(turns)))
            responses.append(response)
            if response.status == REFUSED:
                raise WrongReply("the model refused", "")
            try:
                text = clean_reply(response.text)
                check_reply(response, text, row.prompt, entities, self.max_words, self.min_kept_share)
            except WrongReply as wrong:
                if len(responses) > self.max_corrections:
                    raise
                turns, request = [*turns, (request, response.text)], wrong.correction
            else:
                return text


def _unsuitable(prompt: str, max_words: int) -> str:
    """Why a prompt is not rewritten; empty if it is."""
    if not prompt.strip():
        return "the prompt is empty"
    if len(prompt) > _MAX_LETTERS * max_words or len(split_words(prompt)) > max_words:
        return f"the prompt has more than {max_words} words already"
    return ""


def _request(row: PromptToUpsample, prompt: str, earlier: tuple[tuple[str, str], ...]) -> ChatRequest:
    return ChatRequest(prompt, _images(row), earlier)


def _images(row: PromptToUpsample) -> tuple[bytes, ...]:
    """The image of a prompt, or the last frame of its video, as a JPEG of at most `_IMAGE_PX`.

    Raises:
        UnreadableFile: it cannot be decoded.
    """
    if not (row.given_image or row.given_video):
        return ()
    with open_video(row.given_image or row.given_video) as video:
        for frame in video.frames():
            last = frame
        width, height = last.display_size
        scale = min(1.0, _IMAGE_PX / max(width, height))
        pixels = last.pixels("bgr24", max(1, round(width * scale)), max(1, round(height * scale)))
    return (encode_jpeg(pixels, _JPEG_QUALITY),)
