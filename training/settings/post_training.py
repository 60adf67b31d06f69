"""Post-training of the model of `init_from`: LoRA, distillation to few steps, fine-tuning by a reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt, Range
from training.errors import SettingError
from training.rewards.registry import build_reward

DISTILLATIONS = ("", "trajectory")
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


@dataclass(frozen=True, kw_only=True)
class DistillationSettings:
    """Distillation of the model of `init_from`, the teacher, to few steps of the sampler.

    Attributes:
        distillation: trajectory: one step of the trained model, the student, leads to where many steps of the
            teacher lead. "" trains without a teacher.
        distillation_steps: Steps in which the student samples, with Euler's method. Higher values are nearer
            to the teacher and take longer to sample.
        distillation_teacher_steps: Steps of the teacher, with Heun's method, for each step of the student.
            Higher values follow its trajectory more precisely, and take two predictions each.
        distillation_guidance_scale: Scale of classifier-free guidance of the teacher; 1 is none. The student
            learns the guided result, and is sampled without guidance. Higher values follow the text more.
    """

    distillation: str = ""
    distillation_steps: PositiveInt = 4
    distillation_teacher_steps: PositiveInt = 4
    distillation_guidance_scale: NonNegativeFloat = 1.0

    def check_distillation(self, init_from: str, codes: str) -> None:
        """Check that there is a teacher.

        Raises:
            SettingError: There is none, or it is a diffusion decoder.
        """
        if self.distillation and not init_from:
            raise SettingError(
                "distillation trains a student of a model, and there is no model",
                remedy="set init_from to the teacher",
            )
        if self.distillation and codes:
            raise SettingError(
                "a diffusion decoder cannot be distilled", remedy="leave codes or distillation out"
            )


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """Fine-tuning of the model of `init_from` by a reward, with GRPO.

    Attributes:
        reward: What sampled videos are scored by: brightness, motion (change from frame to frame), psnr
            (against the clip that the conditions are of) or goal_distance (minus the distance of an object
            from a goal in the last frame). "" trains without a reward.
        reward_color: Color of the object of goal_distance: R, G, B in 0..255.
        reward_goal: Goal of goal_distance: x and y as shares of width and height from the upper left corner.
        grpo_group_size: Videos that are sampled for each clip of a step, and compared with each other. Higher
            values give more precise gradients and take longer.
        grpo_num_inference_steps: Steps in which they are sampled. Higher values take longer and sample
            better.
        grpo_eta: Share of the noise of a step that is new. Higher values explore more, and need more steps
            for clean videos. 1 is DDPM.
        grpo_updates: Updates of the weights for each set of videos. Higher values use them more, and the
            later updates are limited by grpo_clip_range.
        grpo_timesteps: Random steps of the sampler that each update trains on. Higher values give more
            precise gradients and need more memory.
        grpo_clip_range: Limit of the ratio of densities: 1 - grpo_clip_range to 1 + grpo_clip_range, below
            1. Higher values allow larger changes by the updates after the first.
        grpo_denoising_weight: Weight of the denoising loss of the clips, which keeps the model near its data.
            Higher values change the model less. 0 leaves it out.
    """

    reward: str = ""
    reward_color: tuple[float, ...] = ()
    reward_goal: tuple[float, ...] = ()
    grpo_group_size: Annotated[int, Range(2)] = 8
    grpo_num_inference_steps: Annotated[int, Range(2)] = 10
    grpo_eta: Annotated[float, Range(0, 1, above=0)] = 0.7
    grpo_updates: PositiveInt = 2
    grpo_timesteps: PositiveInt = 2
    grpo_clip_range: Annotated[float, Range(above=0, below=1)] = 0.1
    grpo_denoising_weight: NonNegativeFloat = 0.05

    def check_reward(self, init_from: str, others: Sequence[str]) -> None:
        """Check that there is a model to fine-tune, and that the steps of the sampler suffice.

        Args:
            init_from: The model.
            others: Settings that are set and cannot be combined with a reward.

        Raises:
            SettingError: There is none, or they do not.
        """
        if not self.reward:
            return
        if not init_from:
            raise SettingError(
                "a reward fine-tunes a model, and there is no model", remedy="set init_from to the model"
            )
        if others:
            names = " and ".join(others)
            raise SettingError(f"a reward cannot be combined with {names}", remedy=f"leave {names} out")
        if (used := self.grpo_updates * self.grpo_timesteps) >= self.grpo_num_inference_steps:
            raise SettingError(
                f"grpo_updates x grpo_timesteps is {used}, and {self.grpo_num_inference_steps - 1} steps of"
                " the sampler add noise",
                remedy="raise grpo_num_inference_steps, or lower one of the other two",
            )
        build_reward(self.reward, self.reward_color, self.reward_goal)
