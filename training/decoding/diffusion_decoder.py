"""The diffusion decoder: a trained denoiser that turns codes into continuous latents, and these into video.

Source: Agarwal et al. 2025, arXiv:2501.03575, section 5.2.5.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt
from training.data.latent_statistics import denormalize
from training.decoding.windows import WindowedDenoiser
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import ClassifierFreeGuidance
from training.errors import SettingError
from training.model import MODEL_FILE, ModelInfo, load_model
from training.networks.config import VideoDiTConfig
from training.noise import normal
from training.recipes.sampling import open_tokenizer
from training.recipes.sampling_steps import find_sampler
from training.sampler import default_grid
from training.tensors import Indices, Latents, Video
from training.tokenizer import DiscreteTokenizer, Stride, Tokenizer
from training.tokenizers.code_latents import CodeLatents
from training.world_model import WorldModel

OVERLAP = 2  # latent frames
_FRAMES = 2**32  # latent frames of a video that have noise of their own


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How codes are decoded.

    Attributes:
        num_inference_steps: Steps of the sampler. 1 gives the mean of all videos that have these codes: the
            lowest error. Higher values give sharper videos, and take longer.
        guidance_scale: Scale of the guidance by the codes; 1 is none. Higher values follow the codes more.
        sampler: Name of the sampler.
        seed: Equal seeds and codes give equal videos.
        window: Latent frames that are denoised together; 0 is the most frequent number in training. Higher
            values need more memory.
        overlap: Latent frames that two windows share, or at most half a window. Higher values take longer.
    """

    num_inference_steps: PositiveInt = 15
    guidance_scale: NonNegativeFloat = 1.0
    sampler: str = "euler"
    seed: NonNegativeInt = 0
    window: NonNegativeInt = 0
    overlap: NonNegativeInt = OVERLAP


class DiffusionDecoder(nn.Module):
    """Implements `DiscreteTokenizer`: it encodes with the discrete tokenizer, and decodes by diffusion.

    So it can replace the discrete tokenizer wherever codes are decoded.

    Args:
        model: The denoiser, and its metadata.
        code_tokenizer: The tokenizer of the codes.
        tokenizer: The tokenizer of the latents.
        digest: Identifies the weights.
        options: How codes are decoded.
    """

    def __init__(
        self,
        model: tuple[WorldModel, ModelInfo],
        code_tokenizer: DiscreteTokenizer,
        tokenizer: Tokenizer,
        digest: str,
        options: DecodingOptions,
    ) -> None:
        super().__init__()
        self.world, self.info = model
        self.code_tokenizer, self.tokenizer, self.options = code_tokenizer, tokenizer, options
        self.stride, self.channels = Stride(*code_tokenizer.stride), code_tokenizer.channels
        self.codebook_size, self.digest = code_tokenizer.codebook_size, digest
        self._code_latents: CodeLatents | None = None
        network = self.info.network
        if isinstance(network, VideoDiTConfig) and network.code_residual_std:
            std, statistics = network.code_residual_std, self.info.latent_statistics
            self._code_latents = CodeLatents(code_tokenizer, tokenizer, std, statistics)

    def encode(self, video: Video) -> Latents:
        """See `Tokenizer.encode`."""
        return self.code_tokenizer.encode(video)

    def encode_stream(self, videos: Iterable[Video]) -> Iterator[Latents]:
        """See `Tokenizer.encode_stream`."""
        return self.code_tokenizer.encode_stream(videos)

    def encode_indices(self, video: Video) -> Indices:
        """See `DiscreteTokenizer.encode_indices`."""
        return self.code_tokenizer.encode_indices(video)

    def latents_to_indices(self, latents: Latents) -> Indices:
        """See `DiscreteTokenizer.latents_to_indices`."""
        return self.code_tokenizer.latents_to_indices(latents)

    def decode(self, latents: Latents) -> Video:
        """See `Tokenizer.decode`."""
        return self.decode_indices(self.latents_to_indices(latents))

    def decode_stream(self, latents: Iterable[Latents]) -> Iterator[Video]:
        """See `Tokenizer.decode_stream`. The codes of the whole video are read first."""
        indices = self.latents_to_indices(torch.cat(list(latents), 2))
        return self.tokenizer.decode_stream([self.decode_to_latents(indices)])

    def decode_indices(self, indices: Indices, samples: Sequence[int] | None = None) -> Video:
        """Decode codes [b t h w] of any integer type into videos [b 3 t h w]. See `decode_to_latents`."""
        return self.tokenizer.decode(self.decode_to_latents(indices, samples))

    @torch.inference_mode()
    def decode_to_latents(self, indices: Indices, samples: Sequence[int] | None = None) -> Latents:
        """Decode codes [b t h w] into latents [b c t h w].

        Args:
            indices: The codes, of any integer type.
            samples: The number of each video. The noise of a latent frame depends on the seed, on this number
                and on the place of the frame. None is 0, 1, …

        Raises:
            ValueError: A code is not in 0..codebook_size - 1, or there is none.
        """
        options, denoiser = self.options, self.world.denoiser
        device = next(self.world.parameters()).device
        codes = indices.to(device, torch.int64)
        if not codes.numel() or not 0 <= int(codes.min()) <= int(codes.max()) < self.codebook_size:
            raise ValueError(
                f"codes {tuple(codes.shape)} are none, or not all in 0..{self.codebook_size - 1}"
            )
        scale = [a // b for a, b in zip(self.stride[1:], self.tokenizer.stride[1:], strict=True)]
        height, width = (size * factor for size, factor in zip(codes.shape[2:], scale, strict=True))
        guess = self._code_latents(codes) if self._code_latents else None
        codes = self._pad(codes)
        sizes = [size * factor for size, factor in zip(codes.shape[2:], scale, strict=True)]
        noise = self._noise(samples or range(len(codes)), codes.shape[1], sizes, device)
        fps = torch.full((len(codes),), self.info.fps, device=device)
        if guess is not None:
            margins = (0, sizes[1] - guess.shape[4], 0, sizes[0] - guess.shape[3], 0, 0)
            guess = nn.functional.pad(guess, margins, mode="replicate")
        conditioning = Conditioning(fps=fps, codes=codes, code_latents=guess)
        window = options.window or self.info.latent_shapes[0][1]
        windowed = WindowedDenoiser(denoiser, window, min(options.overlap, window // 2))
        guided = ClassifierFreeGuidance(
            windowed, windowed, options.guidance_scale, weak_conditioning=conditioning.without_codes()
        )
        timesteps = default_grid(denoiser.path, options.num_inference_steps, self.info.flow_shift)
        sampler = find_sampler(options.sampler)
        latents = sampler(guided, denoiser.path, noise, conditioning, timesteps, seed=options.seed)
        if self._code_latents is not None and guess is not None:
            latents = self._code_latents.latents(latents, guess)
        return denormalize(latents, self.info.latent_statistics)[..., :height, :width]

    def _pad(self, codes: Indices) -> Indices:
        """Repeat the last row and column of codes where the network needs a multiple of its patches."""
        rows, columns = (
            -size % multiple for size, multiple in zip(codes.shape[2:], self._multiples, strict=True)
        )
        codes = torch.cat([codes, codes[:, :, -1:].expand(-1, -1, rows, -1)], 2)
        return torch.cat([codes, codes[..., -1:].expand(-1, -1, -1, columns)], 3)

    @property
    def _multiples(self) -> tuple[int, int]:
        _, rows, columns = self.info.network.size_multiples
        return rows, columns

    def _noise(
        self, samples: Sequence[int], frames: int, sizes: Sequence[int], device: torch.device
    ) -> Latents:
        """Noise [b c t h w], a function of the seed, the number of the video and the place of the frame."""
        places = [sample * _FRAMES + frame for sample in samples for frame in range(frames)]
        shape = (self.tokenizer.channels, *sizes)
        noise = normal(self.options.seed, "diffusion decoder", places, shape, device=device)
        return noise.reshape(-1, frames, *shape).transpose(1, 2)


def open_diffusion_decoder(
    model: Path,
    options: DecodingOptions | None = None,
    *,
    code_tokenizer: str = "",
    tokenizer: str = "",
    device: torch.device | str = "cpu",
) -> DiffusionDecoder:
    """Load a diffusion decoder, with both tokenizers that it was trained with.

    Args:
        model: Folder or file of the model.
        options: How codes are decoded.
        code_tokenizer: Name or path of the tokenizer of the codes; "" takes the recorded one.
        tokenizer: Likewise of the latents.
        device: Where to compute.

    Raises:
        CheckpointError: There is no model, or a tokenizer is not the one that it was trained with.
        SettingError: The model is no diffusion decoder, or there is no such sampler.
    """
    options = options or DecodingOptions()
    find_sampler(options.sampler)
    world, info = load_model(model)
    if not info.codes:
        raise SettingError(
            "this model is no diffusion decoder: it reads no codes",
            where=str(model),
            remedy="train one: clipmill train codes=CODES …",
        )
    codes = cast(DiscreteTokenizer, open_tokenizer(code_tokenizer, info.codes))
    file = model / MODEL_FILE if model.is_dir() else model
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    decoder = DiffusionDecoder((world, info), codes, open_tokenizer(tokenizer, info.latents), digest, options)
    return decoder.to(device).eval()
