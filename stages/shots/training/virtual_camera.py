"""A virtual camera over a source: random crop, motion, speed, light and noise."""

from dataclasses import dataclass, replace

import numpy as np

from stages.shots.training.sources import Source

MIN_JUMP = 45  # minimum distance, in frames of the source, of the two sides of a jump cut


@dataclass(frozen=True)
class VirtualCamera:
    """Renders frames of a film from a source. Lengths are px of the source, rates are per frame of the film.

    Attributes:
        source: Frames of the source.
        size: Width and height of the film, px.
        start: First frame of the source.
        speed: Frames of the source per frame of the film.
        backwards: Whether the source runs backwards.
        flipped: Whether the image is mirrored.
        zoom: Px of the source per px of the film.
        growth: Rate of the zoom's logarithm.
        center: Center of the crop at frame 0, [2].
        drift: Motion of the center, [2].
        shake: Random offsets of the center, repeated in time, [k 2].
        whip: A fast pan: first frame, number of frames (0: none), px of the film per frame.
        tones: Look-up table of the colors, uint8 [1 256 3].
        saturation: Factor of the saturation; 1 leaves it.
        noise: Standard deviation of the noise, of 255.
        doubled: Whether every frame is shown twice.
    """

    source: Source
    size: tuple[int, int]
    start: int
    speed: float
    backwards: bool
    flipped: bool
    zoom: float
    growth: float
    center: np.ndarray
    drift: np.ndarray
    shake: np.ndarray
    whip: tuple[int, int, float]
    tones: np.ndarray
    saturation: float
    noise: float
    doubled: bool

    @classmethod
    def sample(
        cls, rng: np.random.Generator, source: Source, size: tuple[int, int], frames: int
    ) -> "VirtualCamera":
        """Draw a random camera for a shot of `frames` frames."""
        height, width = source.shape[1:3]
        zoom = min(width / size[0], height / size[1]) / rng.uniform(1, 1.9)
        margin = np.maximum(0, (np.array([width, height]) - zoom * np.array(size)) / 2)
        drift = rng.choice([0, rng.uniform(0.1, 0.8), rng.uniform(0.8, 8)], p=[0.5, 0.3, 0.2])
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
            center=np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * margin,
            drift=drift * zoom * np.array([np.cos(angle), np.sin(angle)]),
            shake=_shake(rng) * zoom,
            whip=(int(rng.integers(10, 60)), int(rng.integers(3, 9)), float(rng.uniform(-30, 30)))
            if rng.random() < 0.08
            else (0, 0, 0.0),
            tones=tones.astype(np.uint8)[None],
            saturation=float(rng.choice([1, 1, 1, 1, 0, 0.5, 1.4])),
            noise=float(rng.choice([0, 0, 0, 2, 5])),
            doubled=bool(rng.random() < 0.06),
        )

    def jump(self, rng: np.random.Generator, frames: int) -> "VirtualCamera | None":
        """Return the same camera, at least `MIN_JUMP` frames of the source away from frame `frames`.

        None if the source is too short.
        """
        here = self._source_frame(frames)
        far = [k for k in range(0, len(self.source), 3) if abs(k - here) >= MIN_JUMP]
        if len(self.source) < 2 * MIN_JUMP + 10 or not far:
            return None
        center = self.center + self.drift * frames
        return replace(self, start=int(rng.choice(far)), center=center, whip=(0, 0, 0.0))

    def frame(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Render frame `number` of the shot, uint8 BGR [h w 3]."""
        import cv2

        image = self.source[self._source_frame(number)]
        height, width = image.shape[:2]
        zoom = min(self.zoom * np.exp(self.growth * number), width / self.size[0], height / self.size[1])
        center = self.center + self.drift * number + self.shake[number % len(self.shake)]
        first, length, speed = self.whip
        center = center + np.array([speed * zoom * np.clip(number - first, 0, length), 0])
        low = zoom * np.array(self.size) / 2
        span = np.maximum(np.array([width, height]) - 2 * low, 1e-6)
        folded = np.mod(center - low, 2 * span)  # the camera turns back at the edges of the source
        center = low + np.where(folded > span, 2 * span - folded, folded)
        sign = -1 if self.flipped else 1
        shift = np.array(self.size) / 2 - center * (sign / zoom, 1 / zoom)
        matrix = np.array([[sign / zoom, 0, shift[0]], [0, 1 / zoom, shift[1]]])
        frame = cv2.warpAffine(image, matrix, self.size, borderMode=cv2.BORDER_REFLECT)
        if abs(speed) > 3 and first < number <= first + length:
            frame = cv2.blur(frame, (int(min(abs(speed), 25)), 1))
        frame = cv2.LUT(frame, self.tones)
        if self.saturation != 1:
            gray = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
            frame = cv2.addWeighted(frame, self.saturation, gray, 1 - self.saturation, 0)
        if self.noise:
            grain = rng.normal(0, self.noise, frame.shape[:2])[..., None]
            frame = np.clip(frame + grain, 0, 255).astype(np.uint8)
        return frame

    def _source_frame(self, number: int) -> int:
        """Return the frame of the source; it runs back and forth if the shot is longer."""
        shown = number // 2 * 2 if self.doubled else number
        at = int(self.start + (-1 if self.backwards else 1) * shown * self.speed) % (2 * len(self.source) - 2)
        return min(at, 2 * len(self.source) - 2 - at)


def _shake(rng: np.random.Generator) -> np.ndarray:
    """Draw the offsets of a camera in px of the film, [97 2]: steady, trembling, or held by hand."""
    way = rng.random()
    if way > 0.3:
        return np.zeros((97, 2))
    white = rng.normal(0, 1, (97, 2))
    if way < 0.1:
        return white * rng.uniform(0.3, 3)
    reach = int(rng.integers(2, 9))
    smooth = sum(np.roll(white, k, 0) for k in range(reach))
    offsets: np.ndarray = smooth / reach**0.5 * rng.uniform(1, 9)
    return offsets
