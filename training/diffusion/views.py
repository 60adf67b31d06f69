"""The views of several cameras: one after another in the frames of a clip, or each as a clip of its own."""

from dataclasses import fields

import torch
from torch import Tensor

from training.diffusion.conditioning import Conditioning
from training.tensors import Latents, Timestep

FRAME_AXES = {"condition_mask": 2, "condition_latents": 2, "camera": 2, "codes": 1, "code_latents": 2}
OF_VIEWS = ("text_embeddings", "text_mask")  # [b v …]
INDICES = "view_indices"


def num_views(conditioning: Conditioning) -> int:
    """The number of views of each clip; 1 for single videos."""
    return 1 if conditioning.view_indices is None else conditioning.view_indices.shape[1]


def split_views(x: Tensor, views: int, axis: int = 2) -> Tensor:
    """[b … (v t) …], with the frames along `axis`, to [(b v) … t …]."""
    return torch.unflatten(x, axis, (views, -1)).movedim(axis, 1).flatten(0, 1)


def join_views(x: Tensor, views: int, axis: int = 2) -> Tensor:
    """[(b v) … t …], with the frames along `axis`, to [b … (v t) …]."""
    return torch.unflatten(x, 0, (-1, views)).movedim(1, axis).flatten(axis, axis + 1)


def split_conditioning(conditioning: Conditioning) -> Conditioning:
    """The conditioning of each view as that of a clip with one view; what holds for a clip is repeated."""
    if conditioning.view_indices is None:
        return conditioning
    views, values = num_views(conditioning), dict[str, Tensor]()
    for field in fields(conditioning):
        if (x := getattr(conditioning, field.name)) is None:
            continue
        if field.name in FRAME_AXES:
            values[field.name] = split_views(x, views, FRAME_AXES[field.name])
        elif field.name in OF_VIEWS:
            values[field.name] = x.flatten(0, 1)
        elif field.name == INDICES:
            values[field.name] = x.flatten()[:, None]
        else:
            values[field.name] = x.repeat_interleave(views, 0)
    return Conditioning(**values)


def split_inputs(
    noisy: Latents, timestep: Timestep, conditioning: Conditioning
) -> tuple[Latents, Timestep, Conditioning]:
    """The inputs of a network, noisy latents [b c (v t) h w] and timesteps [b] or [b (v t)], for each view.

    Raises:
        ValueError: There are no `view_indices`, or they do not fit the latents.
    """
    indices, views = conditioning.view_indices, num_views(conditioning)
    if indices is None or len(indices) != len(noisy) or noisy.shape[2] % views:
        shape = None if indices is None else tuple(indices.shape)
        raise ValueError(f"view_indices {shape} do not fit latents {tuple(noisy.shape)}")
    is_of_frames = timestep.dim() == 2
    timestep = split_views(timestep, views, 1) if is_of_frames else timestep.repeat_interleave(views)
    return split_views(noisy, views), timestep, split_conditioning(conditioning)


def join_conditioning(conditioning: Conditioning, view_indices: Tensor) -> Conditioning:
    """The conditioning of clips of several views [b v] from that of each view; see `split_conditioning`."""
    views, values = view_indices.shape[1], {INDICES: view_indices}
    for field in fields(conditioning):
        if (x := getattr(conditioning, field.name)) is None or field.name == INDICES:
            continue
        if field.name in FRAME_AXES:
            values[field.name] = join_views(x, views, FRAME_AXES[field.name])
        else:
            values[field.name] = torch.unflatten(x, 0, (-1, views)) if field.name in OF_VIEWS else x[::views]
    return Conditioning(**values)


def last_given(conditioning: Conditioning) -> Latents | None:
    """`Conditioning.last_given` of each view: [b c 1 h w], or [b c (v t) h w] of several views."""
    views, last = num_views(conditioning), split_conditioning(conditioning).last_given()
    if views == 1 or last is None or conditioning.condition_latents is None:
        return last
    frames = conditioning.condition_latents.shape[2] // views
    return join_views(last.expand(-1, -1, frames, -1, -1), views)


def select_views(
    latents: Tensor, conditioning: Conditioning, chosen: Tensor
) -> tuple[Tensor, Conditioning, list[int]]:
    """Some of the views of each clip.

    Args:
        latents: [b c (v t) h w].
        conditioning: That of the clips.
        chosen: Numbers among the views of each clip, [b k].

    Returns:
        Latents [b c (k t) h w], their conditioning, and the numbers of the views among all [b v].
    """
    views, chosen = num_views(conditioning), chosen.to(latents.device)
    rows = (torch.arange(len(chosen), device=chosen.device)[:, None] * views + chosen).flatten()
    each = split_conditioning(conditioning).map(lambda x: x[rows])
    assert each.view_indices is not None
    known = join_conditioning(each, each.view_indices.view_as(chosen))
    return join_views(split_views(latents, views)[rows], chosen.shape[1]), known, rows.tolist()
