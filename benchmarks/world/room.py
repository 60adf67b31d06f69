"""Renders a textured room with boxes along a camera path: exact poses and intrinsics, without a simulator."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Frames = npt.NDArray[np.uint8]
TEXTURE_PX = 256
METERS_PER_TILE = 4.0


@dataclass(frozen=True)
class Plane:
    """A rectangle: corner, two edges (3 each, m), and texture [n n 3]."""

    corner: Array
    across: Array
    down: Array
    texture: npt.NDArray[np.float32]


class Room:
    """A room of 8 x 3 x 8 m with boxes; the seed determines sizes and textures.

    Attributes:
        planes: Its rectangles.
    """

    def __init__(self, seed: int, boxes: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self.planes: list[Plane] = []
        self._add_box(rng, np.array([-4, -1.5, -4.0]), np.array([8, 3, 8.0]))
        for _ in range(boxes):
            size = rng.uniform(0.4, 1.1, 3)
            place = np.array([rng.uniform(-3, 2.5), 1.5 - size[1], rng.uniform(0.5, 3.0)])
            self._add_box(rng, place, size)

    def _add_box(self, rng: np.random.Generator, corner: Array, size: Array) -> None:
        x, y, z = np.diag(size)
        for across, down, far in ((x, y, z), (z, y, x), (x, z, y)):
            for start in (corner, corner + far):
                self.planes.append(Plane(start, across, down, _texture(rng)))

    def render(self, pose: Array, intrinsics: Array, size: tuple[int, int], oversample: int = 2) -> Frames:
        """One frame [h w 3].

        Args:
            pose: Camera-to-world [3 4]; x right, y down, z forward.
            intrinsics: fx, fy, cx, cy in px; the center of the first pixel is (0.5, 0.5).
            size: Height and width in px.
            oversample: Rays per pixel and axis.
        """
        h, w = size
        fx, fy, cx, cy = intrinsics
        y, x = ((np.arange(n * oversample) + 0.5) / oversample for n in size)
        local = np.stack(np.broadcast_arrays((x[None] - cx) / fx, (y[:, None] - cy) / fy, 1.0), -1)
        rays = local @ pose[:, :3].T
        depth, image = np.full(rays.shape[:2], np.inf), np.zeros(rays.shape, np.float32)
        for plane in self.planes:
            part = _covered(plane, pose, intrinsics, size, oversample)
            _draw(plane, pose[:, 3], rays[part], depth[part], image[part])
        image = image.reshape(h, oversample, w, oversample, 3).mean((1, 3))
        return np.clip(np.round(image), 0, 255).astype(np.uint8)

    def film(self, poses: Array, intrinsics: Array, size: tuple[int, int]) -> Frames:
        """All frames of a path of poses [t 3 4], [t h w 3]."""
        return np.stack([self.render(pose, intrinsics, size) for pose in poses])


def _covered(
    plane: Plane, pose: Array, intrinsics: Array, size: tuple[int, int], oversample: int
) -> tuple[slice, slice]:
    """The part of the image that a rectangle can cover: all of it if a corner is behind the camera."""
    ends = (0, plane.across, plane.down, plane.across + plane.down)
    local = (np.stack([plane.corner + end for end in ends]) - pose[:, 3]) @ pose[:, :3]
    if local[:, 2].max() < 0:
        return slice(0), slice(0)
    if local[:, 2].min() < 0.05:
        return slice(None), slice(None)
    x, y = (local[:, :2] / local[:, 2:] * intrinsics[:2] + intrinsics[2:]).T * oversample
    limits = [
        np.clip((n.min() - 1, n.max() + 2), 0, s * oversample) for n, s in zip((y, x), size, strict=True)
    ]
    rows, columns = (slice(int(low), int(high)) for low, high in limits)
    return rows, columns


def _draw(plane: Plane, eye: Array, rays: Array, depth: Array, image: npt.NDArray[np.float32]) -> None:
    """Add a rectangle to the image where it is nearer than what is there."""
    normal = np.cross(plane.across, plane.down)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = ((plane.corner - eye) @ normal) / (rays @ normal)
    candidate = np.nonzero((distance > 1e-6) & (distance < depth))
    points = eye + distance[candidate][:, None] * rays[candidate] - plane.corner
    width, height = np.linalg.norm(plane.across), np.linalg.norm(plane.down)
    u, v = points @ plane.across / width, points @ plane.down / height
    inside = (u >= 0) & (u <= width) & (v >= 0) & (v <= height)
    hit = (candidate[0][inside], candidate[1][inside])
    depth[hit] = distance[hit]
    image[hit] = _sample(plane.texture, u[inside] / METERS_PER_TILE, v[inside] / METERS_PER_TILE)


def _sample(texture: npt.NDArray[np.float32], u: Array, v: Array) -> npt.NDArray[np.float32]:
    """Bilinear values of a texture that repeats."""
    x, y = u * TEXTURE_PX, v * TEXTURE_PX
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, right, top, bottom = (n % TEXTURE_PX for n in (x0, x0 + 1, y0, y0 + 1))
    upper = texture[top, left] * (1 - a) + texture[top, right] * a
    lower = texture[bottom, left] * (1 - a) + texture[bottom, right] * a
    values: npt.NDArray[np.float32] = upper * (1 - b) + lower * b
    return values


def _texture(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Noise of several octaves, colored, [n n 3] in 0..255."""
    total = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    for cells in (8, 16, 32, 64, 128):
        noise = rng.standard_normal((cells, cells), np.float32)
        total += np.kron(noise, np.ones((TEXTURE_PX // cells,) * 2, np.float32)) / np.sqrt(np.log2(cells))
    for axis in (0, 1):
        total = (total + np.roll(total, 1, axis) + np.roll(total, -1, axis)) / 3
    low, high = rng.uniform(20, 90, 3), rng.uniform(150, 250, 3)
    share = 1 / (1 + np.exp(-1.5 * total))[..., None]
    texture: npt.NDArray[np.float32] = (low * (1 - share) + high * share).astype(np.float32)
    return texture


def look_rotation(yaw_deg: float, pitch_deg: float = 0.0) -> Array:
    """Rotation [3 3] of a camera that turns right by yaw, then down by pitch."""
    yaw, pitch = np.radians((yaw_deg, pitch_deg))
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    rotation: Array = turn @ tilt
    return rotation


def camera_path(kind: str, count: int, speed: float = 1.0) -> Array:
    """Poses [t 3 4]: forward, left, arc, rotate, still; 0.02 m or 0.6 degrees a frame, times speed."""
    poses = np.zeros((count, 3, 4))
    for number in range(count):
        s = speed * number
        yaw = 0.6 * s * (kind in ("arc", "rotate")) * (-1 if kind == "arc" else 1)
        poses[number, :, :3] = look_rotation(yaw)
        step = {"forward": (0, 0, 0.02), "left": (-0.02, 0, 0), "arc": (0.03, 0, 0.004)}.get(kind, (0, 0, 0))
        poses[number, :, 3] = np.array([0, 0, -3.0]) + s * np.array(step)
    return poses
