"""What observations of the push task say: where pusher and puck are, and how far the task is from solved."""

from typing import TYPE_CHECKING

from stages.simulation.push_task import CONTACT, GOAL, PUCK_RADIUS, PUSHER_RADIUS

if TYPE_CHECKING:
    from torch import Tensor

REACH_WEIGHT = 0.2  # of the way of the pusher to the puck; the way of the puck has the weight 1
_UNSEEN = -1.0  # m; where a disc is said to be that an image does not show
_LEAST_AREA = 0.1  # of a disc that counts as seen


def positions(observations: "Tensor") -> "Tensor":
    """x, y of pusher and puck in m, float [... 4], of states [... 6] or of images uint8 [... h w 3].

    In an image a disc is at the center of its color. Over the frames of the simulator, the error is below
    0.15 px at 32 px. A disc that is not seen, as a bad model may predict, is far from the table.
    """
    import torch

    if observations.dtype != torch.uint8:
        return observations[..., :4]
    red, green, blue = observations.float().unbind(-1)
    pusher = _center(((blue - red - 10) / 100).clamp(0, 1), PUSHER_RADIUS)
    puck = _center(((red - green - 20) / 100).clamp(0, 1), PUCK_RADIUS)
    return torch.cat([pusher, puck], -1)


def _center(weight: "Tensor", radius: float) -> "Tensor":
    """The center [... 2] in m of the weights [... h w] of pixels of a disc."""
    import torch

    size = weight.shape[-1]
    grid = (torch.arange(size) + 0.5) / size
    total = weight.sum((-2, -1))
    x = (weight.sum(-2) * grid).sum(-1) / total.clamp(min=1e-6)
    y = 1 - (weight.sum(-1) * grid).sum(-1) / total.clamp(min=1e-6)
    is_seen = total > _LEAST_AREA * torch.pi * (radius * size) ** 2
    return torch.where(is_seen[..., None], torch.stack([x, y], -1), _UNSEEN)


def push_cost(observations: "Tensor") -> "Tensor":
    """The cost [n] of predicted observations [n h ...], in m.

    It is the distance of the puck from the goal, half of it the mean over the horizon and half of it at the
    end, and a small part of the distance at the end of the pusher from the place behind the puck from which
    it can push it to the goal.
    """
    import torch

    place = positions(observations).float()
    pusher, puck = place[..., :2], place[..., 2:]
    to_goal = torch.tensor(GOAL, dtype=torch.float32) - puck
    distance = to_goal.norm(dim=-1)
    ahead = to_goal / distance[..., None].clamp(min=1e-6)
    reach = (puck - ahead * CONTACT - pusher).norm(dim=-1)
    cost: Tensor = (distance.mean(1) + distance[:, -1]) / 2 + REACH_WEIGHT * reach[:, -1]
    return cost
