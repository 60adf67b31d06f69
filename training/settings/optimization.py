"""The steps of a training and their learning rate."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """The steps of a training and their learning rate.

    Attributes:
        steps: Optimizer steps in total. Higher values train longer.
        lr: Peak learning rate. Higher values learn faster and can diverge.
        warmup_steps: Steps of the linear warmup to the peak learning rate.
        lr_schedule: Learning rate after the warmup: constant, cosine, which ends at a tenth of the peak, or
            linear, which ends at 0.
        weight_decay: Weight decay of AdamW.
        max_skipped_steps: Consecutive steps whose loss or gradient is not finite that are skipped before the
            training fails. Higher values tolerate more.
    """

    steps: PositiveInt = 200
    lr: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 20
    lr_schedule: str = "constant"
    weight_decay: NonNegativeFloat = 0.01
    max_skipped_steps: NonNegativeInt = 10


@dataclass(frozen=True, kw_only=True)
class OptimizationSettings(StepSettings):
    """The steps of a training in stages.

    Attributes:
        stages: YAML text: a list of stages, each with its steps and the settings that it changes; "" has one
            stage. `steps` has no effect then. See `training.recipes.stages`.
    """

    stages: str = ""
