"""The recipe autoregressive with knobs for the demo's generated films: minutes on two cores.

clipmill demo DIR --run STORE --recipe autoregressive
"""

from dataclasses import replace

from manifests import NonNegativeInt, PositiveInt
from pipeline import Dag
from stages.recipes.autoregressive import CODES, TokenTraining, autoregressive
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.demo import CURATION
from stages.recipes.filters import DEFAULT_FILTERS, Filters


def demo_autoregressive(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    steps: PositiveInt = 150,
    seed: NonNegativeInt = 0,
) -> Dag:
    """Run the recipe autoregressive with one video per part, few codes per clip and a short training.

    Args:
        footage: Folder of the generated films.
        steps: Training steps. Higher trains longer.
        seed: Seed of the training and of the sampled video.
    """
    return autoregressive(
        footage=footage,
        filters=filters,
        captions=captions,
        curation=CURATION,
        encoding=replace(CODES, latent_px=64, latent_fps=8.0, latent_video_frames=17),
        training=TokenTraining(steps=steps, lr=3e-3),
        seed=seed,
    )
