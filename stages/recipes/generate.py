"""Sample videos of prompts: check each prompt, rewrite it, check again, sample, and check the video.

clipmill generate "a dog runs on a beach" model=MODEL store=DIR
"""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt
from pipeline import Dag, Rows
from pipeline.errors import RecipeError
from stages.models_trained.sample_prompt import SamplePrompt
from stages.prompts.list_prompts import ListPrompts
from stages.prompts.upsample_prompt import UpsamplePrompt
from stages.recipes.guardrails import DEFAULT_GUARDRAILS, Guardrails, check_prompts, check_videos

_PROMPTS_PER_PART = 16


@dataclass(frozen=True)
class Upsampling:
    """How prompts are rewritten. A recipe's argument of this type stands for all these knobs.

    Attributes:
        upsampler: Chat model that rewrites short prompts into captions: a folder, OWNER/NAME, or the name
            that the endpoint uses. Empty: prompts are used as they are.
        upsampler_endpoint: URL of an OpenAI-compatible endpoint up to /v1, or env:NAME to read it from an
            environment variable of the workers. Empty: the upsampler runs in the workers.
        upsampler_gpus: GPUs of one worker if the upsampler runs in the workers; below 1, workers share a GPU.
        upsampler_template: Template of the request to the upsampler: video, or the path of a file.
        upsampler_unavailable: What happens while the upsampler is unavailable: original, or wait.
    """

    upsampler: str = ""
    upsampler_endpoint: str = ""
    upsampler_gpus: NonNegativeFloat = 0.0
    upsampler_template: str = UpsamplePrompt.template
    upsampler_unavailable: str = UpsamplePrompt.on_unavailable


@dataclass(frozen=True)
class Sampling:
    """How videos are sampled. A recipe's argument of this type stands for all these knobs.

    Attributes:
        num_frames: Frames per video: 1 + a multiple of the tokenizer's temporal stride; 0 is as in training.
            Higher gives longer videos.
        num_conditional_frames: Latent frames that are given from a video; 0 is the largest trained number.
            Higher keeps more of the motion.
        guidance_scale: Scale of classifier-free guidance; 1 is none; 0 is 2 for a diffusion model and 1 for
            an autoregressive one. Higher follows the text more.
        num_inference_steps: Steps of the sampler of a diffusion model; 0 is 20, or as many as the model was
            distilled to. Higher takes longer and is more precise.
        temperature: Temperature of an autoregressive model. Higher gives more varied videos.
        diffusion_decoder: Folder or file of a diffusion decoder, which decodes the tokens of an
            autoregressive model in place of their tokenizer; empty has none.
        diffusion_decoder_steps: Its steps; 1 is the mean of the possible videos. Higher is sharper and
            takes longer.
    """

    num_frames: NonNegativeInt = 0
    num_conditional_frames: NonNegativeInt = 0
    guidance_scale: NonNegativeFloat = 0.0
    num_inference_steps: NonNegativeInt = 0
    temperature: NonNegativeFloat = 1.0
    diffusion_decoder: str = ""
    diffusion_decoder_steps: PositiveInt = 15


DEFAULT_UPSAMPLING, DEFAULT_SAMPLING = Upsampling(), Sampling()


def generate(
    model: str,
    prompt: str = "",
    prompts: str = "",
    image: str = "",
    video: str = "",
    seed: NonNegativeInt = 0,
    upsampling: Upsampling = DEFAULT_UPSAMPLING,
    guardrails: bool = True,
    checks: Guardrails = DEFAULT_GUARDRAILS,
    sampling: Sampling = DEFAULT_SAMPLING,
    gpus: NonNegativeFloat = 0.0,
) -> Dag:
    """Sample a video of each prompt. What a check blocks is dropped, and its verdict is on record.

    Args:
        model: Folder or file of a diffusion or autoregressive model that Clipmill trained.
        prompt: Text of one video.
        prompts: File of prompts: one per line, or JSON lines with prompt, image, video and seed.
        image: File of an image that the video of `prompt` begins with.
        video: File of a video whose last frames the video of `prompt` begins with.
        seed: Seed of the noise of each prompt that has none in the file.
        guardrails: Whether prompts and videos are checked. With false nothing is checked, and the record of
            the run says so.
        gpus: GPUs of one worker that samples; below 1, workers share a GPU.
    """
    dag = Dag("generate")
    listed = ListPrompts(prompt=prompt, file=prompts, seed=seed, image=image, video=video)
    rows = dag.read(listed, rows_per_part=_PROMPTS_PER_PART)
    if guardrails:
        rows = check_prompts(rows, checks, "prompt")
    rows = _upsample(rows, upsampling)
    if guardrails and upsampling.upsampler:
        rows = check_prompts(rows, checks, "upsampled_prompt")
    rows = rows.annotate(SamplePrompt(model=model, **vars(sampling)).on(gpus=gpus))
    if guardrails:
        rows = check_videos(rows, checks)
    dag.save(rows, "videos")
    return dag


def _upsample(rows: Rows, knobs: Upsampling) -> Rows:
    if knobs.upsampler_endpoint and not knobs.upsampler:
        raise RecipeError("upsampler_endpoint is set, but upsampler is not", remedy="add upsampler=NAME")
    if not knobs.upsampler:
        return rows
    stage = UpsamplePrompt(
        model=knobs.upsampler,
        endpoint=knobs.upsampler_endpoint,
        template=knobs.upsampler_template,
        on_unavailable=knobs.upsampler_unavailable,
    )
    return rows.annotate(stage.on(gpus=0 if knobs.upsampler_endpoint else knobs.upsampler_gpus))
