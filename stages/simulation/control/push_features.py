"""What a policy of the push task sees: features of a state or an image."""

from typing import TYPE_CHECKING

from stages.simulation.control.push_cost import positions
from stages.simulation.push_task import GOAL

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = (
    "pusher_x",
    "pusher_y",
    "puck_x",
    "puck_y",
    "offset_x",
    "offset_y",
    "offset",
    "offset_along",
    "offset_across",
    "distance",
    "direction_x",
    "direction_y",
)


def push_features(observations: "Tensor") -> "Tensor":
    """The features `FEATURES`, float32 [... 12], of states [... 6] or images uint8 [... h w 3].

    They are the positions of the discs, the offset of the pusher from the puck, its length, its parts along
    and across the direction from the puck to the goal, the distance of the goal, and the direction; in m.
    """
    import torch

    place = positions(observations).float()
    pusher, puck = place[..., :2], place[..., 2:]
    to_goal, offset = torch.tensor(GOAL, dtype=torch.float32) - puck, pusher - puck
    distance = to_goal.norm(dim=-1, keepdim=True)
    ahead = to_goal / distance.clamp(min=1e-6)
    along = (offset * ahead).sum(-1, keepdim=True)
    across = offset[..., :1] * ahead[..., 1:] - offset[..., 1:] * ahead[..., :1]
    length = offset.norm(dim=-1, keepdim=True)
    return torch.cat([pusher, puck, offset, length, along, across, distance, ahead], -1)
