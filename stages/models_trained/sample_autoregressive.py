"""Samples videos from a trained autoregressive model into one mp4, one video after another."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt, Range, Share
from pipeline import Annotate, Needs
from stages.models_trained.sample_prompt import digest_of_model
from stages.models_trained.sample_video import SampledVideo, TrainedModel, digest_of_given, video_row


class SampleAutoregressive(Annotate[TrainedModel, SampledVideo]):
    """Samples one video per prompt from an autoregressive model.

    Equal models, settings and seeds give equal bytes on machines of the same kind.

    Attributes:
        prompt: Text of each video; "" samples without text. One video is sampled per entry.
        num_frames: Frames per video: 1 + a multiple of the tokenizer's temporal stride. 0 is the number that
            was most frequent in training. More than the model was trained with are sampled in chunks.
        image: File of an image that each video begins with; "" has none. Its bytes are part of the key.
        video: File of a video whose last frames each video begins with; "" has none.
        num_conditional_frames: Latent frames that are given from `video`; 0 is the largest number that the
            model was trained with. Higher values keep more of the motion.
        context_frames: Latent frames of a chunk that the next one begins with. Higher values remember more.
        temperature: Higher values give more varied videos; 0 takes the most probable token.
        top_k: Choose among so many most probable tokens; 0 is all. Higher values give more varied videos.
        top_p: Choose among the most probable tokens whose probabilities sum to this share. Higher values give
            more varied videos.
        guidance_scale: Scale of classifier-free guidance; 1 is none. Higher values follow the text more.
        medusa_heads: Medusa heads that propose tokens: -1 is all, 0 none. Higher values may be faster; the
            video is the same.
        diffusion_decoder: Folder or file of a model that decodes the tokens in place of their tokenizer; ""
            has none. Its digest is part of the content key.
        diffusion_decoder_steps: Steps of the diffusion decoder; 1 gives the mean of the possible videos.
            Higher values give sharper videos, and take longer.
        seed: Seed of the noise.
        tokenizer: Path of the tokenizer that the model was trained with, if it is not a bundled one. Another
            one is refused, so the path is no part of the content key.
        text_encoder: Folder or hub name of the pretrained text encoder of the model; "" takes the recorded
            one. Another one is refused, so the name is no part of the content key.
    """

    version = 2

    prompt: tuple[str, ...] = ("",)
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
    diffusion_decoder: str = ""
    diffusion_decoder_steps: PositiveInt = 15
    seed: NonNegativeInt = 0
    tokenizer: str = ""
    text_encoder: str = ""

    execution_settings = frozenset({"tokenizer", "text_encoder", "medusa_heads", "diffusion_decoder"})
    needs = Needs(cpus=2, memory_gb=2)

    def digest(self) -> str:
        given = digest_of_given(self.image, self.video)
        return f"{given} {digest_of_model(self.diffusion_decoder)}" if self.diffusion_decoder else given

    def annotate(self, rows: Sequence[TrainedModel]) -> Iterator[SampledVideo]:
        from training.decoding.sample import TokenSamplingRequest, sample_token_model

        for row in rows:
            with row.model.local() as path:
                sampled = sample_token_model(path, TokenSamplingRequest(**self.settings()))
            yield video_row(sampled)
