"""The settings of the training of an autoregressive world model."""

from dataclasses import dataclass
from pathlib import Path

from manifests import NonNegativeFloat, NonNegativeInt, Share
from training.errors import LayoutError, SettingError
from training.networks.autoregressive.config import AUTOREGRESSIVE_CONFIGS
from training.recipes.config import CHOICES, EXECUTION_SETTINGS
from training.settings.check import check_settings
from training.settings.run import RunSettings

_SHARED = ("ema", "lr_schedule", "precision", "activation_checkpointing")
AUTOREGRESSIVE_CHOICES = {name: CHOICES[name] for name in _SHARED} | {
    "model": tuple(AUTOREGRESSIVE_CONFIGS),
    "text_encoder": CHOICES["text_encoder"],
    "token_embedding": ("table", "fsq"),
}
# They change no result beyond rounding. The history of a checkpoint does not record them.
UNRECORDED_SETTINGS = EXECUTION_SETTINGS


@dataclass(frozen=True, kw_only=True)
class AutoregressiveTrainingConfig(RunSettings):
    """One training of an autoregressive world model. Most settings are those of a diffusion model.

    Attributes:
        model: Name of the network: tiny, small, or a Cosmos size: 4b, 5b, 12b, 13b. 4b and 12b read no text
            and have no <bov>, so that they need given frames: text_encoder=none conditional_frames=0,0.5,0.5.
        conditional_frames: Odds of 0, 1, 2 … latent frames that are given at the start of a clip and not
            predicted. With a temporal stride of 8, 1 and 2 are the first 1 and 9 frames. Validation has the
            lowest number whose odds are above 0.
        token_embedding: Rows of the ids. table: one for each id, in the input and in the output, as in the
            Cosmos models. fsq: one for each level of the codes, and a mixture of predictions of the levels;
            for small data and small models. The tokenizer of the codes must be one that can be loaded.
        init_from: Folder or file of a model that Clipmill trained, on codes of the same tokenizer, whose
            weights the training starts from. It determines the network instead of `model`. "": random.
        embedding_dropout: Share of the values of token embeddings that are dropped in training. Higher values
            prevent overfitting, and learn slower. It does not drop text.
        z_loss_weight: Factor of the mean of the squared logarithm of the sum of exponentials of the logits.
            Higher values keep the logits smaller.
        medusa_heads: Medusa heads, for speculative decoding, that are trained on the model of init_from: 9 as
            in Cosmos-Predict1. 0 trains the network, and keeps the heads of init_from.
        medusa_layers: Last blocks of the network that are trained together with the heads, and with them its
            output. 0 trains only the heads, so that the model samples the same videos as before. Higher
            values give heads that are accepted more often, and another model.
        context_parallel: 1. The ranks share clips, not the tokens of one.

    Raises:
        SettingError: A number is out of its range, a value is not one of its choices, or settings do not fit
            together.
        LayoutError: context_parallel is above 1.
    """

    token_embedding: str = "table"
    init_from: str = ""
    embedding_dropout: Share = 0.0
    z_loss_weight: NonNegativeFloat = 1e-4
    medusa_heads: NonNegativeInt = 0
    medusa_layers: NonNegativeInt = 0

    def __post_init__(self) -> None:
        is_place = "/" in self.text_encoder or Path(self.text_encoder).is_dir()
        choices = AUTOREGRESSIVE_CHOICES
        check_settings(self, {k: v for k, v in choices.items() if k != "text_encoder" or not is_place})
        self.check_odds()
        self.check_data_sets()
        if self.embedding_dropout == 1:
            raise SettingError("embedding_dropout is 1, which drops all tokens", remedy="set it below 1")
        if self.medusa_heads and not self.init_from:
            raise SettingError(
                "medusa_heads are trained on a model, and init_from names none",
                remedy="train the model first, and name its folder with init_from",
            )
        if self.medusa_layers and not self.medusa_heads:
            raise SettingError(
                "medusa_layers are trained together with heads, and medusa_heads is 0", remedy="set both"
            )
        if self.context_parallel > 1:
            raise LayoutError(
                "the ranks cannot share the tokens of a clip in the training of an autoregressive model",
                remedy="set context_parallel to 1; all ranks then read different clips",
            )
        if self.init_from and (changed := [n for n in ("model", "token_embedding") if self._is_changed(n)]):
            raise SettingError(
                f"init_from determines the network, and {', '.join(changed)} would have no effect",
                remedy="leave them out, or leave init_from out",
            )

    def _is_changed(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(AutoregressiveTrainingConfig, name))

    @property
    def min_given_frames(self) -> int:
        """The fewest given frames that are trained."""
        return min(number for number, odds in enumerate(self.conditional_frames) if odds > 0)
