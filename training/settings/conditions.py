"""Actions, camera poses and trajectories as the condition of a training."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, PositiveFloat, Share


@dataclass(frozen=True, kw_only=True)
class ConditionSettings:
    """Actions, camera poses of each frame and trajectories as the condition of a training.

    Attributes:
        conditions: What clips are conditioned on: action, camera, trajectory, or several with commas. The
            shards must have it. "" trains without. With init_from, new layers begin at zero, so that the
            first step is that of the model without them.
        camera_injection: Where the rays of the camera enter the network: channels (of the input) or block
            (before the self-attention of each block; of a transformer only).
        camera_scale: Length, in the unit of the poses, that translations are divided by; choose the typical
            distance that a camera moves in a clip. Higher values make moments smaller. 0: 1 m of metric
            poses, and else the longest distance from the first position in each clip.
        trajectory_scale: Length, in the unit of the trajectory, that its points are divided by; choose the
            typical distance to a point. Higher values make the input of the network smaller.
        action_dropout: Share of clips that lose their actions. Higher values make sampling without actions
            better.
        camera_dropout: Share of clips that lose their camera. Higher values make sampling without a camera
            better.
        trajectory_dropout: Share of clips that lose their trajectory. Higher values make sampling without a
            trajectory better.
        condition_lr_scale: The learning rate of the layers that read actions, a camera, a trajectory or other
            views, as a multiple of lr. Higher values let new layers learn faster than those of init_from.
    """

    conditions: str = ""
    camera_injection: str = "channels"
    camera_scale: NonNegativeFloat = 0.0
    trajectory_scale: PositiveFloat = 10.0
    action_dropout: Share = 0.1
    camera_dropout: Share = 0.1
    trajectory_dropout: Share = 0.1
    condition_lr_scale: PositiveFloat = 1.0

    @property
    def condition_names(self) -> tuple[str, ...]:
        """The conditions that are named, sorted, each once."""
        return tuple(sorted({name.strip() for name in self.conditions.split(",") if name.strip()}))
