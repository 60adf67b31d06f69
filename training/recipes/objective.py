"""The denoising objective that the settings of a training describe."""

from training.diffusion.loss_weight import LossWeight, MinSNRWeight, NetworkOutputWeight, VelocityWeight
from training.diffusion.timestep_sampler import LogitNormal, LogNormal, TimestepSampler, Uniform
from training.errors import SettingError
from training.noise import normal
from training.objectives.denoising import Denoising
from training.parallel.mesh import Mesh
from training.parallel.noise import SharedNormal
from training.recipes.config import TrainingConfig, TrainingSettings
from training.recipes.post_training.distillation import distill
from training.recipes.post_training.reward import fine_tune
from training.text_encoder import TextEncoder
from training.world_model import WorldModel


def build_objective(
    settings: TrainingSettings, model: WorldModel, text_encoder: TextEncoder | None, mesh: Mesh | None = None
) -> Denoising:
    """The objective of a training. Ranks of `mesh` that share clips share the drawing of their noise.

    Raises:
        SettingError: A setting does not fit the path.
    """
    denoiser, head = model.denoiser, model.uncertainty
    config = settings if isinstance(settings, TrainingConfig) else None
    weights: dict[str, LossWeight] = {
        "velocity": VelocityWeight(denoiser.path),
        "network_output": NetworkOutputWeight(denoiser.preconditioning),
        "min_snr": MinSNRWeight(denoiser.path),
    }
    objective = Denoising(
        denoiser,
        denoiser.path,
        weights[settings.loss_weight],
        build_timestep_sampler(settings),
        text_encoder,
        text_dropout=settings.text_dropout,
        code_latents=model.code_latents,
        code_dropout=config.code_dropout if config else 0.0,
        action_dropout=config.action_dropout if config else 0.0,
        camera_dropout=config.camera_dropout if config else 0.0,
        trajectory_dropout=config.trajectory_dropout if config else 0.0,
        view_dropout=config.view_dropout if config else 0.0,
        conditional_frames=dict(enumerate(settings.conditional_frames)),
        condition_timestep=settings.condition_timestep,
        condition_timestep_sampler=build_condition_timestep_sampler(
            settings.path, settings.condition_timestep_mean, settings.condition_timestep_std
        ),
        uncertainty=None if head is None else lambda t: head(denoiser.preconditioning.c_noise(t)),
        loss_scale=settings.loss_scale,
        image_loss_scale=settings.image_loss_scale,
        seed=settings.seed,
        draw_normal=SharedNormal(mesh.context_group) if mesh and mesh.dims.context_parallel > 1 else normal,
    )
    if config and model.teacher:
        return distill(objective, config, model.teacher)
    return fine_tune(objective, config, model.reward) if config and model.reward else objective


def build_condition_timestep_sampler(path: str, mean: float, std: float) -> TimestepSampler | None:
    """The distribution of the timesteps of noise on given frames; None adds no noise.

    Args:
        path: Name of the noise path.
        mean: Mean of ln(noise / signal).
        std: Standard deviation of ln(noise / signal); 0 adds no noise.
    """
    if not std:
        return None
    if path == "edm":
        return LogNormal(mean, std, scale_by_frames=False)
    return LogitNormal(mean, std)


def build_timestep_sampler(settings: TrainingSettings) -> TimestepSampler:
    """The distribution of timesteps of a training.

    Raises:
        SettingError: A setting has no meaning on the path.
    """
    if settings.path != "rectified_flow":
        for name in ("flow_shift", "high_noise_share"):
            if getattr(settings, name) != getattr(TrainingSettings, name):
                raise SettingError(
                    f"{name} has no meaning on the path {settings.path}",
                    remedy=f"leave {name} out, or use the path rectified_flow",
                )
    if settings.path == "rectified_flow":
        return LogitNormal(
            settings.timestep_mean, settings.timestep_std, settings.flow_shift, settings.high_noise_share
        )
    if settings.path == "edm":
        return LogNormal(settings.timestep_mean, settings.timestep_std)
    if settings.path.startswith("ddpm"):
        return Uniform(num_timesteps=1000)
    return Uniform(t_min=1e-3) if settings.path == "cosine" else Uniform(num_timesteps=1000)
