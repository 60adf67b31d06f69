"""The settings of a training."""

from dataclasses import dataclass
from pathlib import Path

from training.conditions.spec import CONDITIONS
from training.diffusion.config import PATHS, PRECONDITIONINGS, DiffusionConfig
from training.errors import SettingError
from training.networks.config import CAMERA_INJECTIONS
from training.networks.registry import model_names
from training.settings.check import check_settings
from training.settings.codes import CodeSettings
from training.settings.conditions import ConditionSettings
from training.settings.data import DataSettings
from training.settings.diffusion import DiffusionSettings
from training.settings.evaluation import EvaluationSettings
from training.settings.execution import ExecutionSettings
from training.settings.model import ModelSettings
from training.settings.optimization import OptimizationSettings
from training.settings.post_training import DISTILLATIONS, DistillationSettings, LoRASettings, RewardSettings
from training.settings.run import RunSettings
from training.settings.views import ViewSettings, parse_views

CHOICES = {
    "model": model_names(),
    "path": PATHS,
    "preconditioning": PRECONDITIONINGS,
    "loss_weight": ("velocity", "network_output", "min_snr"),
    "text_encoder": ("byte_level", "precomputed", "none"),
    "ema": ("power", "fixed", "none"),
    "lr_schedule": ("constant", "cosine", "linear"),
    "precision": ("auto", "fp32", "bf16"),
    "context_parallel_method": ("ulysses", "allgather", "ring"),
    "activation_checkpointing": ("none", "selective", "full"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(
    EvaluationSettings,
    ExecutionSettings,
    DataSettings,
    OptimizationSettings,
    DiffusionSettings,
    ModelSettings,
):
    """The settings of a training, for `python -m training train` and for the stage `TrainWorld`.

    The groups in `training.settings` explain each of them.

    Raises:
        SettingError: a number is out of its range, or a value is not one of its choices.
    """

    def __post_init__(self) -> None:
        check_settings(self, self._choices())
        self.check_odds()

    def _choices(self) -> dict[str, tuple[str, ...]]:
        return CHOICES

    @property
    def diffusion(self) -> DiffusionConfig:
        """The diffusion process that these settings describe."""
        return DiffusionConfig(
            self.path,
            self.preconditioning,
            self.sigma_data,
            self.latent_scale,
            has_frame_timesteps=self.condition_timestep > 0,
            given_residual=self.given_residual,
        )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(
    ViewSettings,
    RewardSettings,
    DistillationSettings,
    ConditionSettings,
    CodeSettings,
    LoRASettings,
    TrainingSettings,
    RunSettings,
):
    """One training: its settings, its data, and whether it prints progress.

    `text_encoder` may also be a pretrained encoder, which is not trained: a folder, or a name on the Hugging
    Face hub.

    Attributes:
        init_from: Weights that the training starts from: a diffusers folder, a released file or a name on the
            Hugging Face hub (of Cosmos-Predict1, 2 or 2.5), or a model folder of Clipmill. They determine the
            network instead of `model`, and the defaults of the diffusion process, the timesteps, loss_weight
            and given frames. "" starts from random weights.
    """

    init_from: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_data_sets()
        self.check_distillation(self.init_from, self.codes)
        self.check_reward(self.init_from, [name for name in ("codes", "distillation") if getattr(self, name)])
        if self.lora_rank and not self.init_from:
            raise SettingError(
                "lora_rank trains adapters of pretrained weights, and there are none",
                remedy="set init_from, or leave lora_rank out",
            )
        if unknown := set(self.condition_names) - set(CONDITIONS):
            raise SettingError(
                f"there is no condition {min(unknown)!r}",
                remedy=f"set conditions to some of {', '.join(CONDITIONS)}",
            )
        if self.codes and len(self.view_names) > 1:
            raise SettingError(
                f"views names {len(self.view_names)} cameras, and a diffusion decoder takes one",
                remedy="name one camera, or leave codes out",
            )
        if self.preview_interval and len(self.view_names) > 1:
            raise SettingError(
                "there are no previews of several cameras",
                remedy="leave preview_interval out, and sample from the trained model",
            )

    @property
    def view_names(self) -> tuple[str, ...]:
        """The cameras of `views`."""
        return parse_views(self.views)

    def _choices(self) -> dict[str, tuple[str, ...]]:
        is_place = "/" in self.text_encoder or Path(self.text_encoder).is_dir()
        own = {"camera_injection": CAMERA_INJECTIONS, "distillation": DISTILLATIONS}
        choices = super()._choices() | own
        return {k: v for k, v in choices.items() if k != "text_encoder" or not is_place}


# Where and how to train, and not what: the weights are the same to the last bit. The places of data and codes
# are here because their content is recorded.
SAME_BITS_SETTINGS = {
    "data",
    "validation_data",
    "codes",
    "code_tokenizer",
    "activation_checkpointing",
    "init_timeout_seconds",
    "train_timeout_seconds",
    "checkpoint_interval",
    "async_checkpoint",
    "max_skipped_steps",
    "validation_interval",
    "validation_max_clips",
    "preview_interval",
    "preview_prompts",
    "preview_num_inference_steps",
    "tensorboard",
    "num_workers",
    "prefetch_factor",
    "quiet",
}
# They change the order of sums, and so the last bits of the weights.
ROUNDING_SETTINGS = {
    "grad_accum_steps",
    "sync_each_batch",
    "dp_replicate",
    "context_parallel",
    "context_parallel_method",
    "compile",
    "num_threads",
}
# They change no result beyond rounding. They are in no content key and no record.
EXECUTION_SETTINGS = SAME_BITS_SETTINGS | ROUNDING_SETTINGS
