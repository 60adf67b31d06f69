"""Post-training of the model of `init_from`: distillation to few steps."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, PositiveInt
from training.errors import SettingError

DISTILLATIONS = ("", "trajectory")


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
