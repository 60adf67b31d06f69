"""Captions the events of each clip: what happens in each span of a few seconds, with exact times."""

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import groupby, pairwise

from manifests import PositiveFloat, PositiveInt, Row, column
from pipeline import Annotate, Needs
from stages.captions.caption_clip import ScannedClip
from stages.captions.requests.images import ImageSampling
from stages.captions.requests.window_request import FACTS, PROMPTS, window_request
from stages.captions.requests.windows import Window, split_into_windows, windows_of
from stages.models.chat.chat_model import ChatResponse
from stages.models.chat.chat_stage import ChatModelStage, ChatSession, gather_all, sum_if_known
from stages.models.chat.prompt import Prompt, load_prompt

EVENT_FACTS = (*FACTS, "event_start_s", "event_end_s", "clip_length_s")
_DIGITS = 6  # decimals of a time in s


class Events(Row):
    event_starts_s: tuple[float, ...] = column("start of each event, from the start of the clip", unit="s")
    event_ends_s: tuple[float, ...] = column("end of each event, from the start of the clip", unit="s")
    event_captions: tuple[str, ...] = column("what happens in each event; empty where the model refused")
    event_statuses: tuple[str, ...] = column(
        "ok; truncated: the text is incomplete; refused: there is no text"
    )
    events_by: str = column("author of the events: a model with its revision")
    events_prompt_sha256: str = column("digest of the prompt's text")
    events_prompt_tokens: int | None = column("tokens read over all requests; null if unknown")
    events_output_tokens: int | None = column("tokens written over all requests; null if unknown")
    events_latency_s: float = column("sum over all requests of the time to the response", unit="s")


class CaptionEvents(ChatModelStage[ScannedClip, Events], Annotate[ScannedClip, Events]):
    """Captions the spans of about `event_duration_s` seconds of a clip. They cover the clip without gaps.

    The spans begin and end at frames, so the times are exact. Spans in a row for which the model writes the
    same text are one event. A clip that is shorter than one and a half spans is one event. If a span has no
    caption after all attempts, its clip becomes an error; `--retry-errors` captions it again.

    Attributes:
        prompt: Name of a prompt in stages/captions/prompts, or a file. Besides the placeholders of captions
            it may have {event_start_s}, {event_end_s} and {clip_length_s}.
        event_duration_s: Duration of a span in seconds. A remainder of less than half of it joins the span
            before. Higher values make fewer, longer events and cost less.
        sample_fps: Images per second of the clip that the model sees.
        image_px: Longer side of an image, in px, or that of the source if it is smaller.
        max_images: Images of a span, at most. With more, fewer are sampled, evenly spread. Higher values show
            more detail and cost more tokens.
    """

    execution_settings = ChatModelStage.execution_settings | {"prompt"}
    needs = Needs(cpus=1, memory_gb=2, batch=32)

    prompt: str = "event"
    event_duration_s: PositiveFloat = 4.0
    sample_fps: PositiveFloat = 2.0
    image_px: PositiveInt = 448
    max_images: PositiveInt = 16

    @cached_property
    def loaded_prompt(self) -> Prompt:
        return load_prompt(self.prompt, PROMPTS)

    def digest(self) -> str:
        """Return the digest of the prompt, and of the weights if they are files.

        Raises:
            ClipmillError: a setting is not valid, or the prompt or the model does not exist.
        """
        self.loaded_prompt.check(EVENT_FACTS)
        return f"{super().digest()} {self.loaded_prompt.sha256}"

    async def annotate_row(self, row: ScannedClip, session: ChatSession) -> Events:
        frames = max(1, round(self.event_duration_s * row.fps))
        spans = windows_of(
            row, split_into_windows(row.end_frame - row.start_frame, frames, (frames + 1) // 2, 1)
        )
        conversations = await gather_all(
            session.converse(partial(self._prepare, row, span)) for span in spans
        )
        return self._events(row, spans, [response for [response] in conversations])

    def _prepare(self, row: ScannedClip, span: Window) -> tuple[list[str], list[bytes]]:
        """Return the prompt about a span, and its images."""
        facts = {
            "fps": f"{row.fps:.4g}",
            "event_start_s": f"{span.start_s - row.start_s:.1f}",
            "event_end_s": f"{span.end_s - row.start_s:.1f}",
            "clip_length_s": f"{row.end_s - row.start_s:.1f}",
        }
        sampling = ImageSampling(self.sample_fps, self.image_px, self.max_images)
        return window_request([self.loaded_prompt], row, span, sampling, facts)

    def _events(self, row: ScannedClip, spans: Sequence[Window], responses: Sequence[ChatResponse]) -> Events:
        edges_s = [round(s - row.start_s, _DIGITS) for s in (*(span.start_s for span in spans), row.end_s)]
        pairs = zip(pairwise(edges_s), responses, strict=True)
        events = [list(group) for _, group in groupby(pairs, key=lambda pair: (pair[1].text, pair[1].status))]
        revisions = " or ".join(sorted({response.revision for response in responses}))
        return Events(
            event_starts_s=tuple(event[0][0][0] for event in events),
            event_ends_s=tuple(event[-1][0][1] for event in events),
            event_captions=tuple(event[0][1].text for event in events),
            event_statuses=tuple(event[0][1].status for event in events),
            events_by=f"{self.model_name}, {revisions or 'revision unknown'}",
            events_prompt_sha256=self.loaded_prompt.sha256,
            events_prompt_tokens=sum_if_known(response.prompt_tokens for response in responses),
            events_output_tokens=sum_if_known(response.output_tokens for response in responses),
            events_latency_s=sum(response.seconds for response in responses),
        )
