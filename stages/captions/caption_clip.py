"""Captions each clip by a model that looks at it, window by window, and keeps who said what to which prompt.

A caption cannot come to stand on another clip: what is asked about a window, its pictures and what is said
are variables of one call, whose result is the answer; nothing is matched with anything afterwards.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from manifests import Artifact, ClipmillError, Row, column
from pipeline import Annotate, Needs, Reject
from stages.captions.asking import Asks, Desk, all_of, total
from stages.captions.chat import STATUSES, Said
from stages.captions.pictures import Look, pictures_of
from stages.captions.prompt import Prompt, prompt_named
from stages.captions.windows import Window, frames_of_windows
from stages.media.signals import read_signals

FACTS = ("pictures", "picture_fps", "length_s", "fps")


class Shown(Row):
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


class Captioned(Row):
    caption: str = column("what the clip shows; empty where the model refused")
    caption_by: str = column("who wrote the caption: measured facts, or a model with its revision")
    caption_status: str = column("ok; truncated: a window's text has no end; refused: a window has no text")
    caption_model: str = column("the model as it was named; of a folder, its last part")
    caption_revision: str = column("digest of its files, its commit, or what the endpoint says it is")
    caption_prompt: str = column("name of the prompt, and of the one that refines")
    caption_prompt_sha256: str = column("digest of the prompt's text, and of the one that refines")
    caption_prompt_tokens: int | None = column("tokens read; null where nobody counted them")
    caption_output_tokens: int | None = column("tokens written; null where nobody counted them")
    caption_latency_s: float = column("time from asking to the answer, over all questions", unit="s")
    window_starts: tuple[int, ...] = column("first frame of each window, in the video")
    window_ends: tuple[int, ...] = column("frame after the last of each window")
    window_captions: tuple[str, ...] = column("what each window shows")
    window_statuses: tuple[str, ...] = column("status of each window")


class CaptionClip(Asks[Shown, Captioned], Annotate[Shown, Captioned]):
    """Asks about windows of `window_frames` frames; a remainder under `window_least` joins the window before.

    A window is shown as pictures, `picture_fps` a second and `picture_px` on the longer side: those of the
    strip if they are that large, else the source's. With `refine`, a second prompt is put to the same
    pictures and the first answer. A window that nobody could caption sets its clip aside as an error, which
    `--retry-errors` asks again; an endpoint that is away pauses the step.
    """

    place = Asks.place | {"prompt", "refine"}
    needs = Needs(cpus=1, memory_gb=2, batch=32)

    prompt: str = "default"  # one of stages/captions/prompts, or a file of your own
    refine: str = ""  # the same: "refine", say; its text sees the first answer
    picture_fps: float = 2.0
    picture_px: int = 448
    pictures: int = 64  # of a window at most; more are thinned out
    window_frames: int = 256
    window_least: int = 128
    window_fewest: int = 4  # a clip of fewer frames is rejected
    whole: str = "joined"  # the clip's caption: all windows "joined", or the "first"

    @cached_property
    def prompts(self) -> list[Prompt]:
        return [prompt_named(name) for name in (self.prompt, self.refine) if name]

    def digest(self) -> str:
        """Of the weights, where they are files, and of the prompts.

        Raises:
            ClipmillError: a setting cannot be meant so, or there is no such prompt or model.
        """
        if self.whole not in ("joined", "first"):
            raise ClipmillError(f"whole is {self.whole!r}", remedy='say "joined" or "first"')
        for prompt in self.prompts:
            prompt.check(self.known)
        least = min(self.picture_fps, self.picture_px, self.pictures, self.window_fewest, self.window_least)
        if least <= 0 or self.window_frames < self.window_fewest:
            raise ClipmillError("numbers and sizes of pictures and windows are more than nothing")
        return " ".join([super().digest(), *(prompt.sha256 for prompt in self.prompts)])

    @property
    def known(self) -> Sequence[str]:
        """Names of facts that a prompt may have a place for."""
        return FACTS

    def facts(self, row: Shown) -> Mapping[str, str]:
        """Facts about a clip, beside those about its window."""
        return {"fps": f"{row.fps:.4g}"}

    async def answer(self, row: Shown, desk: Desk) -> Captioned:
        windows = self._windows(row)
        told = await all_of(desk.talk(partial(self._begin, row, window)) for window in windows)
        return self._captioned(windows, told)

    def _windows(self, row: Shown) -> list[Window]:
        frames = row.end_frame - row.start_frame
        edges = frames_of_windows(frames, self.window_frames, self.window_least, self.window_fewest)
        if not edges:
            raise Reject(f"the clip has {frames} frames; a caption needs {self.window_fewest}")
        of = read_signals(row.signals, ["pts", "time_s"], row.start_frame, row.end_frame)
        pts, times_s = [*of["pts"].tolist(), row.end_pts], [*of["time_s"].tolist(), row.end_s]
        first = row.start_frame
        return [Window(first + a, first + b, pts[a], pts[b], times_s[a], times_s[b]) for a, b in edges]

    def _begin(self, row: Shown, window: Window) -> tuple[list[str], list[bytes]]:
        """The prompts about a window, and its pictures."""
        pictures = pictures_of(row, window, Look(self.picture_fps, self.picture_px, self.pictures))
        length_s = window.end_s - window.start_s
        facts = {
            "pictures": str(len(pictures)),
            "picture_fps": f"{len(pictures) / length_s:.2g}",
            "length_s": f"{length_s:.1f}",
            **self.facts(row),
        }
        return [prompt.filled(facts) for prompt in self.prompts], pictures

    def _captioned(self, windows: Sequence[Window], talks: Sequence[Sequence[Said]]) -> Captioned:
        texts = [talk[-1].text for talk in talks]
        statuses = [talk[-1].status for talk in talks]
        said = [said for talk in talks for said in talk]
        revisions = " or ".join(sorted({one.revision for one in said}))
        return Captioned(
            caption=texts[0] if self.whole == "first" else " ".join(filter(None, texts)),
            caption_by=f"{self.named}, {revisions or 'revision unknown'}",
            caption_status=max(statuses, key=STATUSES.index),
            caption_model=self.named,
            caption_revision=revisions,
            caption_prompt=" ".join(prompt.name for prompt in self.prompts),
            caption_prompt_sha256=" ".join(prompt.sha256 for prompt in self.prompts),
            caption_prompt_tokens=total(one.prompt_tokens for one in said),
            caption_output_tokens=total(one.output_tokens for one in said),
            caption_latency_s=sum(one.seconds for one in said),
            window_starts=tuple(window.start_frame for window in windows),
            window_ends=tuple(window.end_frame for window in windows),
            window_captions=tuple(texts),
            window_statuses=tuple(statuses),
        )
