"""The trajectory of a car as a network takes it: the places where it will be, in its own coordinates.

The places are those at equal times after the first frame of the clip, in the frame of the car at that frame:
x forward, y left, z up. Source: Agarwal et al. 2025, arXiv:2501.03575, section 6.3 (64 points, 0.1 s apart).
"""

import torch
from torch import Tensor

from training.conditions.spec import TrajectorySpec


def encode_trajectory(places: Tensor, spec: TrajectorySpec) -> Tensor:
    """`Conditioning.trajectory` [p * 3] of one clip: the places divided by the scale.

    Args:
        places: [p 3] in the unit of the spec.
        spec: What they mean.

    Raises:
        ValueError: They have another shape, or a value is not finite.
    """
    if tuple(places.shape) != (spec.points, 3):
        raise ValueError(f"the trajectory {tuple(places.shape)} is not [{spec.points} 3]")
    if not bool(torch.isfinite(places).all()):
        raise ValueError("the trajectory has a value that is not finite (NaN or infinity)")
    return (places.double() / spec.scale).float().flatten()
