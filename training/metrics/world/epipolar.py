"""Two views with known cameras: fundamental matrix, Sampson error, rotation homography.

Poses are camera-to-world [R|t], [3 4], with OpenCV axes (x right, y down, z forward). Points are in px; (0,
0) is the corner of the image, so the center of the first pixel is (0.5, 0.5). Source: Hartley and Zisserman,
Multiple View Geometry, 2nd edition, sections 9.2 and 11.4.3.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MIN_BASELINE = 1e-4  # in the unit of the poses; views that are closer have no epipolar geometry
MAX_ROTATION_DEFECT = 1e-3  # of R^T R from the identity, per value


def intrinsics_matrix(intrinsics: Array) -> Array:
    """K [3 3] of (fx, fy, cx, cy) in px."""
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def rotation_defect(matrix: Array) -> float:
    """Largest difference of a value of R^T R from the identity, for R [3 3]; infinite if R is not finite."""
    if not np.isfinite(matrix).all():
        return float("inf")
    return float(np.abs(matrix.T @ matrix - np.eye(3)).max())


def is_rotation(matrix: Array) -> bool:
    """Whether a matrix [3 3] is orthonormal within 1e-3 per value, and keeps the handedness."""
    return rotation_defect(matrix) <= MAX_ROTATION_DEFECT and bool(np.linalg.det(matrix) > 0)


def relative_pose(pose0: Array, pose1: Array) -> tuple[Array, Array]:
    """R [3 3] and t [3] that map points of camera 0 to camera 1: x1 = R x0 + t."""
    rotation = pose1[:, :3].T @ pose0[:, :3]
    return rotation, pose1[:, :3].T @ (pose0[:, 3] - pose1[:, 3])


def fundamental_matrix(pose0: Array, k0: Array, pose1: Array, k1: Array) -> Array:
    """F = K1^-T [t]x R K0^-1, [3 3], with x1^T F x0 = 0 for the two images of one point.

    Raises:
        ValueError: The centers of the cameras are closer than `MIN_BASELINE`: F is not defined.
    """
    rotation, t = relative_pose(pose0, pose1)
    if np.linalg.norm(t) < MIN_BASELINE:
        raise ValueError("two views from one point have no fundamental matrix")
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    matrix: Array = np.linalg.inv(k1).T @ cross @ rotation @ np.linalg.inv(k0)
    return matrix


def sampson_error(matrix: Array, x0: Array, x1: Array) -> Array:
    """Square root of the Sampson distance of pairs of points [n 2] in px, [n].

    (x1^T F x0)^2 / ((F x0)_1^2 + (F x0)_2^2 + (F^T x1)_1^2 + (F^T x1)_2^2); for a translation that is
    parallel to the image, and points that are off by d px perpendicular to it, it is d / sqrt(2).
    """
    h0, h1 = _homogeneous(x0), _homogeneous(x1)
    lines1, lines0 = h0 @ matrix.T, h1 @ matrix
    algebraic = np.abs((h1 * lines1).sum(1))
    slope = np.sqrt((lines1[:, :2] ** 2).sum(1) + (lines0[:, :2] ** 2).sum(1))
    error: Array = algebraic / np.maximum(slope, np.finfo(float).tiny)
    return error


def homography_error(pose0: Array, k0: Array, pose1: Array, k1: Array, x0: Array, x1: Array) -> Array:
    """Distance in px between x1 and K1 R K0^-1 x0, [n]: the error of views that differ by a rotation."""
    rotation, _ = relative_pose(pose0, pose1)
    mapped = _homogeneous(x0) @ (k1 @ rotation @ np.linalg.inv(k0)).T
    ahead = mapped[:, 2] > 0
    depth = np.where(ahead, mapped[:, 2], 1.0)
    distance = np.linalg.norm(mapped[:, :2] / depth[:, None] - x1, axis=1)
    error: Array = np.where(ahead, distance, np.inf)
    return error


def parallax(pose0: Array, k0: Array, pose1: Array, k1: Array, x0: Array, x1: Array) -> Array:
    """Signed motion in px along the epipolar lines, [n]: what the translation adds to the rotation.

    It is positive where a point moves as one in front of both cameras does, and inversely proportional to its
    depth for a translation parallel to the image. The Sampson error does not see this motion: it is 0 for
    points that move too little, too far, or the wrong way along their lines. NaN for points at the epipole.
    """
    rotation, t = relative_pose(pose0, pose1)
    far = _homogeneous(x0) @ (k1 @ rotation @ np.linalg.inv(k0)).T  # the image of the point at infinite depth
    epipole = k1 @ t
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = epipole[:2] * far[:, 2:] - far[:, :2] * epipole[2]
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        motion: Array = ((x1 - far[:, :2] / far[:, 2:]) * direction).sum(1)
    return np.where(far[:, 2] > 0, motion, np.nan)


def project(points: Array, pose: Array, k: Array) -> Array:
    """Images in px [n 2] of points [n 3] of the world; NaN for those behind the camera."""
    local = (points - pose[:, 3]) @ pose[:, :3]
    with np.errstate(divide="ignore", invalid="ignore"):
        image = (local @ k.T)[:, :2] / local[:, 2:]
    seen: Array = np.where(local[:, 2:] > 0, image, np.nan)
    return seen


def _homogeneous(points: Array) -> Array:
    return np.concatenate([points, np.ones((len(points), 1))], 1)
