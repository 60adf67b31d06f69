"""What Sampson errors say about a video that is frozen, shakes, wobbles, or follows another path.

python -m benchmarks.world                 # 33 frames of 256 x 448 px, 3 scenes
python -m benchmarks.world --scenes 1 --frames 17 --size 128 224
"""

import argparse
import io
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from benchmarks.world.room import Array, Frames, Room, camera_path
from training.metrics.world.consistency import mean_of_pairs, measure_pair
from training.metrics.world.epipolar import intrinsics_matrix
from training.metrics.world.matches import match_frames


def degraded_videos(
    film: Frames, other_path: Frames, half_speed: Frames
) -> Mapping[str, Callable[[], Frames]]:
    """The videos of the table, by name."""
    return {
        "ground truth": lambda: film,
        "first frame repeated": lambda: np.repeat(film[:1], len(film), 0),
        "another trajectory": lambda: other_path,
        "half speed": lambda: half_speed,
        "affine jitter, 1 % per frame": lambda: affine_jitter(film, 0.01),
        "wobble, 0.5 px": lambda: wobble(film, 0.5),
        "wobble, 1.5 px": lambda: wobble(film, 1.5),
        "wobble, 4 px": lambda: wobble(film, 4.0),
        "blur, sigma 2 px": lambda: np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in film]),
        "JPEG, quality 20": lambda: np.stack([_jpeg(frame, 20) for frame in film]),
    }


def affine_jitter(film: Frames, amount: float, seed: int = 0) -> Frames:
    """Each frame under a random affine map, as of a shaking camera: normal, `amount` of its size."""
    rng = np.random.default_rng(seed)
    h, w = film.shape[1:3]
    frames = []
    for frame in film:
        linear = np.eye(2) + amount * rng.standard_normal((2, 2))
        shift = np.array([w, h]) / 2 - linear @ (np.array([w, h]) / 2)
        shift = shift + amount * np.array([w, h]) * rng.standard_normal(2)
        matrix = np.concatenate([linear, shift[:, None]], 1)
        frames.append(cv2.warpAffine(frame, matrix, (w, h), borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames)


def wobble(film: Frames, amplitude_px: float, seed: int = 0) -> Frames:
    """Each frame under its own smooth non-rigid displacement of this root mean square."""
    rng = np.random.default_rng(seed)
    h, w = film.shape[1:3]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    frames = []
    for frame in film:
        field = rng.standard_normal((2, 6, 8)).astype(np.float32)
        dx, dy = (cv2.resize(each, (w, h), interpolation=cv2.INTER_CUBIC) for each in field)
        scale = amplitude_px / np.sqrt((dx**2 + dy**2).mean())
        frames.append(
            cv2.remap(frame, x + scale * dx, y + scale * dy, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
        )
    return np.stack(frames)


def _jpeg(frame: Frames, quality: int) -> Frames:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def errors_of(
    video: Frames, poses: Array, intrinsics: Array, gaps: list[int], max_pairs: int
) -> list[tuple[float, ...]]:
    """For each gap: Sampson error fitted and calibrated in px, and the mean number of matches."""
    k = intrinsics_matrix(intrinsics)
    rows = []
    for pairs in match_frames(video, gaps, max_pairs).values():
        errors = [measure_pair(pair, poses[pair.first], k, poses[pair.second], k) for pair in pairs]
        rows.append(
            (
                mean_of_pairs([each.fitted for each in errors]),
                mean_of_pairs([each.calibrated for each in errors]),
                float(np.mean([each.matches for each in errors])),
            )
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 448), metavar=("H", "W"))
    parser.add_argument("--gaps", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--max-pairs", type=int, default=12)
    args = parser.parse_args()
    h, w = args.size
    intrinsics = np.array([0.67 * w, 0.67 * w, w / 2, h / 2])
    poses = camera_path("arc", args.frames)
    found: dict[str, list[list[tuple[float, ...]]]] = {}
    for scene in range(args.scenes):
        room = Room(scene)
        paths = (poses, camera_path("forward", args.frames, 1.5), camera_path("arc", args.frames, 0.5))
        films = [room.film(path, intrinsics, (h, w)) for path in paths]
        for name, make in degraded_videos(*films).items():
            found.setdefault(name, []).append(errors_of(make(), poses, intrinsics, args.gaps, args.max_pairs))
    print(f"{args.scenes} scenes, {args.frames} frames of {w} x {h} px, mean of the median errors in px")
    print(f"{'video':30}" + "".join(f"{f'gap {gap}: fitted  calibrated  matches':>40}" for gap in args.gaps))
    for name, scenes in found.items():
        means = np.nanmean(np.array(scenes), 0)
        print(f"{name:30}" + "".join(f"{a:21.3f}{b:12.3f}{n:9.0f}".rjust(40) for a, b, n in means))


if __name__ == "__main__":
    main()
