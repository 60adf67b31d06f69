"""The motion scores of Physics-IQ. Source: Motamed et al. 2025, arXiv:2501.09038, and its published code.

Where motion happens (spatial), where and when (spatio-temporal), and how much of it where (weighted spatial):
the intersection over union of motion masks of the video and of the reference. A fourth score is the mean
squared error.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.metrics.world.matches import Frames, require_opencv

Masks = npt.NDArray[np.bool_]  # [t h w]
AVERAGE_RATE, THRESHOLD, KERNEL_PX = 0.3, 10, 5


@dataclass(frozen=True)
class MotionScores:
    """Scores of a video; 1 is best, and for `mse` 0.

    Attributes:
        spatial_iou: Of the places where anything moves at any time.
        spatiotemporal_iou: Of the masks, mean over frames.
        weighted_spatial_iou: Of the share of the time that each place moves.
        mse: Mean squared error of values in 0..1, over frames and colors.
        iou_by_frame: Spatio-temporal IoU of each frame, [t].
    """

    spatial_iou: float
    spatiotemporal_iou: float
    weighted_spatial_iou: float
    mse: float
    iou_by_frame: npt.NDArray[np.float64]

    @property
    def score(self) -> float:
        """Physics-IQ, 0..100: 100 (mean of the three IoU - MSE), clipped.

        The published score divides each IoU by that between two takes of the same scene, and subtracts the
        MSE between them. A reference has one take here: two runs of a simulator are equal, with IoU 1 and MSE
        0.
        """
        mean = (self.spatial_iou + self.spatiotemporal_iou + self.weighted_spatial_iou) / 3
        return float(np.clip(100 * (mean - self.mse), 0, 100))


def motion_masks(frames: Frames) -> Masks:
    """Where each frame [t h w 3] differs by more than 10 of 255 from a running mean of the frames before it.

    Gray, blurred by a 5 x 5 Gaussian; the mean adds 0.3 of each frame, the present one included; the masks
    are opened, then closed, with a 5 x 5 square. The first mask is empty.
    """
    cv2 = require_opencv()
    kernel = np.ones((KERNEL_PX, KERNEL_PX), np.uint8)
    masks = np.zeros(frames.shape[:3], bool)
    average: npt.NDArray[np.float64] | None = None
    for number, frame in enumerate(frames):
        gray = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (KERNEL_PX, KERNEL_PX), 0)
        if average is None:
            average = gray.astype(np.float64)
            continue
        cv2.accumulateWeighted(gray, average, AVERAGE_RATE)
        difference = cv2.absdiff(gray, cv2.convertScaleAbs(average))
        mask = cv2.threshold(difference, THRESHOLD, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
        masks[number] = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel) > 0
    return masks


def motion_scores(video: Frames, reference: Frames, given_frames: int = 0) -> MotionScores:
    """Scores of a video against a reference of the same shape [t h w 3], without the given frames.

    The masks see the given frames, so that the running mean is known at the first generated one. IoU is 1
    where nothing moves in either.

    Raises:
        ValueError: The shapes differ.
    """
    if video.shape != reference.shape:
        raise ValueError(f"videos of shapes {video.shape} and {reference.shape} cannot be compared")
    masks, wanted = (motion_masks(each)[given_frames:] for each in (video, reference))
    by_frame = np.array([mask_iou(*pair) for pair in zip(masks, wanted, strict=True)])
    difference = video[given_frames:].astype(np.float32) - reference[given_frames:]
    shares, wanted_shares = masks.mean(0), wanted.mean(0)
    union = float(np.maximum(shares, wanted_shares).sum())
    return MotionScores(
        spatial_iou=mask_iou(np.asarray(masks.any(0)), np.asarray(wanted.any(0))),
        spatiotemporal_iou=float(by_frame.mean()),
        weighted_spatial_iou=float(np.minimum(shares, wanted_shares).sum()) / union if union else 1.0,
        mse=float(np.square(difference / 255).mean()),
        iou_by_frame=by_frame,
    )


def mask_iou(mask: Masks, reference: Masks) -> float:
    """Intersection over union of two masks of any shape; 1 if both are empty."""
    union = int((mask | reference).sum())
    return int((mask & reference).sum()) / union if union else 1.0
