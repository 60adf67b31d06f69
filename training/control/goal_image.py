"""The cost of images by their distance to a goal image."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


class GoalImageCost:
    """Mean squared error to a goal image, over blurred copies of both.

    Objects that do not overlap their place in the goal have the same error wherever they are. Means of larger
    cells see them from further away. Later predictions count more: the last one has as much weight as all
    before it.

    Args:
        goal: uint8 [h w 3].
        cells: Sides in px of the cells that are averaged; those larger than the image are left out.
    """

    def __init__(self, goal: Tensor, cells: tuple[int, ...] = (1, 4, 8, 16)) -> None:
        self.goal = _to_float(goal[None])
        self.cells = tuple(cell for cell in cells if cell <= min(goal.shape[:2]))

    def __call__(self, images: Tensor) -> Tensor:
        """The cost [n] of predicted images, uint8 [n h ...]: [n h height width 3]."""
        n, steps = images.shape[:2]
        predicted = _to_float(images.flatten(0, 1))
        errors = torch.zeros(len(predicted))
        for cell in self.cells:
            difference = _blur(predicted - self.goal, cell)
            errors += difference.square().flatten(1).mean(1) * cell  # a blurred image has less contrast
        errors = errors.reshape(n, steps)
        return (errors.mean(1) + errors[:, -1]) / 2


def _blur(images: Tensor, cell: int) -> Tensor:
    """Means over cells that overlap, twice; a single mean would jump where an object crosses an edge."""
    stride = max(1, cell // 4)
    once = avg_pool2d(images, cell, stride, cell // 2)
    return avg_pool2d(once, cell // stride, 1, cell // stride // 2)


def _to_float(images: Tensor) -> Tensor:
    """uint8 [n h w 3] to float32 [n 3 h w] in 0..1."""
    return images.movedim(-1, 1).float() / 255
