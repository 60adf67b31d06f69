"""The world recipe with knobs that suit the drawn films: all of it in a few minutes on two cores.

clipmill demo DIR --run STORE
"""

from pipeline import Dag
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.world import world


def demo(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    steps: int = 60,
    seed: int = 0,
) -> Dag:
    """As `world`, with one video per part, small latents and a short training.

    Args:
        footage: the folder of drawn films.
        steps: of training.
        seed: of the training and the sample.
    """
    return world(
        footage=footage,
        videos_per_part=1,
        filters=filters,
        captions=captions,
        crf=23,
        shard_mb=8,
        latent_px=96,
        latent_fps=8.0,
        latent_video_frames=17,
        steps=steps,
        batch=4,
        seed=seed,
        sample_steps=12,
    )
