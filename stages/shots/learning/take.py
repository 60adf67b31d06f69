"""A take: a source seen by a camera of its own, at its own speed and in its own light."""

from dataclasses import dataclass, replace

import numpy as np

from stages.shots.learning.sources import Source

AGAIN = 45  # frames at least between two takes of one source that are cut together: a jump


@dataclass(frozen=True)
class Take:
    """All lengths in px of the source, all rates per frame; `start` is a frame of the source."""

    source: Source
    size: tuple[int, int]  # width and height of the film
    start: int
    speed: float
    backwards: bool
    flipped: bool
    zoom: float  # px of the source per px of the film
    growth: float
    middle: np.ndarray
    drift: np.ndarray
    unrest: np.ndarray  # [k 2]: the shake of a hand
    whip: tuple[int, int, float]  # first frame, frames, px per frame; 0 frames for none
    tones: np.ndarray  # look-up table [1 256 3]
    saturation: float
    noise: float
    doubled: bool  # every picture is shown twice

    @classmethod
    def drawn(cls, rng: np.random.Generator, source: Source, size: tuple[int, int], frames: int) -> "Take":
        """A take of `frames` frames, with all its whims."""
        height, width = source.shape[1:3]
        zoom = min(width / size[0], height / size[1]) / rng.uniform(1, 1.9)
        room = np.maximum(0, (np.array([width, height]) - zoom * np.array(size)) / 2)
        pace = rng.choice([0, rng.uniform(0.1, 0.8), rng.uniform(0.8, 4)], p=[0.55, 0.33, 0.12])
        angle = rng.uniform(0, 2 * np.pi)
        speeds = [1, 1, 1, 1, 1, 1, 2, 3, 5, 0.5] if len(source) > 80 else [1, 1, 1, 0.5]
        speed = float(rng.choice(speeds))
        dark = rng.uniform(0.15, 0.5) if rng.random() < 0.12 else 1.0
        curve = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))
        tones = np.clip(255 * dark * curve[:, None] * np.exp(rng.normal(0, 0.1, 3)), 0, 255)
        return cls(
            source=source,
            size=size,
            start=int(rng.integers(0, max(1, len(source) - int(frames * speed)))),
            speed=speed,
            backwards=bool(rng.random() < 0.12),
            flipped=bool(rng.random() < 0.5),
            zoom=zoom,
            growth=float(rng.uniform(-0.012, 0.012)) if rng.random() < 0.25 else 0.0,
            middle=np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room,
            drift=pace * zoom * np.array([np.cos(angle), np.sin(angle)]),
            unrest=rng.normal(0, rng.uniform(0.3, 3) * zoom if rng.random() < 0.15 else 0, (97, 2)),
            whip=(int(rng.integers(10, 60)), int(rng.integers(3, 9)), float(rng.uniform(-30, 30)))
            if rng.random() < 0.08
            else (0, 0, 0.0),
            tones=tones.astype(np.uint8)[None],
            saturation=float(rng.choice([1, 1, 1, 1, 0, 0.5, 1.4])),
            noise=float(rng.choice([0, 0, 0, 2, 5])),
            doubled=bool(rng.random() < 0.06),
        )

    def later(self, rng: np.random.Generator, frames: int) -> "Take | None":
        """The same camera, at least `AGAIN` frames of the source away from frame `frames` of this take."""
        here = self._number(frames)
        far = [k for k in range(0, len(self.source), 3) if abs(k - here) >= AGAIN]
        if len(self.source) < 2 * AGAIN + 10 or not far:
            return None
        moved = self.middle + self.drift * frames
        return replace(self, start=int(rng.choice(far)), middle=moved, whip=(0, 0, 0.0))

    def frame(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Frame `number` of the take, uint8 BGR [h w 3]."""
        import cv2

        picture = self.source[self._number(number)]
        height, width = picture.shape[:2]
        zoom = min(self.zoom * np.exp(self.growth * number), width / self.size[0], height / self.size[1])
        middle = self.middle + self.drift * number + self.unrest[number % len(self.unrest)]
        first, long, speed = self.whip
        middle = middle + np.array([speed * zoom * np.clip(number - first, 0, long), 0])
        low = zoom * np.array(self.size) / 2
        room = np.maximum(np.array([width, height]) - 2 * low, 1e-6)
        folded = np.mod(middle - low, 2 * room)  # the camera turns back at the edges of the source
        middle = low + np.where(folded > room, 2 * room - folded, folded)
        sign = -1 if self.flipped else 1
        shift = np.array(self.size) / 2 - middle * (sign / zoom, 1 / zoom)
        matrix = np.array([[sign / zoom, 0, shift[0]], [0, 1 / zoom, shift[1]]])
        made = cv2.warpAffine(picture, matrix, self.size, borderMode=cv2.BORDER_REFLECT)
        if abs(speed) > 3 and first < number <= first + long:
            made = cv2.blur(made, (int(min(abs(speed), 25)), 1))
        made = cv2.LUT(made, self.tones)
        if self.saturation != 1:
            gray = cv2.cvtColor(cv2.cvtColor(made, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
            made = cv2.addWeighted(made, self.saturation, gray, 1 - self.saturation, 0)
        if self.noise:
            grain = rng.normal(0, self.noise, made.shape[:2])[..., None]
            made = np.clip(made + grain, 0, 255).astype(np.uint8)
        return made

    def _number(self, number: int) -> int:
        """The frame of the source: to and fro, where the take is longer."""
        shown = number // 2 * 2 if self.doubled else number
        at = int(self.start + (-1 if self.backwards else 1) * shown * self.speed) % (2 * len(self.source) - 2)
        return min(at, 2 * len(self.source) - 2 - at)
