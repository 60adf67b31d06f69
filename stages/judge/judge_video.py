"""Answers one question about one video with a vision-language model, with yes, no or unknown."""

import re
from functools import cached_property, partial
from pathlib import Path

from manifests import ClipmillError, PositiveFloat, PositiveInt, Row, column
from pipeline import Annotate, Needs
from stages.judge.shown_images import show_video
from stages.models.chat.chat_model import REFUSED, TRUNCATED, ChatRequest, NoResponse
from stages.models.chat.chat_stage import ChatModelStage, ChatSession
from stages.models.chat.prompt import Prompt, load_prompt

PROMPTS = Path(__file__).parent / "prompts"
FACTS = ("images", "seconds", "question")
YES, NO, UNKNOWN = "yes", "no", "unknown"
_WORDS = {"yes": YES, "true": YES, "no": NO, "false": NO, "unknown": UNKNOWN, "cannot tell": UNKNOWN}
_ANY = "|".join(_WORDS)
_FORMS = (
    re.compile(rf"({_ANY})\s*(?:[^\w\s].*)?", re.DOTALL),  # "no", "No, the puck stays."
    re.compile(rf"({_ANY})\s*\n.*", re.DOTALL),
    re.compile(rf".*(?:\n|answer)\W*(?:is\W*)?({_ANY})\W*", re.DOTALL),  # a last line; {{"answer": "no"}}
)
_SHOWN = 200  # characters of an answer in an error


class VideoToJudge(Row):
    video: str
    shown_as: str
    given_frames: int
    question: str


class JudgedVideo(Row):
    answer: str | None = column("yes, no, or unknown: the model cannot tell; null: it refused")
    answer_text: str = column("the answer as the model wrote it; empty if it refused")
    answered_by: str = column("model that answered, with its revision")
    answer_prompt_sha256: str = column("digest of the prompt's text, without the question")
    answer_prompt_tokens: int | None = column("tokens read; null if unknown")
    answer_output_tokens: int | None = column("tokens written; null if unknown")
    answer_latency_s: float = column("time from the request to the response", unit="s")


class JudgeVideo(ChatModelStage[VideoToJudge, JudgedVideo], Annotate[VideoToJudge, JudgedVideo]):
    """Asks a vision-language model one question about a video, one request for each row.

    The model sees images of the whole video, evenly spread, with the first and the last frame. An answer that
    holds none of yes, no and unknown, or several of them, is an error of its row that shows the answer;
    `--retry-errors` asks again.

    Attributes:
        prompt: Name of a prompt in stages/judge/prompts, or a file, with the placeholder {question}; it may
            have {images} and {seconds}.
        sample_fps: Images per second of the video that the model sees.
        image_px: Longer side of an image, in px, or that of the video if it is smaller.
        max_images: Images of a video, at most, at least 2. Higher values show more of a long video and cost
            more tokens.
    """

    version = 2
    execution_settings = ChatModelStage.execution_settings | {"prompt"}
    needs = Needs(cpus=1, memory_gb=2, batch=32)

    prompt: str = "judge"
    sample_fps: PositiveFloat = 4.0
    image_px: PositiveInt = 448
    max_images: PositiveInt = 16

    @cached_property
    def loaded_prompt(self) -> Prompt:
        return load_prompt(self.prompt, PROMPTS)

    def digest(self) -> str:
        """Return the digest of the prompt, and of the weights if they are files.

        Raises:
            ClipmillError: A setting is not valid, or the prompt or the model does not exist.
        """
        if self.max_images < 2:
            raise ClipmillError("max_images is 1, and a video has two ends", remedy="set it to 2 or more")
        self.loaded_prompt.check(FACTS, required=["question"])
        return f"{super().digest()} {self.loaded_prompt.sha256}"

    async def annotate_row(self, row: VideoToJudge, session: ChatSession) -> JudgedVideo:
        response = await session.ask(partial(self._prepare, row))
        answer = None
        if response.status != REFUSED:
            answer = parse_answer(response.text)
            if answer is None:
                hint = "; it was cut off: raise max_tokens" if response.status == TRUNCATED else ""
                shown = response.text[:_SHOWN] + ("…" if len(response.text) > _SHOWN else "")
                raise NoResponse(f"the answer is not yes, no or unknown{hint}. The answer: {shown!r}")
        return JudgedVideo(
            answer=answer,
            answer_text=response.text,
            answered_by=f"{self.model_name}, {response.revision or 'revision unknown'}",
            answer_prompt_sha256=self.loaded_prompt.sha256,
            answer_prompt_tokens=response.prompt_tokens,
            answer_output_tokens=response.output_tokens,
            answer_latency_s=response.seconds,
        )

    def _prepare(self, row: VideoToJudge) -> ChatRequest:
        images, seconds = show_video(
            Path(row.video), row.shown_as, row.given_frames, self.sample_fps, self.image_px, self.max_images
        )
        facts = {"images": str(len(images)), "seconds": f"{seconds:.1f}", "question": row.question}
        return ChatRequest(self.loaded_prompt.fill(facts), images)


def parse_answer(text: str) -> str | None:
    """Return "yes", "no" or "unknown"; None if the text is none of them.

    The word stands alone, before a punctuation mark or a new line, as the last line, or after "answer". "No
    object vanishes" is no answer: whether it says yes or no depends on the question.
    """
    plain = text.casefold().strip(" \t\n*_\"'`{")
    found = (match[1] for form in _FORMS if (match := form.fullmatch(plain)))
    return next((_WORDS[word] for word in found), None)
