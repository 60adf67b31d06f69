"""Raw footage in; curated shards, latents, a trained video diffusion model and a video sampled from it out.

clipmill run stages/recipes/world.py footage=DIR store=DIR
"""

from pipeline import Dag
from stages.ingest.list_videos import ListVideos
from stages.latents.encode_latents import EncodeLatents
from stages.models_trained.sample_video import SampleVideo
from stages.models_trained.train_world import TrainWorld
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.latents import latents_of


def world(
    footage: str,
    videos_per_part: int = 16,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    detector: str = "fast",
    max_duration_s: float = 60.0,
    duplicate_similarity: float = 0.75,
    crf: int = 18,
    shard_mb: int = 256,
    validation_share: float = 0.0,
    tokenizer: str = "small",
    latent_px: int = 128,
    latent_fps: float = 12.0,
    latent_video_frames: int = 33,
    size: str = "tiny",
    steps: int = 200,
    batch: int = 8,
    rate: float = 1e-3,
    ranks: int = 1,
    context: int = 1,
    seed: int = 0,
    sample_steps: int = 20,
) -> Dag:
    """The knobs of `curate` and `latents`, and how the model is trained.

    Args:
        size: of the diffusion transformer: "tiny" or "small".
        steps: of training.
        batch: clips per step, over all ranks.
        rate: peak learning rate.
        ranks: processes that train; sharded with FSDP2.
        context: ranks that share a clip, out of `ranks`.
        seed: of weights, order, times, noise and the sample.
        sample_steps: of the sampler.
    """
    dag = Dag("world")
    videos = dag.read(ListVideos(root=footage), rows_per_part=videos_per_part)
    encode = EncodeLatents(
        tokenizer=tokenizer, short_side_px=latent_px, fps=latent_fps, frames=latent_video_frames
    )
    packed, coded = latents_of(
        videos,
        encode,
        filters,
        captions,
        detector,
        max_duration_s,
        duplicate_similarity,
        crf,
        shard_mb,
        validation_share,
    )
    train = TrainWorld(steps=steps, size=size, batch=batch, rate=rate, context=context, seed=seed)
    trained_on = coded.keep("split == 'train'", because="for validation") if validation_share else coded
    model = trained_on.launch(train.on(ranks=ranks)).annotate(SampleVideo(steps=sample_steps, seed=seed))
    dag.save(packed, "shards")
    dag.save(coded, "latents")
    dag.save(model, "model")
    return dag
