"""Captions each clip with a vision-language model, window by window, and records model, prompt and status.

A caption cannot get onto another clip. One call prepares a window's images, sends the request and returns the
response. Responses are never matched with windows afterwards.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from manifests import Artifact, ClipmillError, PositiveFloat, PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.captions.requests.images import ImageSampling
from stages.captions.requests.window_request import FACTS, PROMPTS, window_request
from stages.captions.requests.windows import Window, split_into_windows, windows_of
from stages.media.strip import CroppedStills
from stages.models.chat.chat_model import STATUSES, ChatResponse
from stages.models.chat.chat_stage import ChatModelStage, ChatSession, gather_all, sum_if_known
from stages.models.chat.prompt import Prompt, load_prompt


class ScannedClip(CroppedStills):
    uri: str
    width_px: int
    height_px: int
    fps: float
    signals: Artifact
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int
    start_s: float
    end_s: float
    time_repair: str = "none"


class Caption(Row):
    caption: str = column("text that describes the clip; empty if the model refused")
    caption_by: str = column("author of the caption: measured facts, or a model with its revision")
    caption_status: str = column(
        "ok; truncated: the text of a window is incomplete; refused: a window has no text"
    )
    caption_model: str = column("name of the model; for a folder, its last part")
    caption_revision: str = column(
        "revision of the model: digest of its files, commit, or what the endpoint reports"
    )
    caption_prompt: str = column("name of the prompt, and of the prompt that refines")
    caption_prompt_sha256: str = column("digest of the prompt's text, and of the prompt that refines")
    caption_prompt_tokens: int | None = column("tokens read over all requests; null if unknown")
    caption_output_tokens: int | None = column("tokens written over all requests; null if unknown")
    caption_latency_s: float = column("sum over all requests of the time to the response", unit="s")
    window_starts: tuple[int, ...] = column("first frame of each window, in the video")
    window_ends: tuple[int, ...] = column("frame after the last frame of each window, in the video")
    window_captions: tuple[str, ...] = column("text that describes each window")
    window_statuses: tuple[str, ...] = column("status of each window")


class CaptionClip(ChatModelStage[ScannedClip, Caption], Annotate[ScannedClip, Caption]):
    """Captions each clip with a vision-language model, in windows of `window_frames` frames.

    The model sees images of each window: stills of the strip if they are as large as `image_px`, else
    frames of the source. If a window has no caption after all attempts, its clip becomes an error;
    `--retry-errors` captions it again. If the endpoint is unavailable, the step pauses.

    Attributes:
        prompt: Name of a prompt in stages/captions/prompts, or a file.
        refine_prompt: A second prompt, such as "refine", which sees the same images and the first answer;
            empty: none.
        sample_fps: Images per second of the clip that the model sees.
        image_px: Longer side of an image, in px, or that of the source if it is smaller.
        max_images: Images of a window, at most. With more, fewer are sampled, evenly spread. Higher values
            show more detail and cost more tokens.
        window_frames: Frames of a window.
        min_window_frames: A remainder of fewer frames joins the window before. Higher values make the last
            windows longer.
        min_clip_frames: A clip of fewer frames is rejected. Higher values reject more clips.
        combine_windows: Caption of the clip: "joined", the texts of all windows, or "first", that of the
            first window.
    """

    version = 2
    execution_settings = ChatModelStage.execution_settings | {"prompt", "refine_prompt"}
    needs = Needs(cpus=1, memory_gb=2, batch=32)

    prompt: str = "default"
    refine_prompt: str = ""
    sample_fps: PositiveFloat = 2.0
    image_px: PositiveInt = 448
    max_images: PositiveInt = 64
    window_frames: PositiveInt = 256
    min_window_frames: PositiveInt = 128
    min_clip_frames: PositiveInt = 4
    combine_windows: str = "joined"

    @cached_property
    def prompts(self) -> list[Prompt]:
        return [load_prompt(name, PROMPTS) for name in (self.prompt, self.refine_prompt) if name]

    def digest(self) -> str:
        """Return the digest of the prompts, and of the weights if they are files.

        Raises:
            ClipmillError: a setting is not valid, or the prompt or the model does not exist.
        """
        if self.combine_windows not in ("joined", "first"):
            raise ClipmillError(
                f"combine_windows is {self.combine_windows!r}", remedy='set it to "joined" or "first"'
            )
        for prompt in self.prompts:
            prompt.check(self.fact_names)
        counts = (self.image_px, self.max_images, self.min_clip_frames, self.min_window_frames)
        if min(self.sample_fps, *counts) <= 0:
            raise ClipmillError(
                "sample_fps, image_px, max_images, min_clip_frames, min_window_frames must be greater than 0"
            )
        if self.window_frames < self.min_clip_frames:
            raise ClipmillError("window_frames must not be less than min_clip_frames")
        return " ".join([super().digest(), *(prompt.sha256 for prompt in self.prompts)])

    @property
    def fact_names(self) -> Sequence[str]:
        """Names of the facts that a prompt may have placeholders for."""
        return FACTS

    def facts(self, row: ScannedClip) -> Mapping[str, str]:
        """Return facts about a clip, besides those about its window."""
        return {"fps": f"{row.fps:.4g}"}

    async def annotate_row(self, row: ScannedClip, session: ChatSession) -> Caption:
        windows = self._windows(row)
        responses = await gather_all(
            session.converse(partial(self._prepare, row, window)) for window in windows
        )
        return self._caption(windows, responses)

    def _windows(self, row: ScannedClip) -> list[Window]:
        frames = row.end_frame - row.start_frame
        edges = split_into_windows(frames, self.window_frames, self.min_window_frames, self.min_clip_frames)
        if not edges:
            raise Reject(f"the clip has {frames} frames; a caption needs {self.min_clip_frames}")
        return windows_of(row, edges)

    def _prepare(self, row: ScannedClip, window: Window) -> tuple[list[str], list[bytes]]:
        """Return the prompts about a window, and its images."""
        sampling = ImageSampling(self.sample_fps, self.image_px, self.max_images)
        return window_request(self.prompts, row, window, sampling, self.facts(row))

    def _caption(self, windows: Sequence[Window], conversations: Sequence[Sequence[ChatResponse]]) -> Caption:
        texts = [conversation[-1].text for conversation in conversations]
        statuses = [conversation[-1].status for conversation in conversations]
        responses = [response for conversation in conversations for response in conversation]
        revisions = " or ".join(sorted({response.revision for response in responses}))
        return Caption(
            caption=texts[0] if self.combine_windows == "first" else " ".join(filter(None, texts)),
            caption_by=f"{self.model_name}, {revisions or 'revision unknown'}",
            caption_status=max(statuses, key=STATUSES.index),
            caption_model=self.model_name,
            caption_revision=revisions,
            caption_prompt=" ".join(prompt.name for prompt in self.prompts),
            caption_prompt_sha256=" ".join(prompt.sha256 for prompt in self.prompts),
            caption_prompt_tokens=sum_if_known(response.prompt_tokens for response in responses),
            caption_output_tokens=sum_if_known(response.output_tokens for response in responses),
            caption_latency_s=sum(response.seconds for response in responses),
            window_starts=tuple(window.start_frame for window in windows),
            window_ends=tuple(window.end_frame for window in windows),
            window_captions=tuple(texts),
            window_statuses=tuple(statuses),
        )
