"""Classifies frames of a video or clip, and records a verdict."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from manifests import NonNegativeFloat, Row, Share, column, make_row
from manifests.errors import InvalidSetting
from pipeline import Annotate, Needs, Reject
from stages.guardrails.class_limits import ClassLimits, read_class_limits
from stages.guardrails.footage import Footage, SampledFrame, sampled_frames
from stages.guardrails.verdict import (
    ALLOW,
    BLOCK,
    BLOCKED,
    DIGITS,
    NOT_RUN,
    SAFE,
    Verdict,
    check_choice,
    short_digest,
    verdict_row,
)
from stages.media.errors import UnreadableFile
from stages.models.frame_classifiers import FrameClassifier

ANY, SHARE, MEAN = "any", "share", "mean"
_BATCH = 16  # frames that are in memory at the same time
_PREFIX = "video_check"


class _Finding(NamedTuple):
    """The class that is closest to its limit, or farthest beyond it."""

    category: str
    score: float
    limit: float
    frame: int
    time_s: float
    reason: str


class CheckVideo(Annotate[Footage, Row]):
    """Classifies frames of `video`, `clip` or the stored stills, and records a verdict. A rule acts on it.

    Without `model`, open_nsfw gives one score: how sexually suggestive a frame is. It knows no other
    category. With `model` and `head`, the classes are those of `limits`. A video without a frame, or that
    cannot be decoded, is never safe: the row is rejected, or with `on_error="allow"` it is "not run".

    Attributes:
        model: An open_clip model: a folder, ARCHITECTURE:FILE, ARCHITECTURE:TAG or hf-hub:OWNER/NAME. Empty:
            open_nsfw.
        head: A file of linear layers that was trained for this model, with one output per class.
        limits: Classes and their limits: open_nsfw, or a YAML file.
        rule: When a video is blocked: any (one frame reaches a limit), share (more than `min_share` of the
            frames do) or mean (the mean over the frames does).
        min_share: Share of frames from which on the rule share blocks. Higher values block less.
        sample_fps: Frames per second that are classified; 0 is every frame. Stored stills are all classified.
            Higher values cost more.
        on_error: What happens to a video that cannot be classified: block or allow.
    """

    needs = Needs(cpus=1, memory_gb=2, batch=4)

    model: str = ""
    head: str = ""
    limits: str = "open_nsfw"
    rule: str = ANY
    min_share: Share = 0.1
    sample_fps: NonNegativeFloat = 2.0
    on_error: str = BLOCK

    @cached_property
    def class_limits(self) -> ClassLimits:
        return read_class_limits(self.limits)

    @cached_property
    def classifier(self) -> FrameClassifier:
        from stages.models.frame_classifiers import HeadClassifier, OpenNsfw

        return HeadClassifier(self.model, self.head) if self.model else OpenNsfw()

    @cached_property
    def weights_digest(self) -> str:
        from stages.models.frame_classifiers import head_digest, nsfw_weights_file
        from stages.models.open_clip import open_clip_digest
        from stages.models.weights import digest_of_files

        if self.model:
            return head_digest(Path(self.head)) + open_clip_digest(self.model)
        return digest_of_files([nsfw_weights_file()])

    def added_columns(self) -> type[Row]:
        return make_row(
            "VideoCheck",
            {
                f"{_PREFIX}_frame": (
                    int | None,
                    column("number of the frame with the highest score; null: not run"),
                ),
                f"{_PREFIX}_time_s": (
                    float | None,
                    column("time of that frame since the start; null: not run", unit="s"),
                ),
            },
            verdict_row(_PREFIX, "the video"),
        )

    def digest(self) -> str:
        """Return the digests of the weights and limits.

        Raises:
            ClipmillError: a setting is not valid, or a file is missing.
        """
        check_choice("rule", self.rule, (ANY, SHARE, MEAN))
        check_choice("on_error", self.on_error, (BLOCK, ALLOW))
        if bool(self.model) != bool(self.head) or (self.model and self.limits == "open_nsfw"):
            raise InvalidSetting(
                "model, head and limits belong together",
                remedy="name all three, or none of them for open_nsfw",
            )
        return f"{self.weights_digest} {self.class_limits.sha256}"

    def annotate(self, rows: Sequence[Footage]) -> Iterator[Row | Reject]:
        for row in rows:
            try:
                found = self._find(row)
            except UnreadableFile as error:
                found = str(error)
            if isinstance(found, str) and self.on_error == BLOCK:
                yield Reject(f"not run: {found}")
            else:
                yield self._row(found)

    def _find(self, row: Footage) -> "_Finding | str":
        """Return the finding, or why there is none."""
        frames = sampled_frames(row, self.sample_fps)
        probabilities: list[npt.NDArray[np.float32]] = []
        places: list[tuple[int, float]] = []
        while batch := list(islice(frames, _BATCH)):
            probabilities.append(self._classify(batch))
            places += [(frame.number, frame.time_s) for frame in batch]
        if not places:
            return "the video has no frame"
        return self._decide(np.concatenate(probabilities), places)

    def _classify(self, frames: Sequence[SampledFrame]) -> npt.NDArray[np.float32]:
        found = self.classifier([frame.image for frame in frames])
        if found.shape[1] != len(self.class_limits.classes):
            raise InvalidSetting(
                f"the classifier has {found.shape[1]} classes, and limits names "
                f"{len(self.class_limits.classes)}",
                remedy="name each class of the head in limits",
            )
        return found

    def _decide(self, found: npt.NDArray[np.float32], places: Sequence[tuple[int, float]]) -> _Finding:
        findings = []
        for name, limit in self.class_limits.limits.items():
            values = found[:, self.class_limits.classes.index(name)]
            top = int(values.argmax())
            score = {ANY: values.max(), SHARE: (values >= limit).mean(), MEAN: values.mean()}[self.rule]
            compared = self.min_share if self.rule == SHARE else limit
            frame, time_s = places[top]
            reason = (
                f"{self.rule} of {len(places)} frames: {name} {score:.3f}, limit {compared:g}; highest in "
                f"frame {frame} at {time_s:.2f} s ({values[top]:.3f})"
            )
            findings.append(_Finding(name, round(float(score), DIGITS), compared, frame, time_s, reason))
        return max(findings, key=lambda finding: finding.score - finding.limit)

    def _row(self, found: "_Finding | str") -> Row:
        limits = self.class_limits
        model = Path(self.model).name if self.model else "open_nsfw"
        by = (
            f"CheckVideo, {model} ({short_digest(self.weights_digest)}), limits {limits.name} "
            f"{limits.version} ({short_digest(limits.sha256)})"
        )
        if isinstance(found, str):
            verdict, frame, time_s = Verdict(NOT_RUN, by, reason=found), None, None
        else:
            is_blocked = found.score >= found.limit if self.rule != SHARE else found.score > found.limit
            frame, time_s = found.frame, found.time_s
            verdict = (
                Verdict(BLOCKED, by, found.category, found.score, found.reason)
                if is_blocked
                else Verdict(SAFE, by, score=found.score)
            )
        place = {f"{_PREFIX}_frame": frame, f"{_PREFIX}_time_s": time_s}
        row: Row = self.adds(**verdict.columns(_PREFIX), **place)
        return row
