"""Evaluation: the denoising loss on held-out clips, with the same noise in every evaluation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from training.data.batches import LatentBatch
from training.data.codes.paired_shards import open_latents
from training.data.latent_statistics import normalize
from training.data.shard import LatentSpec
from training.data.shards import LatentShards
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import PreconditionedDenoiser
from training.diffusion.generation_mode import GENERATION_MODES, generation_mode, possible_given_frames
from training.diffusion.loss_weight import VelocityWeight
from training.diffusion.path import add_noise, timestep_at
from training.diffusion.timestep_sampler import TimestepSampler
from training.diffusion.views import join_conditioning, join_views, num_views, split_conditioning, split_views
from training.errors import SettingError
from training.evaluation.clips import EvaluationBatch, EvaluationClips
from training.evaluation.result import TIMESTEPS, EvaluationResult, EvaluationSums
from training.model import ModelInfo, load_model, spec_of_codes, spec_of_conditions
from training.noise import normal, uniform
from training.objectives.denoising import mean_of_generated
from training.objectives.given_frames import given_mask
from training.parallel.threads import cpu_threads
from training.recipes.code_residual import open_code_latents
from training.recipes.given_frames import add_noise_to_given_frames
from training.recipes.objective import build_condition_timestep_sampler
from training.recipes.post_training.distillation import refuse_student
from training.recipes.pretrained_text import reopen_text_encoder
from training.settings.views import parse_views
from training.text_encoder import TextEncoder, add_text
from training.tokenizers.code_latents import CodeLatents


def evaluate(
    model: Path,
    data: Sequence[tuple[str, str]],
    *,
    codes: Sequence[tuple[str, str]] = (),
    max_clips: int = 256,
    batch_size: int = 8,
    text_encoder: str = "",
    num_threads: int = 2,
    device: torch.device | str = "cpu",
) -> EvaluationResult:
    """Evaluate a model on `max_clips` clips, evenly spaced over the shards.

    Args:
        model: Folder or file of the model.
        data: (tar, index) of each shard.
        codes: Those of the codes of the same clips, for a diffusion decoder.
        max_clips: Maximum number of clips.
        batch_size: Clips of one shape that are evaluated together.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        num_threads: CPU threads.

    Raises:
        CheckpointError: There is no model, or the text encoder is not the one that it was trained with.
        LatentMismatchError: The latents or codes were made with another tokenizer than those of the model.
        SettingError: There are codes and the model reads none, or the other way around; or it is distilled.
    """
    world, info = load_model(model)
    if bool(codes) != bool(info.codes):
        raise SettingError(
            "the model is a diffusion decoder, which reads codes"
            if info.codes
            else "the model reads no codes",
            where=str(model),
            remedy="name the codes of the clips with --codes" if info.codes else "leave --codes out",
        )
    refuse_student(info.distillation, str(model))
    shards = _open_shards(info, data, codes)
    world = world.to(device)
    evaluator = Evaluator(
        world.denoiser,
        EvaluationClips(shards, max_clips),
        reopen_text_encoder(text_encoder, world, info, shards),
        conditional_frames=dict(enumerate(info.training.get("conditional_frames", (1.0,)))),
        condition_timestep=info.training.get("condition_timestep", 0.0),
        condition_timestep_sampler=build_condition_timestep_sampler(
            info.diffusion.path,
            info.training.get("condition_timestep_mean", 0.0),
            info.training.get("condition_timestep_std", 0.0),
        ),
        code_latents=open_code_latents(info, device),
        batch_size=batch_size,
        device=torch.device(device),
    )
    with cpu_threads(num_threads):
        return evaluator()


def _open_shards(
    info: ModelInfo, data: Sequence[tuple[str, str]], codes: Sequence[tuple[str, str]]
) -> LatentShards:
    """The clips, as the model takes them."""
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    mixed_fps = info.network.base_fps is not None
    views = parse_views(info.training.get("views", ""))
    shards = open_latents(data, codes, spec_of_codes(info), spec=spec, mixed_fps=mixed_fps, views=views)
    shards.normalize = partial(normalize, statistics=info.latent_statistics)
    if conditions := spec_of_conditions(info):
        shards.read_conditions(conditions.names, spec=conditions)
    return shards


@dataclass
class Evaluator:
    """Evaluates a denoiser on fixed clips with fixed noise; each rank takes a part of the clips.

    Attributes:
        denoiser: It may be sharded: all ranks call it equally often.
        clips: The clips.
        text_encoder: Encodes the captions.
        conditional_frames: Odds of each number of given latent frames in training. Those above 0 are
            evaluated.
        condition_timestep: Timestep of given frames.
        condition_timestep_sampler: Distribution of the timesteps of noise on given frames; None adds none.
            The timestep and the noise of a clip are the same in every evaluation.
        code_latents: Then the differences to the latents of the decoded codes are denoised.
        batch_size: Clips of one shape that a rank evaluates together.
        rank: Number of this rank among those that evaluate different clips.
        num_ranks: Number of ranks that evaluate different clips.
        reduce_sum: Adds a tensor over the ranks that evaluate different clips.
        device: Device of the denoiser.
    """

    denoiser: PreconditionedDenoiser
    clips: EvaluationClips
    text_encoder: TextEncoder | None = None
    conditional_frames: Mapping[int, float] = field(default_factory=lambda: {0: 1.0})
    condition_timestep: float = 0.0
    condition_timestep_sampler: TimestepSampler | None = None
    code_latents: CodeLatents | None = None
    batch_size: int = 8
    rank: int = 0
    num_ranks: int = 1
    reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor
    device: torch.device = torch.device("cpu")

    @torch.no_grad()
    def __call__(self) -> EvaluationResult:
        shapes = self.clips.shards.shapes
        buckets = ["x".join(map(str, shape[1:])) for shape in shapes]
        sums = EvaluationSums(GENERATION_MODES, buckets, self.clips.datasets, shapes[0][0], self.device)
        for batch in self.clips.batches(self.batch_size, self.rank, self.num_ranks):
            self._add(sums, batch)
        for tensor in sums.tensors():
            tensor.copy_(self.reduce_sum(tensor))
        return sums.result(len(self.clips))

    def _add(self, sums: EvaluationSums, batch: EvaluationBatch) -> None:
        """Add the losses of a batch at all timesteps and with each number of given frames."""
        clips, path = batch.clips.to(self.device), self.denoiser.path
        if self.code_latents is not None:
            clips = self.code_latents.to_differences(clips)
        counted = len(batch.datasets)
        conditioning = add_text(clips.conditioning, self.text_encoder, clips.captions, self.device)
        views = num_views(clips.conditioning)
        frames = clips.latents.shape[2] // views
        given_frames = possible_given_frames(self.conditional_frames, frames)
        for number, share in enumerate(TIMESTEPS):
            shape, positions = clips.latents.shape[1:], clips.positions
            noise = normal(0, f"evaluate {share}", positions, shape, device=self.device)
            t = torch.full((len(clips.ids),), timestep_at(path, share / (1 - share)), device=self.device)
            noisy = add_noise(path, clips.latents, noise, t)
            sums.add_linear(number, noisy[:counted], (noise - clips.latents)[:counted])
            for given in given_frames:
                known = self._with_given_frames(conditioning, clips, given)
                squared_error = (self.denoiser(noisy, t, known) - clips.latents).square()
                losses = VelocityWeight(path)(t) * mean_of_generated(squared_error, known.condition_mask)
                mode, is_first = generation_mode(frames, given), given == given_frames[0]
                sums.add(mode, batch.bucket, batch.datasets, number, losses[:counted], is_first)
                predictions = self._controls(noisy, t, known, batch.others)
                if predictions:
                    sums.add_control("right", losses[:counted])
                for name, prediction in predictions.items():
                    squared_error = (prediction - clips.latents).square()
                    losses = VelocityWeight(path)(t) * mean_of_generated(squared_error, known.condition_mask)
                    sums.add_control(name, losses[:counted])

    def _controls(
        self, noisy: Tensor, t: Tensor, known: Conditioning, others: Conditioning | None
    ) -> dict[str, Tensor]:
        """Predictions with the conditions of other clips, with none, and with other or single views."""
        found: dict[str, Tensor] = {}
        if others is not None:
            other = others.map(lambda tensor: tensor.to(self.device))
            names = ("action", "action_mask", "camera", "trajectory")
            shuffled = replace(known, **{name: getattr(other, name) for name in names})
            none = known.without_action().without_camera().without_trajectory()
            found = {"shuffled": self.denoiser(noisy, t, shuffled), "none": self.denoiser(noisy, t, none)}
        if (indices := known.view_indices) is not None:
            views = indices.shape[1]
            following = replace(known, view_indices=indices.roll(-1, 1))
            alone = join_conditioning(split_conditioning(known), indices.reshape(-1, 1))
            each = self.denoiser(split_views(noisy, views), t.repeat_interleave(views), alone)
            found |= {
                "other cameras": self.denoiser(noisy, t, following),
                "views alone": join_views(each, views),
            }
        return found

    def _with_given_frames(
        self, conditioning: Conditioning, clips: LatentBatch, given_frames: int
    ) -> Conditioning:
        """The conditioning with the first latent frames of each clip as given ones."""
        if set(self.conditional_frames) == {0}:
            return conditioning
        b = len(clips.latents)
        counts = torch.full((b,), given_frames, device=self.device)
        timesteps = torch.full((b,), self.condition_timestep, device=self.device)
        if (sampler := self.condition_timestep_sampler) is not None:
            numbers = uniform(0, "condition timestep", clips.positions)
            timesteps = sampler(numbers, clips.latents.shape[1:]).to(self.device)
        known = replace(
            conditioning,
            condition_mask=given_mask(clips.latents.shape, counts, num_views(conditioning)),
            condition_latents=clips.latents,
            condition_timestep=timesteps,
        )
        if sampler is None:
            return known
        return add_noise_to_given_frames(known, self.denoiser.path, 0, clips.positions)
