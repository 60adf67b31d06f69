"""Curate raw footage, encode latents, train a video diffusion model on them and sample a video from it.

clipmill run stages/recipes/world.py footage=DIR store=DIR
"""

from manifests import ClipmillError, NonNegativeInt, PositiveFloat, PositiveInt
from pipeline import Dag
from stages.models_trained.sample_video import SampleVideo
from stages.models_trained.train_world import TrainWorld
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import DEFAULT_CURATION, Curation
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.footage import DEFAULT_FOOTAGE, Footage, read_footage
from stages.recipes.latents import DEFAULT_ENCODING, Encoding, build_latents


def world(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    inputs: Footage = DEFAULT_FOOTAGE,
    encoding: Encoding = DEFAULT_ENCODING,
    model: str = "tiny",
    steps: PositiveInt = 200,
    batch_size: PositiveInt = 8,
    lr: PositiveFloat = 1e-3,
    lr_schedule: str = "constant",
    num_ranks: PositiveInt = 1,
    context_parallel: PositiveInt = 1,
    seed: NonNegativeInt = 0,
    num_inference_steps: PositiveInt = 20,
) -> Dag:
    """Turn raw footage into shards, latents, a trained video diffusion model and a sampled video.

    Args:
        footage: Folder, file or URL of the videos, or a list of them: .txt, .csv, .jsonl or .parquet. Several
            are separated by commas.
        model: Size of the diffusion transformer: tiny or small.
        steps: Training steps. Higher trains longer.
        batch_size: Clips per training step, over all ranks. Higher needs more memory and time per step.
        lr: Peak learning rate. Higher learns faster and can diverge.
        lr_schedule: Learning rate after the warmup: constant, or cosine, which ends at a tenth of the peak.
        num_ranks: Training processes. The model is sharded over them with FSDP2. Higher needs more CPUs or
            GPUs.
        context_parallel: Ranks that share one clip, a divisor of num_ranks. Higher needs less memory per
            rank.
        seed: Seed of the weights, the order of the clips, the timesteps, the noise and the sampled video.
        num_inference_steps: Steps of the sampler. Higher takes longer and samples more precisely.
    """
    if inputs.images:
        raise ClipmillError(
            "the recipe world trains on clips of videos only",
            where="knob images",
            remedy="run the recipe latents with images=true, and train on its latents with clipmill train",
        )
    dag = Dag("world")
    videos = read_footage(dag, footage, inputs, curation.extensions, curation.videos_per_part)
    shards, encoded = build_latents(videos, filters, captions, curation, encoding)
    train = TrainWorld(
        steps=steps,
        model=model,
        batch_size=batch_size,
        lr=lr,
        lr_schedule=lr_schedule,
        context_parallel=context_parallel,
        seed=seed,
        conditions=",".join(encoding.conditions),
    )
    trained = encoded.launch(train.on(ranks=num_ranks))
    sampled = trained.annotate(SampleVideo(num_inference_steps=num_inference_steps, seed=seed))
    dag.save(shards, "shards")
    dag.save(encoded, "latents")
    dag.save(sampled, "model")
    return dag
