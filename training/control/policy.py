"""A policy network: features of the newest observation to an action, in a safetensors file."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.control.dynamics import History
from training.errors import CheckpointError

Features = Callable[[Tensor], Tensor]
"""The features [... f] of observations [... *], float."""
METADATA = "clipmill.policy"


class PolicyNetwork(nn.Module):
    """A perceptron with two hidden layers; features are standardized, and actions are in -1..1.

    Args:
        features: Number of features.
        actions: Numbers of an action.
        width: Units of a hidden layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, actions: int, width: int = 64) -> None:
        super().__init__()
        self.sizes = {"features": features, "actions": actions, "width": width}
        self.layers = nn.Sequential(
            nn.Linear(features, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, actions),
        )
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def forward(self, features: Tensor) -> Tensor:
        """The actions [... a] for features [... f]."""
        actions: Tensor = self.layers((features.float() - self.mean) / self.std)
        return actions.tanh()


@dataclass(frozen=True)
class NetworkAgent:
    """A network as `training.control.closed_loop.Agent`.

    Attributes:
        network: The policy.
        features: Of an observation.
    """

    network: PolicyNetwork
    features: Features

    @torch.inference_mode()
    def __call__(self, history: History) -> Tensor:
        """The next action [a]."""
        action: Tensor = self.network(self.features(history.observations[-1]))
        return action


def save_policy(network: PolicyNetwork, about: Mapping[str, Any], file: Path) -> None:
    """Write a policy, with what it is for as JSON in the header of the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    metadata = {METADATA: json.dumps({"sizes": network.sizes, "about": dict(about)})}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file, metadata)


def load_policy(file: Path) -> tuple[PolicyNetwork, dict[str, Any]]:
    """Read a policy, and what it is for.

    Raises:
        CheckpointError: The file cannot be read, or holds no policy.
    """
    remedy = "name a file of clipmill plan-actions --learn-policy"
    try:
        with safe_open(file, "pt") as opened:
            found = json.loads((opened.metadata() or {}).get(METADATA, "null"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"the policy cannot be read: {error}", where=str(file), remedy=remedy
        ) from error
    try:
        network = PolicyNetwork(**found["sizes"])
        network.load_state_dict(tensors)
        about: dict[str, Any] = found["about"]
    except (TypeError, KeyError, RuntimeError) as error:
        raise CheckpointError("the file holds no policy", where=str(file), remedy=remedy) from error
    return network.eval(), about
