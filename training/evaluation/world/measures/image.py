"""PSNR and SSIM against the reference, and the lag of a film behind it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from training.evaluation.world.measure import STILL_ROWS, Array, Candidate, Clip, Column, Measured
from training.metrics.image_quality import WINDOW, psnr, ssim
from training.metrics.world.matches import Frames

MAX_LAG = 2  # frames
MAX_PSNR_DB = 60.0  # of equal frames
MIN_GAIN = 1.1  # the error without lag, divided by the lowest one; with less the film has no lag


@dataclass(frozen=True)
class Psnr:
    """PSNR on RGB, of each frame after the given ones; the mean over frames."""

    name: ClassVar[str] = "psnr"
    reads_condition: ClassVar[bool] = False
    main: str = "psnr_db"

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        return (
            Column("psnr_db", "PSNR dB", ".2f", "higher", "mean over frames, on RGB; 60 dB at most"),
            Column(
                "lag_frames",
                "lag frames",
                ".2f",
                "",
                "shift with the lowest error, -2..2: 1 means that the film is late by a frame",
            ),
        )

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        return ""

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        video, reference = candidate.footage.frames, clip.footage.frames
        curve = np.full(len(reference), math.nan)
        for number in range(clip.given_frames, len(reference)):
            found = psnr(_tensor(video[number : number + 1]), _tensor(reference[number : number + 1]))
            curve[number] = min(MAX_PSNR_DB, float(found))
        lag = math.nan if candidate.row in STILL_ROWS else find_lag(video, reference, clip.given_frames)
        values = {"psnr_db": float(np.nanmean(curve)), "lag_frames": lag}
        return Measured(values, {"psnr_db": curve})

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {"color_space": "RGB", "max_psnr_db": MAX_PSNR_DB, "max_lag_frames": MAX_LAG}


@dataclass(frozen=True)
class Ssim:
    """SSIM on RGB, of each frame after the given ones; the mean over frames."""

    name: ClassVar[str] = "ssim"
    reads_condition: ClassVar[bool] = False
    main: str = "ssim"

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        return (Column("ssim", "SSIM", ".4f", "higher", "mean over frames, on RGB, window 11 px"),)

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        side = min(clip.footage.frames.shape[1:3])
        return "" if side >= WINDOW else f"frames of {side} px are smaller than SSIM's window of {WINDOW} px"

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        video, reference = candidate.footage.frames, clip.footage.frames
        curve = np.full(len(reference), math.nan)
        for number in range(clip.given_frames, len(reference)):
            part = slice(number, number + 1)
            curve[number] = float(ssim(_tensor(video[part]), _tensor(reference[part])))
        return Measured({"ssim": float(np.nanmean(curve))}, {"ssim": curve})

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {"color_space": "RGB"}


def find_lag(video: Frames, reference: Frames, given_frames: int) -> float:
    """The shift in -2..2 frames with the lowest squared error between video[t + shift] and reference[t].

    0 if no shift is better by 10 %; NaN if the reference has too few frames, or does not move. A rollout that
    repeats a frame between two chunks has lag 1 from there on.
    """
    start, end = given_frames + MAX_LAG, len(reference) - MAX_LAG
    if end - start < 2 or (reference[start:end] == reference[start - 1 : end - 1]).all():
        return math.nan
    wanted = reference[start:end].astype(np.float32)
    shifts = range(-MAX_LAG, MAX_LAG + 1)
    errors: Array = np.array(
        [np.square(video[start + shift : end + shift].astype(np.float32) - wanted).mean() for shift in shifts]
    )
    best = int(errors.argmin())
    if errors[MAX_LAG] <= MIN_GAIN * errors[best]:
        return 0.0
    return float(shifts[best])


def _tensor(frames: Frames) -> torch.Tensor:
    """[1 3 t h w] in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
