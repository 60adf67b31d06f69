"""Camera poses as a network takes them: the Pluecker coordinates of the ray of each latent.

A ray is (d, m): its direction d of length 1, and its moment m = c x d for the center c of the camera. Poses
are camera-to-world [R|t], 3 x 4, with OpenCV axes: x right, y down, z forward. They are taken relative to the
first pose of the clip, so another world frame changes nothing; and translations are divided by a scale, so
that moments are comparable between scenes.

Source: Sitzmann et al. 2021, arXiv:2106.02634, section 3.1 (Pluecker coordinates); He et al. 2024,
arXiv:2404.02101, section 3.2 (as the condition of a video model).
"""

import torch
from torch import Tensor

MAX_ROTATION_ERROR = 1e-3  # largest entry of R^T R - 1


def check_poses(poses: Tensor) -> None:
    """Check that poses [n 3 4] are rotations and translations.

    Raises:
        ValueError: They have another shape, or a value is not finite, or a rotation is none.
    """
    if poses.dim() != 3 or tuple(poses.shape[1:]) != (3, 4):
        raise ValueError(f"poses {tuple(poses.shape)} are not [n 3 4]")
    if not bool(torch.isfinite(poses).all()):
        raise ValueError("a camera pose has a value that is not finite (NaN or infinity)")
    rotations = poses[:, :, :3].double()
    error = (rotations.mT @ rotations - torch.eye(3, dtype=torch.float64)).abs().amax((1, 2))
    wrong = ((error > MAX_ROTATION_ERROR) | (torch.linalg.det(rotations) < 0)).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"the rotation of camera pose {wrong[0]} is none: R^T R differs from 1 by"
            f" {float(error[wrong[0]]):.3g}, and its determinant is"
            f" {float(torch.linalg.det(rotations[wrong[0]])):.3g}"
        )


def check_intrinsics(intrinsics: Tensor) -> None:
    """Check that intrinsics fx, fy, cx, cy [n 4] are finite, with focal lengths above 0.

    Raises:
        ValueError: They are not.
    """
    if intrinsics.dim() != 2 or intrinsics.shape[1] != 4:
        raise ValueError(f"camera intrinsics {tuple(intrinsics.shape)} are not [n 4]: fx, fy, cx, cy")
    if not bool(torch.isfinite(intrinsics).all()) or float(intrinsics[:, :2].min()) <= 0:
        raise ValueError("camera intrinsics are not finite, or a focal length is not above 0")


def relative_poses(poses: Tensor, origin: Tensor | None = None) -> Tensor:
    """Poses [n 3 4] in the coordinates of a camera, float64.

    Args:
        poses: Camera to world.
        origin: The pose [3 4] of this camera. None is the first of `poses`, which then becomes [1|0].
    """
    poses = poses.double()
    origin = poses[0] if origin is None else origin.double()
    to_first = origin[:, :3].mT
    rotations = to_first @ poses[:, :, :3]
    centers = (to_first @ (poses[:, :, 3] - origin[:, 3])[..., None])[..., 0]
    return torch.cat([rotations, centers[..., None]], -1)


def scale_translations(poses: Tensor, scale: float, path: Tensor | None = None) -> Tensor:
    """Relative poses [n 3 4] with translations divided by `scale`.

    A scale of 0 is the longest distance of the camera, or of the relative poses `path`, from its first
    position; a camera that stays within 1e-6 units keeps its translations.
    """
    if not scale:
        path = poses if path is None else path
        longest = float(torch.linalg.vector_norm(path[:, :, 3], dim=1).max())
        scale = longest if longest > 1e-6 else 1.0
    return torch.cat([poses[:, :, :3], poses[:, :, 3:] / scale], -1)


def plucker_rays(
    poses: Tensor, intrinsics: Tensor, size: tuple[int, int], pixels_per_latent: tuple[int, int]
) -> Tensor:
    """The rays (d, m) through the center of each latent, float32 [6 n h w].

    Args:
        poses: Relative poses [n 3 4].
        intrinsics: fx, fy, cx, cy [n 4], in px of the frame; the center of the first pixel is at 0.5, 0.5.
        size: Latents along height and width.
        pixels_per_latent: Pixels per latent along height and width.
    """
    (h, w), (down, right) = size, pixels_per_latent
    y = (torch.arange(h, dtype=torch.float64) + 0.5) * down
    x = (torch.arange(w, dtype=torch.float64) + 0.5) * right
    fx, fy, cx, cy = intrinsics.double().T[..., None, None]
    shape = (len(poses), h, w)
    in_camera = torch.stack(
        [
            ((x - cx) / fx).expand(shape),
            ((y[:, None] - cy) / fy).expand(shape),
            torch.ones(shape, dtype=torch.float64),
        ],
        -1,
    )  # [n h w 3]
    rotations, centers = poses[:, :, :3].double(), poses[:, :, 3].double()
    directions = torch.nn.functional.normalize(torch.einsum("nij,nhwj->nhwi", rotations, in_camera), dim=-1)
    moments = torch.linalg.cross(centers[:, None, None].expand_as(directions), directions)
    return torch.cat([directions, moments], -1).permute(3, 0, 1, 2).float()


def encode_camera(
    poses: Tensor,
    intrinsics: Tensor,
    scale: float,
    size: tuple[int, int],
    stride: tuple[int, int, int],
    origin: Tensor | None = None,
) -> Tensor:
    """`Conditioning.camera` [6 t h w] of one clip: the rays of the last frame of each latent frame.

    Args:
        poses: Pose of each frame, [n 3 4], for n = 1 + (t - 1) * stride[0] frames.
        intrinsics: [n 4], in px of the frames.
        scale: `CameraSpec.scale`.
        size: Latents along height and width.
        stride: Frames and pixels per latent along t, h, w.
        origin: Poses [n 3 4] of the camera whose first pose is that of the coordinates, and whose path is
            that of scale 0: the first camera of several. None is this camera.

    Raises:
        ValueError: A rotation is none, a value is not finite, or the lengths do not fit.
    """
    check_poses(poses)
    check_intrinsics(intrinsics)
    if len(poses) != len(intrinsics) or (len(poses) - 1) % stride[0]:
        raise ValueError(
            f"{len(poses)} poses and {len(intrinsics)} intrinsics are not those of 1 + k * {stride[0]} frames"
        )
    path = None
    if origin is not None:
        check_poses(origin)
        path = relative_poses(origin)
    relative = scale_translations(relative_poses(poses, None if origin is None else origin[0]), scale, path)
    return plucker_rays(relative[:: stride[0]], intrinsics[:: stride[0]], size, stride[1:])


def fit_intrinsics(intrinsics: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """Intrinsics [... 4] of frames that are scaled to cover a size, and cropped at the center.

    Args:
        intrinsics: fx, fy, cx, cy in px of the frames before.
        size: Height and width before, in px.
        new_size: Height and width afterwards, in px.
    """
    (height, width), (new_height, new_width) = size, new_size
    scale = max(new_height / height, new_width / width)
    offset = torch.tensor([(width * scale - new_width) / 2, (height * scale - new_height) / 2])
    return torch.cat([intrinsics[..., :2] * scale, intrinsics[..., 2:] * scale - offset.to(intrinsics)], -1)


def intrinsics_of_rays(rays: Tensor) -> list[float]:
    """fx, fy, cx, cy as shares of width and height, from the rays [6 h w] of the first frame of a clip.

    That frame has the pose [1|0], so its directions are those in the camera. h and w are at least 2.
    """
    (_, h, w), (x, y, z) = rays.shape, rays[:3].double()
    slopes_x, slopes_y = (x / z)[0], (y / z)[:, 0]
    focal_x = (1 - 1 / w) / float(slopes_x[-1] - slopes_x[0])
    focal_y = (1 - 1 / h) / float(slopes_y[-1] - slopes_y[0])
    center_x, center_y = 0.5 / w - focal_x * float(slopes_x[0]), 0.5 / h - focal_y * float(slopes_y[0])
    return [round(value, 6) for value in (focal_x, focal_y, center_x, center_y)]
