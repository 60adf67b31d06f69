"""Asks a vision-language model questions about each clip, and adds a column for each answer."""

import json
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

from manifests import ClipmillError, PositiveFloat, PositiveInt, Row, column, make_row
from pipeline import Annotate, Needs
from stages.captions.caption_clip import ScannedClip
from stages.captions.questions.answers import BadAnswer, parse_answers
from stages.captions.questions.question import Question, parse_question
from stages.captions.requests.images import ImageSampling
from stages.captions.requests.window_request import FACTS, PROMPTS, window_request
from stages.captions.requests.windows import Window
from stages.models.chat.chat_model import REFUSED, TRUNCATED, ChatResponse, NoResponse
from stages.models.chat.chat_stage import ChatModelStage, ChatSession
from stages.models.chat.prompt import Prompt, load_prompt

_ANSWER_WORDS: dict[Any, str] = {True: "yes", False: "no", None: ""}
_SHOWN = 300  # characters of an answer in an error


class Answers(Row):
    answers: str = column('answers by name as a JSON object: "yes", "no" or a choice; "" where unknown')
    answers_text: str = column("the model's answer as it wrote it; empty if it refused")
    answers_status: str = column("ok; refused: there is no answer, and the answers to all questions are null")
    answers_by: str = column("model that answered, with its revision")
    answers_prompt_sha256: str = column("digest of the prompt's text, without the questions")
    answers_prompt_tokens: int | None = column("tokens read; null if unknown")
    answers_output_tokens: int | None = column("tokens written; null if unknown")
    answers_latency_s: float = column("time from the request to the response", unit="s")


class AskQuestions(ChatModelStage[ScannedClip, Answers], Annotate[ScannedClip, Answers]):
    """Asks all questions about a clip in one request, and adds a column with the name of each question.

    A column holds true or false, or one of the question's choices; null where the model cannot tell. The
    answer must be a JSON object. An answer that cannot be read, also after repairs, is an error of its clip
    that shows the answer; `--retry-errors` asks again.

    Attributes:
        questions: One question each: `name: question` for yes or no, or `name: question | choice | choice`.
        prompt: Name of a prompt in stages/captions/prompts, or a file, with the placeholder {questions}.
        sample_fps: Images per second of the clip that the model sees.
        image_px: Longer side of an image, in px, or that of the source if it is smaller.
        max_images: Images of a clip, at most. With more, fewer are sampled, evenly spread. Higher values show
            more detail and cost more tokens.
    """

    execution_settings = ChatModelStage.execution_settings | {"prompt"}
    needs = Needs(cpus=1, memory_gb=2, batch=32)

    questions: tuple[str, ...]
    prompt: str = "questions"
    sample_fps: PositiveFloat = 2.0
    image_px: PositiveInt = 448
    max_images: PositiveInt = 16

    @cached_property
    def parsed_questions(self) -> list[Question]:
        return [parse_question(line) for line in self.questions]

    @cached_property
    def loaded_prompt(self) -> Prompt:
        return load_prompt(self.prompt, PROMPTS)

    def added_columns(self) -> type[Row]:
        """Return the columns of `Answers`, and one for each question.

        Raises:
            ClipmillError: there is no question, two have one name, or one has another form.
        """
        questions = self.parsed_questions
        names = [question.name for question in questions]
        if not names or len(set(names)) < len(names):
            problem = "two questions have the same name" if names else "there is no question"
            raise ClipmillError(problem, where="questions", remedy="write `name: question` for each")
        return make_row("QuestionAnswers", dict(self._columns()), Answers)

    def _columns(self) -> Iterator[tuple[str, tuple[Any, Any]]]:
        for question in self.parsed_questions:
            kind = str if question.choices else bool
            yield question.name, (kind | None, column(f"answer to: {question.text}"))

    def digest(self) -> str:
        """Return the digest of the prompt, and of the weights if they are files.

        Raises:
            ClipmillError: a setting is not valid, or the prompt or the model does not exist.
        """
        self.loaded_prompt.check((*FACTS, "questions"), required=["questions"])
        return f"{super().digest()} {self.loaded_prompt.sha256}"

    async def annotate_row(self, row: ScannedClip, session: ChatSession) -> Answers:
        [response] = await session.converse(partial(self._prepare, row))
        found: dict[str, Any] = dict.fromkeys(question.name for question in self.parsed_questions)
        if response.status != REFUSED:
            found = self._parse(response)
        answers: Any = self.adds
        row_type: type[Answers] = answers
        return row_type(
            answers=json.dumps({name: _ANSWER_WORDS.get(value, value) for name, value in found.items()}),
            answers_text=response.text,
            answers_status=REFUSED if response.status == REFUSED else "ok",
            answers_by=f"{self.model_name}, {response.revision or 'revision unknown'}",
            answers_prompt_sha256=self.loaded_prompt.sha256,
            answers_prompt_tokens=response.prompt_tokens,
            answers_output_tokens=response.output_tokens,
            answers_latency_s=response.seconds,
            **found,
        )

    def _prepare(self, row: ScannedClip) -> tuple[list[str], list[bytes]]:
        """Return the prompt with the questions, and images of the whole clip."""
        whole = Window(row.start_frame, row.end_frame, row.start_pts, row.end_pts, row.start_s, row.end_s)
        lines = "\n".join(f"- {question.prompt}" for question in self.parsed_questions)
        facts = {"fps": f"{row.fps:.4g}", "questions": lines}
        sampling = ImageSampling(self.sample_fps, self.image_px, self.max_images)
        return window_request([self.loaded_prompt], row, whole, sampling, facts)

    def _parse(self, response: ChatResponse) -> dict[str, Any]:
        try:
            return parse_answers(response.text, self.parsed_questions)
        except BadAnswer as error:
            hint = "; it was cut off: raise max_tokens" if response.status == TRUNCATED else ""
            shown = response.text[:_SHOWN] + ("…" if len(response.text) > _SHOWN else "")
            raise NoResponse(f"the answer cannot be read: {error}{hint}. The answer: {shown!r}") from None
