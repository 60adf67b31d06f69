"""What a training shows about itself: validation, previews and logs. It changes no result of the training."""

from dataclasses import dataclass

from manifests import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What a training shows about itself: validation, previews and logs. It changes no weight.

    Attributes:
        validation_interval: Steps between evaluations on held-out clips; 0 evaluates only at the end. Higher
            values cost less time.
        validation_max_clips: Maximum number of held-out clips that are evaluated. Higher values cost more
            time and give less noise.
        tensorboard: Write event files for TensorBoard.
    """

    validation_interval: NonNegativeInt = 0
    validation_max_clips: PositiveInt = 256
    tensorboard: bool = False
