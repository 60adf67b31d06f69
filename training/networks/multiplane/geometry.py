"""Cameras from their rays, and where a plane of one camera lies in the image of another.

Places in an image are shares of its width and height, (x, y) in 0..1, so that they hold at every resolution.
"""

import torch
from torch import Tensor


def cameras_of_rays(rays: Tensor) -> tuple[Tensor, Tensor]:
    """The cameras [n 3 3] and their centers [n 3] of Pluecker rays (d, m) [n 6 h w], both float64.

    A camera maps (x, y, 1) to the direction through this place, whose depth in the camera is 1. It is found
    by the direct linear transformation, exactly for a pinhole camera. Rays of zeros (unknown) give the camera
    of the identity.

    Source: Hartley & Zisserman 2004, Multiple View Geometry, section 4.1.
    """
    h, w = rays.shape[2:]
    directions, moments = rays.double().flatten(2).transpose(1, 2).chunk(2, 2)  # [n k 3]
    y = ((torch.arange(h, dtype=torch.float64, device=rays.device) + 0.5) / h).repeat_interleave(w)
    x = ((torch.arange(w, dtype=torch.float64, device=rays.device) + 0.5) / w).repeat(h)
    places = torch.stack([x, y, torch.ones_like(x)], 1)  # [k 3]
    identity = torch.eye(3, dtype=torch.float64, device=rays.device)
    across = identity - directions[..., :, None] * directions[..., None, :]  # what is not along the ray
    products = places[:, :, None] * places[:, None]
    equations = across[:, :, :, None, :, None] * products[:, None, :, None, :]
    _, vectors = torch.linalg.eigh(equations.sum(1).flatten(3).flatten(1, 2))
    cameras = vectors[:, :, 0].unflatten(1, (3, 3))
    along = (_transform(cameras[:, None], places) * directions).sum((1, 2))
    cameras = cameras * along.sign()[:, None, None]
    forward = torch.nn.functional.normalize(torch.linalg.cross(cameras[:, :, 0], cameras[:, :, 1]), dim=1)
    cameras = cameras / (cameras[:, :, 2] * forward).sum(1)[:, None, None]
    is_known = directions.abs().amax((1, 2)) > 0
    cameras = torch.where(is_known[:, None, None], cameras, identity)
    across = torch.where(is_known[:, None, None], across.sum(1), identity)
    centers = torch.linalg.solve(across, torch.linalg.cross(directions, moments).sum(1))
    return cameras, centers


def places_in_source(
    source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], disparities: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Where the pixels of targets see the planes of a source, [n k h w 2], and if they do, [n k h w].

    A plane is parallel to the image of the source. Its homography to a target is that of Hartley & Zisserman
    2004, section 13.1.

    Args:
        source: A camera and its center for each target, from `cameras_of_rays`.
        target: The same of the targets.
        disparities: 1 / depth of the planes in the source, [k].
        size: Height and width of the targets in px.
    """
    inverse = torch.linalg.inv(source[0])
    turned = (inverse[:, :, :, None] * target[0][:, None]).sum(2).float()  # [n 3 3]
    shift = _transform(inverse, target[1] - source[1]).float()  # center of the target, in the source
    h, w = size
    y, x = ((torch.arange(n, device=disparities.device) + 0.5) / n for n in size)
    places = torch.stack([x.expand(h, w), y[:, None].expand(h, w), torch.ones_like(x).expand(h, w)], -1)
    rays = _transform(turned[:, None, None], places)  # [n h w 3]
    ahead = rays[..., 2:]
    rays = (rays[..., :2] / ahead.clamp(min=1e-6))[:, None]
    disparity, shift = disparities[:, None, None, None], shift[:, None, None, None]
    away = 1 - disparity * shift[..., 2:]  # distance of the plane from the target, as a share of its depth
    found = away * rays + disparity * shift[..., :2]
    return found, ((away > 1e-3) & (ahead[:, None] > 1e-6))[..., 0]


def _transform(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices [... 3 3] times vectors [... 3]."""
    return (matrices * vectors[..., None, :]).sum(-1)
