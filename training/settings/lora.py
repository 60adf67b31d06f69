"""Low-rank adaptation (LoRA) of pretrained weights."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt

LORA_TARGET_MODULES = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


@dataclass(frozen=True, kw_only=True)
class LoRASettings:
    """Low-rank adaptation (LoRA) of the weights of `init_from`.

    Attributes:
        lora_rank: Inner width of the adapters that are trained instead of the network. Higher values learn
            more and need more memory. 0 trains the whole network.
        lora_alpha: The output of an adapter is multiplied by lora_alpha / lora_rank. Higher values let
            adapters learn faster. 0 takes lora_rank.
        lora_target_modules: Linear layers that get an adapter: names, or ends of names.
    """

    lora_rank: NonNegativeInt = 0
    lora_alpha: NonNegativeFloat = 0.0
    lora_target_modules: tuple[str, ...] = LORA_TARGET_MODULES

    @property
    def lora_scale(self) -> float:
        """lora_alpha / lora_rank."""
        return (self.lora_alpha or self.lora_rank) / self.lora_rank if self.lora_rank else 0.0
