"""Samples a video for each prompt from one trained model: a diffusion model or an autoregressive one."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from manifests import (
    ClipmillError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Range,
    Row,
    Share,
    column,
)
from manifests.errors import InvalidSetting
from pipeline import Annotate, Needs, Reject
from stages.models.weights import digest_of_files
from stages.models_trained.sample_video import SampledVideo, video_row

if TYPE_CHECKING:
    from training.decoding.diffusion_decoder import DiffusionDecoder
    from training.recipes.sampling import SampledVideos

_DIFFUSION = ("height", "width", "sampler", "num_inference_steps", "flow_shift")
_AUTOREGRESSIVE = (
    "context_frames",
    "temperature",
    "top_k",
    "top_p",
    "medusa_heads",
    "diffusion_decoder",
    "diffusion_decoder_steps",
)
_BOTH = ("num_frames", "num_conditional_frames", "tokenizer", "text_encoder")
_GUIDANCE = {"diffusion": None, "autoregressive": 1.0}  # None: 2, or 1 of a distilled model


class PromptToSample(Row):
    prompt: str
    seed: int
    given_image: str = ""
    given_video: str = ""
    upsampled_prompt: str | None = None


class PromptVideo(SampledVideo):
    sampled_prompt: str = column("text that the model was given: the upsampled prompt, or the prompt")
    sampled_by: str = column("kind of the model, and the digest of its file")


class _Model(NamedTuple):
    """A loaded model: its kind, network with metadata, and device."""

    kind: str
    loaded: Any
    device: str


class SamplePrompt(Annotate[PromptToSample, PromptVideo]):
    """Samples one video per row from a trained model, of `upsampled_prompt` if the row has one, or `prompt`.

    The seed of a row is that of its noise, so a video does not depend on the other rows. A row whose prompt
    or given frames the model cannot take is rejected. The image or video of a row must be readable by the
    workers. Settings of the other kind of model have no effect.

    Attributes:
        model: Folder or file of a model that Clipmill trained.
        num_frames: Frames per video: 1 + a multiple of the tokenizer's temporal stride. 0 is the number that
            was most frequent in training. Higher values give longer videos.
        num_conditional_frames: Latent frames that are given from a video; 0 is the largest number that the
            model was trained with. Higher values keep more of the motion.
        guidance_scale: Scale of classifier-free guidance; 1 is none. 0 is 2 for a diffusion model, and 1
            for a distilled or an autoregressive one. Higher values follow the text more.
        height: Height in px, of a diffusion model; 0 is as in training. Higher values give larger videos.
        width: Width in px, of a diffusion model; 0 is as in training. Higher values give larger videos.
        sampler: Name of the sampler of a diffusion model: heun, euler, unipc, unipc3, ddim or ddpm. ""
            is heun, or euler of a distilled model.
        num_inference_steps: Steps of that sampler. Higher values take longer and are more precise. 0 is 20,
            or as many as the model was distilled to.
        flow_shift: Shift of its timesteps towards noise; 0 is that of the training. Higher values spend more
            steps near the noise.
        context_frames: Latent frames that the next chunk of an autoregressive model begins with. Higher
            values remember more.
        temperature: Temperature of an autoregressive model; 0 takes the most probable token. Higher values
            give more varied videos.
        top_k: It chooses among so many most probable tokens; 0 is all. Higher values give more varied videos.
        top_p: It chooses among the most probable tokens with this sum of probabilities. Higher values give
            more varied videos.
        medusa_heads: Its Medusa heads that propose tokens: -1 is all, 0 none. Higher values may be faster;
            the video is the same.
        diffusion_decoder: Folder or file of a model that decodes its tokens in place of their tokenizer; ""
            has none.
        diffusion_decoder_steps: Steps of that model; 1 gives the mean of the possible videos. Higher values
            give sharper videos, and take longer.
        tokenizer: Path of the tokenizer that the model was trained with, if it is not a bundled one.
        text_encoder: Folder or hub name of the text encoder of the model; "" takes the recorded one.
    """

    version = 3

    # They change no video: the digest has those of the models, and these record those of the other two.
    execution_settings = frozenset(
        {"model", "diffusion_decoder", "tokenizer", "text_encoder", "medusa_heads"}
    )
    needs = Needs(cpus=2, memory_gb=2)

    model: str
    num_frames: NonNegativeInt = 0
    num_conditional_frames: NonNegativeInt = 0
    guidance_scale: NonNegativeFloat = 0.0
    height: NonNegativeInt = 0
    width: NonNegativeInt = 0
    sampler: str = ""
    num_inference_steps: NonNegativeInt = 0
    flow_shift: NonNegativeFloat = 0.0
    context_frames: PositiveInt = 1
    temperature: NonNegativeFloat = 1.0
    top_k: NonNegativeInt = 0
    top_p: Share = 0.8
    medusa_heads: Annotated[int, Range(-1)] = -1
    diffusion_decoder: str = ""
    diffusion_decoder_steps: PositiveInt = 15
    tokenizer: str = ""
    text_encoder: str = ""

    @cached_property
    def loaded_model(self) -> _Model:
        import torch

        from training.autoregressive.model_file import is_token_model, load_token_model
        from training.model import load_model

        path, device = Path(self.model), "cuda" if torch.cuda.is_available() else "cpu"
        if is_token_model(path):
            return _Model("autoregressive", load_token_model(path), device)
        return _Model("diffusion", load_model(path), device)

    @cached_property
    def loaded_decoder(self) -> "DiffusionDecoder | None":
        from training.decoding.sample import TokenSamplingRequest, open_request_decoder

        model = self.loaded_model
        if not self.diffusion_decoder:
            return None
        if model.kind == "diffusion":
            raise InvalidSetting(
                "a diffusion model has no tokens for a diffusion decoder",
                where=self.model,
                remedy="leave diffusion_decoder out, or name an autoregressive model",
            )
        settings = {name: getattr(self, name) for name in (*_AUTOREGRESSIVE, "tokenizer")}
        _, info = model.loaded
        return open_request_decoder(info, TokenSamplingRequest(prompt=("",), **settings), model.device)

    def digest(self) -> str:
        """Return the digests of the model and of the diffusion decoder.

        Raises:
            CheckpointError: there is no model.
        """
        digest = digest_of_model(self.model)
        return f"{digest} {digest_of_model(self.diffusion_decoder)}" if self.diffusion_decoder else digest

    def annotate(self, rows: Sequence[PromptToSample]) -> Iterator[PromptVideo | Reject]:
        model, by = self.loaded_model, f"{self.loaded_model.kind} {digest_of_model(self.model)[:12]}"
        if self.loaded_decoder is not None:
            by += f", diffusion decoder {digest_of_model(self.diffusion_decoder)[:12]}"
        for row in rows:
            text = row.prompt if row.upsampled_prompt is None else row.upsampled_prompt
            try:
                sampled = self._sample(model, row, text)
            except ClipmillError as error:
                yield Reject(f"the model cannot sample this prompt: {error.what}")
                continue
            encoded = video_row(sampled)
            columns = {name: getattr(encoded, name) for name in encoded.names()}
            yield PromptVideo(**columns, sampled_prompt=text, sampled_by=by)

    def _sample(self, model: _Model, row: PromptToSample, text: str) -> "SampledVideos":
        from training.decoding.sample import TokenSamplingRequest, sample_token_model
        from training.recipes.sampling import SamplingRequest, sample

        names = _BOTH + (_DIFFUSION if model.kind == "diffusion" else _AUTOREGRESSIVE)
        settings: dict[str, Any] = {name: getattr(self, name) for name in names}
        settings |= {"prompt": (text,), "seed": row.seed, "image": row.given_image, "video": row.given_video}
        settings["guidance_scale"] = self.guidance_scale or _GUIDANCE[model.kind]
        if not row.given_video:
            settings["num_conditional_frames"] = 0
        if model.kind == "diffusion":
            return sample(model.loaded, SamplingRequest(**settings), model.device)
        request = TokenSamplingRequest(**settings)
        return sample_token_model(model.loaded, request, model.device, self.loaded_decoder)


def digest_of_model(model: str) -> str:
    """The digest of a model file, or of the one in a folder.

    Raises:
        CheckpointError: there is no model.
    """
    from training.model import MODEL_FILE, read_header

    path = Path(model)
    read_header(path)
    return digest_of_files([path / MODEL_FILE if path.is_dir() else path])
