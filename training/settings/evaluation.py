"""What a training shows about itself: validation, previews and logs. It changes no result of the training."""

from dataclasses import dataclass

from manifests import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """What any training shows about itself: validation and logs. It changes no weight.

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


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(ValidationSettings):
    """What the training of a diffusion model shows besides: previews. It changes no weight.

    Attributes:
        preview_interval: Steps between preview videos; 0 makes none. Higher values cost less time.
        preview_prompts: Text file with the prompts of the previews, one per line; "" takes the captions of
            the first held-out clips, and their first frames if conditional_frames trains image-to-video.
        preview_num_inference_steps: Steps of the sampler of previews. Higher values cost more time and look
            better.
    """

    preview_interval: NonNegativeInt = 0
    preview_prompts: str = ""
    preview_num_inference_steps: PositiveInt = 20
