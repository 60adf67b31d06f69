"""Known cameras over real pictures: stills and still-standing clips, seen through a window that moves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from stages.media.decode import open_video

SIZE = (640, 360)  # of the window, in px
FPS, LENGTH_S = 24, 2.5
GRAIN = 2.0  # standard deviation of the noise, of 255


@dataclass(frozen=True)
class Move:
    """A camera: its label, its amount in the unit of its kind, and its way.

    `way` gives for a time in s, 0 … `LENGTH_S`: right and down (longer sides of the window), growth (natural
    logarithm) and turn of the picture (rad, clockwise).
    """

    kind: str
    amount: float
    label: str
    way: Callable[[float], tuple[float, float, float, float]]


def moves() -> list[Move]:
    """Every kind of camera, slow and fast, one way or the other."""
    made = [Move("static", 0, "static", lambda t: (0, 0, 0, 0))]
    for turn, speed in enumerate((0.03, 0.06, 0.12, 0.25)):
        sign = -1 if turn % 2 else 1
        made += [
            Move("pan", speed, "pan right" if sign > 0 else "pan left", _steady(0, sign * speed)),
            Move("tilt", speed, "tilt down" if sign > 0 else "tilt up", _steady(1, sign * speed * 0.8)),
        ]
    for turn, speed in enumerate((0.05, 0.1, 0.2)):
        sign = -1 if turn % 2 else 1
        made.append(Move("zoom", speed, "zoom in" if sign > 0 else "zoom out", _steady(2, sign * speed)))
    for turn, speed in enumerate((3.0, 8.0, 20.0)):
        sign = -1 if turn % 2 else 1
        label = "roll left" if sign > 0 else "roll right"
        made.append(Move("roll", speed, label, _steady(3, sign * np.radians(speed))))
    made += [Move("shake", size, "shake", _sway(size, 3.0, 8.0)) for size in (0.004, 0.008, 0.016)]
    made += [Move("handheld", size, "handheld", _sway(size, 0.25, 1.0)) for size in (0.004, 0.008, 0.016)]
    made += [Move("abrupt", size, "abrupt", _whip(size)) for size in (0.2, 0.35, 0.5)]
    return made


def _steady(part: int, speed: float) -> Callable[[float], tuple[float, float, float, float]]:
    def way(time_s: float) -> tuple[float, float, float, float]:
        values = [0.0] * 4
        values[part] = speed * (time_s - LENGTH_S / 2)
        return values[0], values[1], values[2], values[3]

    return way


def _sway(
    size: float, slowest: float, fastest: float
) -> Callable[[float], tuple[float, float, float, float]]:
    """Off the middle by `size` (root mean square, longer sides), by four tones to each side."""
    rng = np.random.default_rng(round(size * 1e4 + fastest))
    tones, begins = rng.uniform(slowest, fastest, (2, 4)), rng.uniform(0, 2 * np.pi, (2, 4))

    def way(time_s: float) -> tuple[float, float, float, float]:
        right, down = np.sin(2 * np.pi * tones * time_s + begins).sum(axis=1) * size / 2
        return float(right), float(down), 0.0, 0.0

    return way


def _whip(size: float) -> Callable[[float], tuple[float, float, float, float]]:
    """At rest but for a fifth of a second, in which the view goes by `size` to the right."""

    def way(time_s: float) -> tuple[float, float, float, float]:
        share = min(1.0, max(0.0, (time_s - LENGTH_S / 2) / 0.2 + 0.5))
        return size * (3 * share**2 - 2 * share**3 - 0.5), 0.0, 0.0, 0.0

    return way


def filmed(pictures: Sequence[np.ndarray], move: Move, seed: int = 0) -> Iterator[np.ndarray]:
    """What the window sees of pictures [h w 3]; of each moment its own, or the only one there is."""
    height, width = pictures[0].shape[:2]
    rng = np.random.default_rng(seed)
    margin = min(0.9, 1 / _reach(move, width / height))
    scale = margin * min(width / SIZE[0], height / SIZE[1])  # px of the picture to one of the window
    soft = [cv2.GaussianBlur(p, (0, 0), max(0.01, 0.35 * scale)) for p in pictures]
    for k in range(round(LENGTH_S * FPS)):
        right, down, growth, turn = move.way(k / FPS)
        spin = scale * np.exp(-growth - 1j * turn)
        centre = complex(width - 1, height - 1) / 2 + scale * complex(right, down) * SIZE[0]
        corner = centre - spin * complex(SIZE[0] - 1, SIZE[1] - 1) / 2
        warp = np.array([[spin.real, -spin.imag, corner.real], [spin.imag, spin.real, corner.imag]])
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(
            soft[min(k, len(soft) - 1)], warp, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT
        )
        grain = rng.standard_normal(seen.shape, np.float32) * np.float32(GRAIN)
        yield np.clip(seen + grain + 0.5, 0, 255).astype(np.uint8)


def _reach(move: Move, shape: float) -> float:
    """How much larger than the window a picture must be for the window to stay within it."""
    ways = np.array([move.way(t) for t in np.linspace(0, LENGTH_S, 100)])
    grown = np.exp(-ways[:, 2].min()) * (1 + 2 * np.abs(np.sin(ways[:, 3])).max() * SIZE[0] / SIZE[1] * 0.6)
    across = grown + 2 * np.abs(ways[:, 0]).max()
    down = grown + 2 * np.abs(ways[:, 1]).max() * SIZE[0] / SIZE[1]
    return float(max(across, down, 1.0))


def covered(
    under: Iterator[np.ndarray], over: np.ndarray, share: float, speed: float
) -> Iterator[np.ndarray]:
    """A thing before the camera: an oval of another picture, `share` of the area, that goes to and fro.

    Args:
        speed: at its fastest, in longer sides/s.
    """
    width, height = SIZE
    half = np.sqrt(share * width * height / np.pi / 0.6)
    thing = cv2.resize(over, (width * 2, height * 2), interpolation=cv2.INTER_AREA)
    for k, picture in enumerate(under):
        away = speed * width / 4 * np.sin(4 * k / FPS)
        centre = (width / 2 + away, height * 0.55)
        mask = np.zeros((height, width), np.uint8)
        spot = tuple(round(16 * c) for c in centre)
        cv2.ellipse(
            mask, spot, (round(16 * half), round(16 * half * 0.6)), 0, 0, 360, 255, -1, cv2.LINE_AA, 4
        )
        warp = np.array([[1.0, 0.0, width / 2 - away], [0.0, 1.0, height / 2]])
        shown = cv2.warpAffine(
            thing, warp, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        cover = mask[..., None] / 255
        yield np.rint(picture * (1 - cover) + shown * cover).astype(np.uint8)


def stills(folder: Path, least_px: int = 480) -> dict[str, list[np.ndarray]]:
    """The first picture of each clip that is wide enough, uint8 RGB."""
    return {name: [first] for name, (first,) in _clips(folder, 1) if first.shape[1] >= least_px}


def _clips(folder: Path, count: int) -> Iterator[tuple[str, list[np.ndarray]]]:
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".mp4", ".mkv"}):
        with open_video(str(path)) as video:
            yield path.stem, [frame.pixels() for frame in islice(video.frames(), count)]


def running(folder: Path, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The pictures of clips whose camera stands still, one for each frame of the window's film."""
    found = {}
    for name in names:
        [path] = folder.glob(f"{name}.*")
        with open_video(str(path)) as video:
            rate = float(video.fps)
            pictures = [frame.pixels() for frame in islice(video.frames(), round(LENGTH_S * rate) + 1)]
        moments = [min(len(pictures) - 1, round(k / FPS * rate)) for k in range(round(LENGTH_S * FPS))]
        found[name] = [pictures[k] for k in moments]
    return found
