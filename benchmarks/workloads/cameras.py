"""Known camera motion over real images: stills and static clips, seen through a moving window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from stages.media.decoding.video import open_video

SIZE = (640, 360)  # of the window, in px
FPS, LENGTH_S = 24, 2.5
NOISE = 2.0  # standard deviation of the added noise, of 255


@dataclass(frozen=True)
class Move:
    """A camera motion.

    Attributes:
        kind: Kind of the motion.
        amount: Speed or size, in the unit of the kind.
        label: Label that `MeasureMotion` should give.
        path: For a time in s, 0 to `LENGTH_S`: displacement to the right and down (longer sides of the
            window), growth (natural logarithm) and clockwise rotation of the image (rad).
    """

    kind: str
    amount: float
    label: str
    path: Callable[[float], tuple[float, float, float, float]]


def moves() -> list[Move]:
    """Return every kind of camera motion, slow and fast, in both directions."""
    result = [Move("static", 0, "static", lambda t: (0, 0, 0, 0))]
    for turn, speed in enumerate((0.03, 0.06, 0.12, 0.25)):
        sign = -1 if turn % 2 else 1
        result += [
            Move("pan", speed, "pan right" if sign > 0 else "pan left", _constant_speed(0, sign * speed)),
            Move(
                "tilt", speed, "tilt down" if sign > 0 else "tilt up", _constant_speed(1, sign * speed * 0.8)
            ),
        ]
    for turn, speed in enumerate((0.05, 0.1, 0.2)):
        sign = -1 if turn % 2 else 1
        result.append(
            Move("zoom", speed, "zoom in" if sign > 0 else "zoom out", _constant_speed(2, sign * speed))
        )
    for turn, speed in enumerate((3.0, 8.0, 20.0)):
        sign = -1 if turn % 2 else 1
        label = "roll left" if sign > 0 else "roll right"
        result.append(Move("roll", speed, label, _constant_speed(3, sign * np.radians(speed))))
    result += [Move("shake", size, "shake", _oscillate(size, 3.0, 8.0)) for size in (0.004, 0.008, 0.016)]
    result += [
        Move("handheld", size, "handheld", _oscillate(size, 0.25, 1.0)) for size in (0.004, 0.008, 0.016)
    ]
    result += [Move("abrupt", size, "abrupt", _whip(size)) for size in (0.2, 0.35, 0.5)]
    return result


def _constant_speed(part: int, speed: float) -> Callable[[float], tuple[float, float, float, float]]:
    def path(time_s: float) -> tuple[float, float, float, float]:
        values = [0.0] * 4
        values[part] = speed * (time_s - LENGTH_S / 2)
        return values[0], values[1], values[2], values[3]

    return path


def _oscillate(
    size: float, slowest: float, fastest: float
) -> Callable[[float], tuple[float, float, float, float]]:
    """Oscillate around the center by `size` (RMS, longer sides), with four frequencies per axis."""
    rng = np.random.default_rng(round(size * 1e4 + fastest))
    tones, begins = rng.uniform(slowest, fastest, (2, 4)), rng.uniform(0, 2 * np.pi, (2, 4))

    def path(time_s: float) -> tuple[float, float, float, float]:
        right, down = np.sin(2 * np.pi * tones * time_s + begins).sum(axis=1) * size / 2
        return float(right), float(down), 0.0, 0.0

    return path


def _whip(size: float) -> Callable[[float], tuple[float, float, float, float]]:
    """Static, except for 0.2 s in which the view moves by `size` to the right."""

    def path(time_s: float) -> tuple[float, float, float, float]:
        share = min(1.0, max(0.0, (time_s - LENGTH_S / 2) / 0.2 + 0.5))
        return size * (3 * share**2 - 2 * share**3 - 0.5), 0.0, 0.0, 0.0

    return path


def render(images: Sequence[np.ndarray], move: Move, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield the frames that the window sees of images [h w 3]: one image per frame, or one for all."""
    height, width = images[0].shape[:2]
    rng = np.random.default_rng(seed)
    margin = min(0.9, 1 / _required_size(move, width / height))
    scale = margin * min(width / SIZE[0], height / SIZE[1])  # px of the image to one of the window
    soft = [cv2.GaussianBlur(p, (0, 0), max(0.01, 0.35 * scale)) for p in images]
    for k in range(round(LENGTH_S * FPS)):
        right, down, growth, turn = move.path(k / FPS)
        spin = scale * np.exp(-growth - 1j * turn)
        center = complex(width - 1, height - 1) / 2 + scale * complex(right, down) * SIZE[0]
        corner = center - spin * complex(SIZE[0] - 1, SIZE[1] - 1) / 2
        warp = np.array([[spin.real, -spin.imag, corner.real], [spin.imag, spin.real, corner.imag]])
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(
            soft[min(k, len(soft) - 1)], warp, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT
        )
        grain = rng.standard_normal(view.shape, np.float32) * np.float32(NOISE)
        yield np.clip(view + grain + 0.5, 0, 255).astype(np.uint8)


def _required_size(move: Move, shape: float) -> float:
    """Return how much larger than the window an image must be for the window to stay inside."""
    paths = np.array([move.path(t) for t in np.linspace(0, LENGTH_S, 100)])
    grown = np.exp(-paths[:, 2].min()) * (1 + 2 * np.abs(np.sin(paths[:, 3])).max() * SIZE[0] / SIZE[1] * 0.6)
    across = grown + 2 * np.abs(paths[:, 0]).max()
    down = grown + 2 * np.abs(paths[:, 1]).max() * SIZE[0] / SIZE[1]
    return float(max(across, down, 1.0))


def add_foreground(
    under: Iterator[np.ndarray], over: np.ndarray, share: float, speed: float
) -> Iterator[np.ndarray]:
    """Add a foreground object: an oval of another image, `share` of the area, that moves back and forth.

    Args:
        speed: Maximum speed, in longer sides/s.
    """
    width, height = SIZE
    half = np.sqrt(share * width * height / np.pi / 0.6)
    foreground = cv2.resize(over, (width * 2, height * 2), interpolation=cv2.INTER_AREA)
    for k, image in enumerate(under):
        away = speed * width / 4 * np.sin(4 * k / FPS)
        center = (width / 2 + away, height * 0.55)
        mask = np.zeros((height, width), np.uint8)
        spot = tuple(round(16 * c) for c in center)
        cv2.ellipse(
            mask, spot, (round(16 * half), round(16 * half * 0.6)), 0, 0, 360, 255, -1, cv2.LINE_AA, 4
        )
        warp = np.array([[1.0, 0.0, width / 2 - away], [0.0, 1.0, height / 2]])
        shown = cv2.warpAffine(
            foreground,
            warp,
            SIZE,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        cover = mask[..., None] / 255
        yield np.rint(image * (1 - cover) + shown * cover).astype(np.uint8)


def load_stills(folder: Path, min_width_px: int = 480) -> dict[str, list[np.ndarray]]:
    """Return the first frame of each clip that is wide enough, uint8 RGB."""
    return {name: [first] for name, (first,) in _clips(folder, 1) if first.shape[1] >= min_width_px}


def _clips(folder: Path, count: int) -> Iterator[tuple[str, list[np.ndarray]]]:
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".mp4", ".mkv"}):
        with open_video(str(path)) as video:
            yield path.stem, [frame.pixels() for frame in islice(video.frames(), count)]


def load_clips(folder: Path, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Return frames of clips with a static camera, one for each frame of the rendered film."""
    found = {}
    for name in names:
        [path] = folder.glob(f"{name}.*")
        with open_video(str(path)) as video:
            rate = float(video.fps)
            images = [frame.pixels() for frame in islice(video.frames(), round(LENGTH_S * rate) + 1)]
        moments = [min(len(images) - 1, round(k / FPS * rate)) for k in range(round(LENGTH_S * FPS))]
        found[name] = [images[k] for k in moments]
    return found
