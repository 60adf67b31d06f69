"""Sampling: videos from an autoregressive model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import torch
from torch import Tensor

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt, Range, Share
from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import TokenModelInfo, load_token_model
from training.decoding.choice import TokenChoice
from training.decoding.decoder import Decoder, ForwardPass
from training.decoding.diffusion_decoder import (
    DecodingOptions,
    DiffusionDecoder,
    open_diffusion_decoder,
)
from training.decoding.medusa_draft import MedusaDraft
from training.decoding.rollout import Rollout
from training.decoding.token_sampler import MAX_SAMPLES, TokenSampler
from training.diffusion.conditioning import Conditioning
from training.errors import CheckpointError, SettingError
from training.parallel.threads import cpu_threads
from training.recipes.given_frames import choose_given_frames, read_frames
from training.recipes.pretrained_text import reopen_text_encoder
from training.recipes.sampling import SampledVideos, open_tokenizer
from training.settings.check import check_settings
from training.tensors import Video
from training.text_encoder import add_text
from training.tokenizer import DiscreteTokenizer, count_latent_frames

MAX_PROMPT_BYTES = 20_000


@dataclass(frozen=True, kw_only=True)
class TokenSamplingRequest:
    """What to sample from an autoregressive model.

    Attributes:
        prompt: Text of each video; "" samples without text. One video is sampled per entry.
        num_frames: Frames per video: 1 + k * the temporal stride. 0 is the most frequent number in training.
            More than the model was trained with are sampled in chunks.
        image: File of an image that the video begins with (image-to-video); "" has none.
        video: File of a video whose last frames the sampled video begins with (video-to-video); "" has none.
        num_conditional_frames: Latent frames that are given from `video`; 0 is the largest number that the
            model was trained with.
        context_frames: Latent frames of a chunk that the next one begins with. Higher values remember more,
            and sample fewer new frames per chunk.
        temperature: Higher values give more varied videos; 0 takes the most probable token.
        top_k: Choose among so many most probable tokens; 0 is all. Higher values give more varied videos.
        top_p: Choose among the most probable tokens whose probabilities sum to this share. Higher values give
            more varied videos; 1 is all. 0.8 is that of Cosmos-Predict1 4B and 13B.
        guidance_scale: Scale of classifier-free guidance; 1 is none. Higher values follow the text more.
        medusa_heads: Medusa heads that propose tokens; higher values may be faster, and the video is the
            same. -1 takes all that the model has, 0 none.
        seed: Equal seeds, prompts and sizes give equal videos.
        first_sample: Number of the first video. The noise of a video depends on the seed and its number.
        diffusion_decoder: Folder or file of a model that decodes the tokens in place of their tokenizer; ""
            has none.
        diffusion_decoder_steps: Steps of the diffusion decoder. 1 gives the mean of all videos that have
            these tokens. Higher values give sharper videos, and take longer.
        tokenizer: Name or path of the tokenizer that the model was trained with; "" takes the recorded one.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        num_threads: CPU threads.
    """

    prompt: Sequence[str]
    num_frames: NonNegativeInt = 0
    image: str = ""
    video: str = ""
    num_conditional_frames: NonNegativeInt = 0
    context_frames: PositiveInt = 1
    temperature: NonNegativeFloat = 1.0
    top_k: NonNegativeInt = 0
    top_p: Share = 0.8
    guidance_scale: NonNegativeFloat = 1.0
    medusa_heads: Annotated[int, Range(-1)] = -1
    seed: NonNegativeInt = 0
    first_sample: NonNegativeInt = 0
    diffusion_decoder: str = ""
    diffusion_decoder_steps: PositiveInt = DecodingOptions.num_inference_steps
    tokenizer: str = ""
    text_encoder: str = ""
    num_threads: PositiveInt = 2


@dataclass(frozen=True)
class SampledCodes:
    """Sampled codes, and how they were decoded.

    Attributes:
        codes: int64 [b t h w].
        passes: The forward passes.
    """

    codes: Tensor
    passes: Sequence[ForwardPass]


def sample_token_model(
    model: Path | tuple[AutoregressiveModel, TokenModelInfo],
    request: TokenSamplingRequest,
    device: torch.device | str = "cpu",
    diffusion_decoder: DiffusionDecoder | None = None,
) -> SampledVideos:
    """Sample one video per entry of `request.prompt`.

    Args:
        model: Folder or file of the model, or the result of `load_token_model`.
        request: What to sample.
        device: Where the network runs. The tokenizer runs on the CPU.
        diffusion_decoder: The result of `open_request_decoder`, for several requests that differ in prompts,
            given frames and seed; None loads it.

    Raises:
        CheckpointError: There is no model, or the tokenizer or text encoder is not the one that it was
            trained with.
        TrainingError: The given frames cannot be read.
        SettingError: The frames, the given frames or the heads do not fit the model.
    """
    network, info = load_token_model(model) if isinstance(model, Path) else model
    tokenizer = cast(DiscreteTokenizer, open_tokenizer(request.tokenizer, info.latents))
    with cpu_threads(request.num_threads), torch.inference_mode():
        codes = sample_codes(network, info, tokenizer, request, device).codes
        decoder = diffusion_decoder or open_request_decoder(info, request, device)
        videos = _decode(codes, tokenizer, request, decoder).cpu()  # [b 3 t h w]
    frames = ((videos.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1)
    return SampledVideos(frames.contiguous().numpy(), info.fps)


def open_request_decoder(
    info: TokenModelInfo, request: TokenSamplingRequest, device: torch.device | str = "cpu"
) -> DiffusionDecoder | None:
    """The diffusion decoder of a request; None if it names none.

    Raises:
        CheckpointError: There is no model, or it reads codes of another tokenizer.
        SettingError: The model is no diffusion decoder.
    """
    if not request.diffusion_decoder:
        return None
    model = Path(request.diffusion_decoder)
    options = DecodingOptions(num_inference_steps=request.diffusion_decoder_steps)
    decoder = open_diffusion_decoder(model, options, code_tokenizer=request.tokenizer, device=device)
    if decoder.code_tokenizer.digest != info.latents["digest"]:
        raise CheckpointError(
            "the diffusion decoder reads codes of another tokenizer than the model makes",
            where=str(model),
            remedy="name a diffusion decoder of this tokenizer",
        )
    return decoder


def _decode(
    codes: Tensor,
    tokenizer: DiscreteTokenizer,
    request: TokenSamplingRequest,
    decoder: DiffusionDecoder | None,
) -> Video:
    """The videos of sampled codes, by the tokenizer or the diffusion decoder."""
    if decoder is None:
        return tokenizer.decode_indices(codes.cpu())
    decoder.options = replace(decoder.options, seed=request.seed)
    return decoder.decode_indices(codes, range(request.first_sample, request.first_sample + len(codes)))


@torch.inference_mode()
def sample_codes(
    model: AutoregressiveModel,
    info: TokenModelInfo,
    tokenizer: DiscreteTokenizer,
    request: TokenSamplingRequest,
    device: torch.device | str = "cpu",
) -> SampledCodes:
    """Sample codes. Raises the errors of `sample_token_model`."""
    check_settings(request, {})
    _check_prompts(request)
    _, trained, height, width = info.latent_shapes[0]
    frames = _latent_frames(request.num_frames, tokenizer, trained)
    given = _read_given(request, info, tokenizer, frames).to(device)
    model = model.to(device)
    encoder = reopen_text_encoder(request.text_encoder, model, info)
    conditioning = add_text(Conditioning(), encoder, request.prompt, device)
    sampler = TokenSampler(
        temperature=request.temperature, top_k=request.top_k, top_p=request.top_p, seed=request.seed
    )
    choice = TokenChoice(model.network, sampler, request.guidance_scale)
    decoder = Decoder(choice, (height, width), conditioning)
    if heads := _count_heads(request.medusa_heads, info):
        decoder = replace(decoder, draft=MedusaDraft.of(choice, model), num_drafted=heads)
    numbers = torch.arange(request.first_sample, request.first_sample + len(request.prompt), device=device)
    longest = max(info.network.max_latent_frames, *(shape[1] for shape in info.latent_shapes))
    if frames > longest:
        rollout = Rollout(max_latent_frames=longest, context_frames=request.context_frames)
    else:
        rollout = Rollout(max_latent_frames=max(2, frames))
    codes = rollout(decoder, given.expand(len(numbers), -1, -1, -1), frames, numbers)
    return SampledCodes(codes, decoder.passes)


def _check_prompts(request: TokenSamplingRequest) -> None:
    if not request.prompt:
        raise SettingError("there is no prompt", remedy='give one per video; "" samples without text')
    if request.first_sample + len(request.prompt) > MAX_SAMPLES:
        raise SettingError(
            f"first_sample is {request.first_sample}; samples have numbers below {MAX_SAMPLES}"
        )
    for number, prompt in enumerate(request.prompt):
        if (size := len(prompt.encode())) > MAX_PROMPT_BYTES:
            raise SettingError(
                f"a prompt has {size} bytes; at most {MAX_PROMPT_BYTES}",
                where=f"prompt {number}: {prompt[:40]!r}…",
                remedy="shorten it",
            )


def _latent_frames(num_frames: int, tokenizer: DiscreteTokenizer, trained: int) -> int:
    if not num_frames:
        return trained
    try:
        return count_latent_frames(num_frames, tokenizer.stride.time)
    except ValueError as error:
        raise SettingError(str(error)) from error


def _count_heads(requested: int, info: TokenModelInfo) -> int:
    """The number of Medusa heads that propose tokens."""
    existing = info.network.medusa_heads
    if requested > existing:
        raise SettingError(
            f"medusa_heads is {requested}, and the model has {existing}",
            remedy="train them with clipmill train autoregressive init_from=MODEL medusa_heads=9"
            if not existing
            else f"set it to {existing} or fewer",
        )
    return existing if requested < 0 else requested


def _read_given(
    request: TokenSamplingRequest, info: TokenModelInfo, tokenizer: DiscreteTokenizer, frames: int
) -> Tensor:
    """Codes of the given frames [1 k h w], int64; k is 0 if the request gives none."""
    _, _, height, width = info.latent_shapes[0]
    if request.image and request.video:
        raise SettingError("image and video are both set", remedy="leave one of them out")
    if not (request.image or request.video):
        if request.num_conditional_frames:
            raise SettingError(
                "num_conditional_frames is of given frames, and there are none",
                remedy="set video, or leave it out",
            )
        if not info.training.get("conditional_frames", (1.0,))[0]:
            raise SettingError(
                "the model was trained with given frames only",
                remedy="give an image or a video, or train it with conditional_frames such as 0.5,0.5",
            )
        return torch.empty(1, 0, height, width, dtype=torch.int64)
    count = choose_given_frames(
        request.num_conditional_frames, bool(request.image), info.training, frames=frames
    )
    stride = tokenizer.stride
    pixels = read_frames(
        Path(request.image or request.video),
        1 + (count - 1) * stride.time,
        info.fps,
        height * stride.height,
        width * stride.width,
    )
    video = pixels.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    return tokenizer.encode_indices(video).long()
