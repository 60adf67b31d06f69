"""Motion of a film against that of its reference: Physics-IQ, and the masks of objects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from training.evaluation.world.measure import Candidate, Clip, Column, Measured
from training.metrics.world.flow import MIN_SIDE_PX, carry_masks
from training.metrics.world.motion import mask_iou, motion_scores


@dataclass(frozen=True)
class PhysicsIq:
    """The four motion scores of Physics-IQ, without a second take."""

    name: ClassVar[str] = "physics-iq"
    reads_condition: ClassVar[bool] = False
    main: str = "physics_iq"

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        return (
            Column("spatial_iou", "spatial IoU", ".3f", "higher", "where anything moves"),
            Column("spatiotemporal_iou", "spatio-temporal IoU", ".3f", "higher", "where and when it moves"),
            Column(
                "weighted_spatial_iou", "weighted IoU", ".3f", "higher", "how much of the time it moves where"
            ),
            Column("mse", "MSE", ".5f", "lower", "mean squared error of values in 0..1"),
            Column(
                "physics_iq",
                "Physics-IQ",
                ".1f",
                "higher",
                "100 (mean IoU - MSE); two takes are taken as equal",
            ),
        )

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        return ""

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        found = motion_scores(candidate.footage.frames, clip.footage.frames, clip.given_frames)
        curve = np.concatenate([np.full(clip.given_frames, math.nan), found.iou_by_frame])
        values = {
            "spatial_iou": found.spatial_iou,
            "spatiotemporal_iou": found.spatiotemporal_iou,
            "weighted_spatial_iou": found.weighted_spatial_iou,
            "mse": found.mse,
            "physics_iq": found.score,
        }
        return Measured(values, {"spatiotemporal_iou": curve})

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {"size": "that of the reference (the published code uses a quarter)", "takes": 1}


@dataclass(frozen=True)
class MaskIou:
    """IoU of the objects of the reference, whose masks in frame 0 optical flow carries through the film."""

    name: ClassVar[str] = "mask-iou"
    reads_condition: ClassVar[bool] = False
    main: str = "mask_iou"

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        meaning = "mean over objects and frames; ground truth has the error of the tracker"
        return (Column("mask_iou", "mask IoU", ".3f", "higher", meaning),)

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        if clip.masks is None:
            return "there is no NAME.masks.npz beside it"
        if not clip.masks[0].any():
            return "its masks have no object in the first frame"
        side = min(clip.footage.frames.shape[1:3])
        return "" if side >= MIN_SIDE_PX else f"frames of {side} px are too small for optical flow"

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        masks = clip.masks
        assert masks is not None
        carried = carry_masks(masks[0], candidate.footage.frames)
        objects = [number for number in np.unique(masks[0]) if number]
        curve = np.full(len(masks), math.nan)
        for number in range(clip.given_frames, len(masks)):
            each = [mask_iou(carried[number] == label, masks[number] == label) for label in objects]
            curve[number] = float(np.mean(each))
        return Measured({"mask_iou": float(np.nanmean(curve))}, {"mask_iou": curve})

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {"tracker": "DIS optical flow, from the true masks of frame 0"}
