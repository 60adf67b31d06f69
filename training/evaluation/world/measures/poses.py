"""Camera poses of a film, estimated by GLOMAP and compared with the requested ones after alignment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from training.evaluation.world.measure import Candidate, Clip, Column, Measured
from training.metrics.world.structure_from_motion import EstimatedPoses, estimate_poses, load_pycolmap
from training.metrics.world.trajectory import pose_errors

MIN_REGISTERED_SHARE = 0.9  # of the frames; with fewer the film has no poses


@dataclass(frozen=True)
class Poses:
    """Rotation and translation errors of estimated poses.

    Attributes:
        num_threads: CPU threads.
        seed: Of the estimation.
    """

    name: ClassVar[str] = "poses"
    reads_condition: ClassVar[bool] = True
    num_threads: int = 1
    seed: int = 0
    main: str = "rotation_deg"

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        share = f"{MIN_REGISTERED_SHARE:.0%} of the frames"
        return (
            Column("pose_success", "success", ".2f", "higher", f"share of the clips with poses of {share}"),
            Column("rotation_deg", "rotation deg", ".3f", "lower", "mean angle to the requested rotation"),
            Column(
                "translation_percent",
                "translation %",
                ".3f",
                "lower",
                "mean distance to the requested center, in percent of the length of the path",
            ),
        )

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        if clip.conditions.poses is None or clip.conditions.intrinsics is None:
            return "there is no camera_pose with camera_intrinsics in its conditions"
        return "" if len(clip.footage.frames) >= 3 else "GLOMAP needs three frames or more"

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        poses, intrinsics = candidate.conditions.poses, clip.conditions.intrinsics
        assert poses is not None
        assert intrinsics is not None
        memo = candidate.footage.memo
        if "poses" not in memo:
            memo["poses"] = estimate_poses(
                candidate.footage.frames, intrinsics[0], num_threads=self.num_threads, seed=self.seed
            )
        estimated: EstimatedPoses = memo["poses"]
        share = estimated.registered_share
        if share < MIN_REGISTERED_SHARE:
            why = f"GLOMAP gives poses of {share:.0%} of the frames"
            return Measured({"pose_success": 0.0}, {}, why)
        errors = pose_errors(estimated.poses, estimated.has_pose, poses)
        values = {
            "pose_success": 1.0,
            "rotation_deg": float(np.nanmean(errors.rotation_deg)),
            "translation_percent": errors.translation_percent,
        }
        curves = {"rotation_deg": errors.rotation_deg}
        if not math.isnan(errors.translation_percent):
            curves["translation_percent"] = 100 * errors.translation / errors.path_length
        return Measured(values, curves)

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        version = str(load_pycolmap().__version__)
        alignment = "similarity: median rotation, then scale and translation of the centers"
        return {"estimation": f"GLOMAP, pycolmap {version}, known intrinsics", "alignment": alignment}
