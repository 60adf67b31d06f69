"""The world recipe with knobs for the demo's generated films: a few minutes on two cores.

clipmill demo DIR --run STORE
"""

from manifests import NonNegativeInt, PositiveInt
from pipeline import Dag
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import Curation
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.latents import Encoding
from stages.recipes.world import world

CURATION = Curation(videos_per_part=1, crf=23, shard_mb=8, validation_share=0.2)


def demo(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    steps: PositiveInt = 300,
    seed: NonNegativeInt = 0,
) -> Dag:
    """Run the world recipe with one video per part, small latents and a short training.

    Args:
        footage: Folder of the generated films.
        steps: Training steps. Higher trains longer.
        seed: Seed of the training and of the sampled video.
    """
    return world(
        footage=footage,
        filters=filters,
        captions=captions,
        curation=CURATION,
        encoding=Encoding(latent_px=96, latent_fps=8.0, latent_video_frames=17),
        steps=steps,
        batch_size=8,
        lr=3e-3,
        lr_schedule="cosine",
        seed=seed,
        num_inference_steps=12,
    )
