"""Checks that clips, tokens and heads can be divided among the ranks as the settings ask."""

from collections.abc import Iterable

from training.errors import LayoutError
from training.networks.config import VideoDiTConfig
from training.networks.registry import NetworkConfig, class_name, find_config
from training.parallel.attention import check_heads
from training.parallel.context import token_lengths
from training.recipes.config import TrainingSettings


def check_layout(
    settings: TrainingSettings,
    num_data_ranks: int,
    shapes: Iterable[tuple[int, int, int, int]],
    network: NetworkConfig | None = None,
) -> None:
    """Check that a training is possible before anything is built.

    Args:
        settings: The settings of the training.
        num_data_ranks: Ranks that read different clips.
        shapes: Shapes [c t h w] of the clips, after `max_latent_frames`.
        network: The config of the network; None is that of `settings.model`.

    Raises:
        LayoutError: The batch cannot be divided equally, or context ranks are left without tokens or heads,
            or the network cannot share the tokens of a clip.
    """
    slices = num_data_ranks * settings.grad_accum_steps
    if settings.batch_size % slices:
        microbatches = (
            f" in {settings.grad_accum_steps} microbatches" if settings.grad_accum_steps > 1 else ""
        )
        raise LayoutError(
            f"a batch of {settings.batch_size} clips cannot be divided equally among {num_data_ranks} ranks"
            + microbatches,
            remedy=f"choose a batch_size that is a multiple of {slices}",
        )
    network = network or find_config(settings.model)
    if not isinstance(network, VideoDiTConfig):
        if settings.context_parallel > 1:
            raise LayoutError(
                f"a {class_name(network)} cannot share the tokens of a clip among {settings.context_parallel}"
                " ranks",
                remedy="set context_parallel to 1",
            )
        return
    if network.views and settings.context_parallel > 1:
        raise LayoutError(
            f"{settings.context_parallel} ranks cannot share the tokens of a clip of several cameras",
            remedy="set context_parallel to 1",
        )
    _, patch_height, patch_width = network.size_multiples
    for _, t, h, w in shapes:
        if h % patch_height or w % patch_width:
            raise LayoutError(
                f"latents of {h} x {w} cannot be divided into patches of {patch_height} x {patch_width}",
                remedy=f"use latents of {h - h % patch_height} x {w - w % patch_width}",
            )
        token_lengths((t, h // patch_height, w // patch_width), settings.context_parallel)
    if settings.context_parallel_method == "ulysses":
        check_heads(network.num_attention_heads, settings.context_parallel)
