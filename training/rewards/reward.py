"""The contract of a reward: a computable score of generated videos."""

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Videos: TypeAlias = npt.NDArray[np.uint8]  # RGB [n t h w 3]
Scores: TypeAlias = npt.NDArray[np.float64]  # [n]


@runtime_checkable
class Reward(Protocol):
    """Scores videos; higher is better. It needs no gradient.

    Attributes:
        needs_references: Whether it compares each video with the clip that its conditions are of.
    """

    @property
    def needs_references(self) -> bool: ...

    def __call__(self, videos: Videos, references: Videos | None) -> Scores:
        """Scores [n] of videos [n t h w 3]; `references` has the same shape, or is None if not needed."""
        ...
