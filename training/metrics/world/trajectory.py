"""Compares two paths of a camera: alignment by a similarity, rotation and translation errors."""

import math
from dataclasses import dataclass

import numpy as np

from training.metrics.world.epipolar import MIN_BASELINE, Array

MEDIAN_ITERATIONS, MIN_CHORD = 50, 1e-6


@dataclass(frozen=True)
class PoseErrors:
    """Errors of each frame after alignment; NaN where the frame has no pose.

    Attributes:
        rotation_deg: Angle of R_ref^T R, [t].
        translation: Distance of the centers, in the unit of the reference, [t]; NaN if the reference stays in
            one place, where no scale can be found.
        path_length: Length of the path of the reference, in its unit.
    """

    rotation_deg: Array
    translation: Array
    path_length: float

    @property
    def translation_percent(self) -> float:
        """Mean distance of the centers in percent of the reference's path; NaN for a path of length 0."""
        known = self.translation[~np.isnan(self.translation)]
        if not len(known) or self.path_length < MIN_BASELINE:
            return math.nan
        return 100 * float(known.mean()) / self.path_length


def align_poses(poses: Array, reference: Array) -> Array:
    """Apply the similarity that brings poses [n 3 4] closest to those of a reference [n 3 4].

    The rotation is the median of R_ref R^T over the frames, which single wrong frames do not move; scale
    and translation are those of least squares between the centers. The rotation does not come from the
    centers, as in the method of Umeyama, because the centers of a straight path leave it open.

    Raises:
        ValueError: There is no pose.
    """
    if not len(poses):
        raise ValueError("there are no poses to align")
    rotation = _median_rotation(reference[:, :, :3] @ poses[:, :, :3].transpose(0, 2, 1))
    centers, wanted = poses[:, :, 3] @ rotation.T, reference[:, :, 3]
    spread = centers - centers.mean(0)
    power = float((spread**2).sum())
    scale = max(0.0, float((spread * (wanted - wanted.mean(0))).sum()) / power) if power > 0 else 0.0
    moved = scale * spread + wanted.mean(0)
    aligned: Array = np.concatenate([rotation @ poses[:, :, :3], moved[:, :, None]], 2)
    return aligned


def _median_rotation(rotations: Array) -> Array:
    """The rotation with the lowest sum of chordal distances to rotations [n 3 3] (Weiszfeld)."""
    weights = np.ones(len(rotations))
    for _ in range(MEDIAN_ITERATIONS):
        u, _, vt = np.linalg.svd((weights[:, None, None] * rotations).sum(0))
        median: Array = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        weights = 1 / np.maximum(np.linalg.norm(rotations - median, axis=(1, 2)), MIN_CHORD)
    return median


def pose_errors(poses: Array, has_pose: "np.typing.NDArray[np.bool_]", reference: Array) -> PoseErrors:
    """Errors of estimated poses [t 3 4] after alignment to those of a reference [t 3 4].

    Args:
        poses: Camera-to-world poses, in any frame and scale.
        has_pose: Which frames have one, [t].
        reference: The poses to compare with, of all frames.
    """
    rotation = np.full(len(reference), np.nan)
    translation = np.full(len(reference), np.nan)
    steps = np.diff(reference[:, :, 3], axis=0)
    length = float(np.linalg.norm(steps, axis=1).sum())
    if has_pose.any():
        aligned = align_poses(poses[has_pose], reference[has_pose])
        rotation[has_pose] = rotation_angles_deg(aligned[:, :, :3], reference[has_pose, :, :3])
        if length >= MIN_BASELINE:
            translation[has_pose] = np.linalg.norm(aligned[:, :, 3] - reference[has_pose, :, 3], axis=1)
    return PoseErrors(rotation, translation, length)


def rotation_angles_deg(first: Array, second: Array) -> Array:
    """Angles in degrees between rotations [n 3 3]: arccos((tr(R1^T R2) - 1) / 2), accurate near 0."""
    # |R1 - R2| = 2 sqrt(2) sin(angle / 2)
    chord = np.linalg.norm(first - second, axis=(1, 2)) / (2 * math.sqrt(2))
    angles: Array = np.degrees(2 * np.arcsin(np.clip(chord, 0, 1)))
    return angles
