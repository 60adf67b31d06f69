"""Actions as a network takes them: normalized, and grouped by latent frame.

Action i moves frame i to frame i + 1. A tokenizer of temporal stride s makes latent frame 0 from frame 0, and
latent frame j from the frames (j - 1) s + 1 … j s, which the actions (j - 1) s … j s - 1 lead to.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.conditions.spec import ActionSpec


def normalize_actions(actions: Tensor, spec: ActionSpec) -> Tensor:
    """(actions - mean) / std, float32 [... a]; a value whose std is 0 is divided by 1."""
    std = torch.tensor(spec.std, dtype=torch.float64)
    mean = torch.tensor(spec.mean, dtype=torch.float64)
    return ((actions.double() - mean) / torch.where(std > 0, std, 1)).float()


def group_actions(actions: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The actions of each latent frame.

    Args:
        actions: [n a] for n = k * stride transitions between frames, NaN where they are unknown.
        stride: Frames per latent frame.

    Returns:
        Actions [1 + k, stride * a], zeros where they are unknown and for latent frame 0, to which no action
        leads; and their mask [1 + k], 1 where all actions of a latent frame are known.

    Raises:
        ValueError: The number of actions is not a multiple of `stride`.
    """
    count, size = actions.shape
    if count % stride:
        raise ValueError(f"{count} actions are not k * {stride}")
    grouped = actions.reshape(count // stride, stride * size)
    is_known = ~grouped.isnan().any(1)
    grouped = torch.where(is_known[:, None], grouped, 0.0)
    first = grouped.new_zeros(1, stride * size)
    return torch.cat([first, grouped]), torch.cat([first.new_zeros(1), is_known.to(grouped)])


def encode_actions(actions: Tensor, spec: ActionSpec, stride: int) -> tuple[Tensor, Tensor]:
    """`Conditioning.action` [t, stride * a] and `action_mask` [t] of one clip, from raw actions [n a].

    Raises:
        ValueError: An action has another number of values than the spec, or see `group_actions`.
    """
    if actions.dim() != 2 or actions.shape[1] != len(spec.names):
        raise ValueError(
            f"actions {tuple(actions.shape)} are not [n {len(spec.names)}]: {_listed(spec.names)}"
        )
    return group_actions(normalize_actions(actions, spec), stride)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
