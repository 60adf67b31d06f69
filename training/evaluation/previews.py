"""Previews during a training: videos sampled with the EMA weights, on all ranks."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.data.latent_statistics import LatentStatistics, denormalize
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import ClassifierFreeGuidance, PreconditionedDenoiser
from training.errors import SettingError, TrainingError
from training.evaluation.validation import temporary_weights
from training.noise import normal
from training.recipes.given_frames import add_noise_to_given_frames
from training.recipes.sampling import write_video
from training.recipes.sampling_steps import choose_steps
from training.text_encoder import TextEncoder, add_text
from training.tokenizer import Tokenizer


@dataclass(frozen=True)
class PreviewRequest:
    """One preview: its prompt, and what is known of a held-out clip.

    Attributes:
        prompt: The text.
        first_frame: The first latent frame [c h w] of image-to-video, or None. It is given where it fits the
            videos, which have its size and more than one latent frame.
        conditions: The actions and the rays of the camera: fields of `Conditioning`, without the axis of the
            batch. They are left out where they have not the shape of the videos.
    """

    prompt: str
    first_frame: Tensor | None = None
    conditions: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class Previews:
    """Samples one video per request and writes it. All ranks call it, and each samples some of the videos.

    Videos are decoded and written in a thread, so that the other ranks do not wait. `close` waits for it.

    Attributes:
        model: The model, sharded or not.
        denoiser: The denoiser of the model.
        weights: The weights to sample with, by parameter name.
        requests: What to sample. The noise depends only on the number of a request.
        shape: Shape of the latents, [c t h w].
        fps: Frames per second of the videos.
        tokenizer: Decodes the latents, on the CPU.
        text_encoder: Encodes the prompts.
        folder: Where the videos are written: step-STEP-NUMBER.mp4.
        num_inference_steps: Steps of the sampler, of a model that is not distilled.
        distillation: Of a distilled model, how it is sampled; see `training.model`.
        flow_shift: Shift of the timesteps towards noise.
        condition_timestep: Timestep of given frames.
        has_condition_noise: Given frames have noise of this timestep while a video is sampled.
        rank: Number of this rank among those that sample different videos.
        num_ranks: Number of ranks that sample different videos.
        writes: This rank writes the videos that it samples.
        latent_statistics: What the latents of the model are normalized by.
        device: Device of the model.
    """

    model: nn.Module
    denoiser: PreconditionedDenoiser
    weights: Mapping[str, Tensor]
    requests: Sequence[PreviewRequest]
    shape: tuple[int, int, int, int]
    fps: float
    tokenizer: Tokenizer
    text_encoder: TextEncoder | None
    folder: Path
    num_inference_steps: int = 20
    distillation: Mapping[str, Any] = field(default_factory=dict)
    flow_shift: float = 1.0
    condition_timestep: float = 0.0
    has_condition_noise: bool = False
    rank: int = 0
    num_ranks: int = 1
    writes: bool = True
    latent_statistics: LatentStatistics = field(default_factory=dict)
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="previews")
        self._pending: list[Future[None]] = []

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        self._wait()
        numbers = range(len(self.requests))[self.rank :: self.num_ranks]
        per_rank = -(-len(self.requests) // self.num_ranks)
        padded = [*numbers, *[0] * (per_rank - len(numbers))]  # all ranks call the network equally often
        with temporary_weights(self.model, self.weights):
            latents = self._sample(padded)
        if not self.writes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, each in zip(numbers, latents.cpu(), strict=False):
            file = self.folder / f"step-{step:08d}-{number}.mp4"
            self._pending.append(self._writer.submit(self._write, each, file))

    def close(self) -> None:
        """Wait until all videos are written."""
        self._wait()
        self._writer.shutdown()

    def _wait(self) -> None:
        for pending in self._pending:
            pending.result()
        self._pending = []

    @torch.no_grad()
    def _write(self, latents: Tensor, file: Path) -> None:
        """Decode latents [c t h w], and write the video."""
        video = self.tokenizer.decode(denormalize(latents[None], self.latent_statistics))[0]  # [3 t h w]
        frames = ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
        write_video(frames.contiguous().numpy(), self.fps, file)

    def _sample(self, numbers: Sequence[int]) -> Tensor:
        """The latents of these requests, [b c t h w]."""
        path = self.denoiser.path
        noise = normal(0, "sample", numbers, self.shape, device=self.device)
        conditioning = self._conditioning([self.requests[number] for number in numbers])
        clean, mask = conditioning.condition_latents, conditioning.condition_mask
        if clean is not None and self.has_condition_noise:
            conditioning = add_noise_to_given_frames(conditioning, path, 0, numbers)
        steps = choose_steps(
            path,
            self.distillation,
            num_inference_steps=0 if self.distillation else self.num_inference_steps,
            flow_shift=self.flow_shift,
        )
        denoiser = ClassifierFreeGuidance(
            self.denoiser,
            self.denoiser,
            steps.guidance_scale,
            weak_conditioning=conditioning.without_text(),
        )
        latents = steps.sampler(denoiser, path, noise, conditioning, steps.timesteps, seed=0)
        return latents if clean is None or mask is None else torch.where(mask.bool(), clean, latents)

    def _conditioning(self, requests: Sequence[PreviewRequest]) -> Conditioning:
        fps = torch.full((len(requests),), self.fps, device=self.device)
        prompts = [request.prompt for request in requests]
        known = Conditioning(fps=fps, **self._conditions(requests))
        conditioning = add_text(known, self.text_encoder, prompts, self.device)
        if all(self._given_frame(request) is None for request in self.requests):
            return conditioning
        given = torch.zeros(len(requests), *self.shape, device=self.device)
        mask = torch.zeros(len(requests), 1, *self.shape[1:], device=self.device)
        for number, request in enumerate(requests):
            if (frame := self._given_frame(request)) is not None:
                given[number, :, 0] = frame.to(given)
                mask[number, :, 0] = 1
        t = torch.full((len(requests),), self.condition_timestep, device=self.device)
        return replace(conditioning, condition_mask=mask, condition_latents=given, condition_timestep=t)

    def _conditions(self, requests: Sequence[PreviewRequest]) -> dict[str, Tensor]:
        """Actions and rays of the videos; zeros, which are unknown, where a request has none that fit."""
        _, t, h, w = self.shape
        sizes = {"action": (t,), "action_mask": (t,), "camera": (6, t, h, w)}
        found: dict[str, Tensor] = {}
        for name, size in sizes.items():
            of_each = [request.conditions.get(name) for request in self.requests]
            fitting = [each for each in of_each if each is not None and each.shape[: len(size)] == size]
            if fitting:
                given = (request.conditions.get(name) for request in requests)
                empty = torch.zeros_like(fitting[0])
                values = [each if each is not None and each.shape == empty.shape else empty for each in given]
                found[name] = torch.stack(values).to(self.device)
        return found

    def _given_frame(self, request: PreviewRequest) -> Tensor | None:
        frame = request.first_frame
        fits = frame is not None and self.shape[1] > 1 and frame.shape[1:] == self.shape[2:]
        return frame if fits else None


def check_video_writer() -> None:
    """Raise a TrainingError if PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise TrainingError("previews need PyAV, to write videos", remedy="pip install av") from error


def read_prompts(file: str) -> list[str]:
    """The prompts in a text file, one per line.

    Raises:
        SettingError: The file cannot be read, or has none.
    """
    try:
        prompts = [line.strip() for line in Path(file).read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            "the prompts of the previews cannot be read",
            where=file,
            remedy="name a text file that has one prompt per line",
        ) from error
    if not prompts:
        raise SettingError("there are no prompts here", where=file, remedy="write one prompt per line")
    return prompts
