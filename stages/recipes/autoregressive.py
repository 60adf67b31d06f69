"""Curate raw footage, encode it into codes, train an autoregressive world model on them and sample a video.

clipmill run stages/recipes/autoregressive.py footage=DIR store=DIR
"""

from dataclasses import dataclass, replace

from manifests import ClipmillError, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from pipeline import Dag
from stages.models_trained.sample_autoregressive import SampleAutoregressive
from stages.models_trained.train_autoregressive import TrainAutoregressive
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import DEFAULT_CURATION, Curation
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.footage import DEFAULT_FOOTAGE, Footage, read_footage
from stages.recipes.latents import DEFAULT_ENCODING, Encoding, build_latents

CODES = replace(DEFAULT_ENCODING, tokenizer="small-discrete")


@dataclass(frozen=True)
class TokenTraining:
    """How the model is trained. A recipe's argument of this type stands for all these knobs.

    Attributes:
        model: Size of the network: tiny, small, 4b, 5b, 12b or 13b.
        token_embedding: Rows of the ids: fsq, for small data, or table.
        steps: Training steps. Higher trains longer.
        batch_size: Clips per training step, over all ranks. Higher needs more memory and time per step.
        lr: Peak learning rate. Higher learns faster and can diverge.
        lr_schedule: Learning rate after the warmup: constant, or cosine, which ends at a tenth of the peak.
        conditional_frames: Odds of 0, 1, 2 … given latent frames at the start of a clip. Higher odds train
            that number more often.
    """

    model: str = "tiny"
    token_embedding: str = "fsq"
    steps: PositiveInt = 400
    batch_size: PositiveInt = 8
    lr: PositiveFloat = 1e-3
    lr_schedule: str = "cosine"
    conditional_frames: tuple[NonNegativeFloat, ...] = (0.5, 0.5)


@dataclass(frozen=True)
class TokenSampling:
    """The sampled video. A recipe's argument of this type stands for all these knobs.

    Attributes:
        prompt: Text of the sampled video; empty samples without text.
        num_frames: Frames of the sampled video: 1 + a multiple of the tokenizer's temporal stride; 0 is as in
            training. Higher samples longer.
        temperature: Temperature of the sampled tokens; 0 takes the most probable ones. Higher varies more.
        top_p: The tokens are among the most probable ones with this sum of probabilities. Higher varies more.
        diffusion_decoder: Folder or file of a diffusion decoder, such as one of the recipe diffusion_decoder:
            it decodes the tokens in place of their tokenizer; empty has none.
        diffusion_decoder_steps: Its steps; 1 is the mean of the possible videos. Higher is sharper and takes
            longer.
    """

    prompt: str = ""
    num_frames: NonNegativeInt = 0
    temperature: NonNegativeFloat = 1.0
    top_p: Share = 0.8
    diffusion_decoder: str = ""
    diffusion_decoder_steps: PositiveInt = 15


DEFAULT_TRAINING, DEFAULT_SAMPLING = TokenTraining(), TokenSampling()


def autoregressive(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    inputs: Footage = DEFAULT_FOOTAGE,
    encoding: Encoding = CODES,
    training: TokenTraining = DEFAULT_TRAINING,
    sampling: TokenSampling = DEFAULT_SAMPLING,
    num_ranks: PositiveInt = 1,
    seed: NonNegativeInt = 0,
) -> Dag:
    """Turn raw footage into shards, codes, a trained autoregressive world model and a sampled video.

    Args:
        footage: Folder, file or URL of the videos, or a list of them: .txt, .csv, .jsonl or .parquet. Several
            are separated by commas.
        num_ranks: Training processes. The model is sharded over them with FSDP2. Higher needs more CPUs or
            GPUs.
        seed: Seed of the weights, the order of the clips and the sampled video.
    """
    if inputs.images:
        raise ClipmillError(
            "the recipe autoregressive trains on clips of videos only",
            where="knob images",
            remedy="run the recipe latents with images=true, and clipmill train autoregressive on its codes",
        )
    dag = Dag("autoregressive")
    videos = read_footage(dag, footage, inputs, curation.extensions, curation.videos_per_part)
    shards, codes = build_latents(videos, filters, captions, curation, encoding)
    trained = codes.launch(TrainAutoregressive(**vars(training), seed=seed).on(ranks=num_ranks))
    settings = {**vars(sampling), "prompt": (sampling.prompt,)}
    sampled = trained.annotate(SampleAutoregressive(**settings, seed=seed))
    dag.save(shards, "shards")
    dag.save(codes, "codes")
    dag.save(sampled, "model")
    return dag
