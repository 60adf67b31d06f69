"""Sources: moving images without a cut, of which the synthetic training films are made."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

LONG_SIDE, MAX_FRAMES = 400, 200  # px of the longer side; frames of one source

Source = npt.NDArray[np.uint8]  # BGR [n h w 3]


def filmed_sources(paths: list[Path]) -> Iterator[Source]:
    """Yield the middle frames of single-shot videos; skip videos that do not decode or are too short."""
    import cv2

    from stages.media.decoding.video import open_video
    from stages.media.errors import UnreadableFile

    for path in paths:
        frames: list[np.ndarray] = []
        try:
            with open_video(str(path)) as video:
                skipped = max(0, (video.stream.frames or 0) - MAX_FRAMES) // 2
                for number, frame in enumerate(video.frames()):
                    if number >= skipped:
                        image = frame.pixels("bgr24")
                        scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
                        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
                        frames.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
                    if len(frames) == MAX_FRAMES:
                        break
        except UnreadableFile:
            continue
        if len(frames) >= 30:
            yield np.stack(frames)


def rendered_sources(rng: np.random.Generator, count: int) -> Iterator[Source]:
    """Yield rendered worlds of the demo, with camera motion and moving objects."""
    import cv2

    from stages.footage.camera import Camera
    from stages.footage.films import balls, boats, cars, flock, walkers
    from stages.footage.shot import Shot

    cameras = {"fixed": 0, "pan": 0.4, "tilt": 0.2, "zoom": 0.2, "roll": 9, "shake": 0.012, "travel": 0.4}
    for number in range(count):
        world = str(rng.choice(["hills", "town", "fields", "room", "sea"]))
        camera = str(rng.choice(list(cameras)))
        amount = cameras[camera] * float(rng.uniform(-1, 1))
        things = [cars, flock, walkers, balls, boats][rng.integers(5)](int(rng.integers(1000)))
        light = str(rng.choice(["noon", "dusk", "dawn", "gray"]))
        shot = Shot(f"learning {number}", world, 100, Camera(camera, amount), light, things)
        times_s = (np.arange(100) / 25).tolist()
        planes = shot.draw((LONG_SIDE, 224), times_s, int(rng.integers(1 << 31)))
        yield np.stack([cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_I420) for frame in planes])


def panning_sources(rng: np.random.Generator, clips: Sequence[Source], count: int) -> Iterator[Source]:
    """Yield pans over textures, with close objects that cross the image at another speed.

    A texture is a frame of a clip, continued by its mirror image, or fractal noise.
    """
    import cv2

    width, height = LONG_SIDE, 224
    for _ in range(count):
        still = _fractal(rng, 300, 500)
        if clips and rng.random() < 0.6:
            clip = clips[int(rng.integers(len(clips)))]
            still = cv2.resize(clip[int(rng.integers(len(clip)))], (int(rng.choice([400, 700, 1000])), 300))
        row = np.concatenate([still, still[:, ::-1]], 1)
        wide = np.concatenate([row] * (2 + 2 * width // row.shape[1]), 1)
        near = []
        for _ in range(int(rng.integers(0, 5))):
            texture = _fractal(rng, 300, int(rng.integers(20, 260)))
            top = int(rng.integers(-100, 200)) if rng.random() < 0.6 else 0
            near.append((texture, int(rng.integers(0, 3000)), top))
        depth, pace = rng.uniform(1.3, 4), rng.uniform(1, 26) * rng.choice([-1, 1])
        speeds = pace * np.ones(100)
        if rng.random() < 0.5:  # the camera starts and stops
            knots = rng.uniform(0, 1, 6) * (rng.random(6) < 0.7)
            speeds *= np.interp(np.arange(100), np.linspace(0, 99, 6), knots)
        at, tilt = np.cumsum(speeds), rng.uniform(-0.5, 0.5)
        frames = []
        for number in range(100):
            left = int(at[number]) % row.shape[1]
            top = int(np.clip(38 + tilt * number, 0, 300 - height))
            frame = wide[top : top + height, left : left + width].copy()
            for texture, place, down in near:
                x = int((place - depth * at[number]) % 3000) - 1000
                first, last = max(0, x), min(width, x + texture.shape[1])
                low, high = max(0, down), min(height, down + texture.shape[0])
                if first < last and low < high:
                    frame[low:high, first:last] = texture[low - down : high - down, first - x : last - x]
            if abs(speeds[number]) > 6 and pace > 0:
                frame = cv2.blur(frame, (int(abs(speeds[number]) // 2) + 1, 1))
            frames.append(frame)
        yield np.stack(frames)


def _fractal(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw colored fractal noise, uint8 BGR [h w 3]."""
    import cv2

    total: np.ndarray = np.zeros((height, width, 3), np.float32)
    fall = rng.uniform(0.6, 1.1)
    for octave in range(2, 8):
        grid = rng.normal(0, 1, (2**octave * height // max(width, height) + 2, 2**octave + 2, 3))
        grid[..., 1:] = grid[..., :1] * 0.7 + grid[..., 1:] * 0.3
        total = total + cv2.resize(grid.astype(np.float32), (width, height)) / 2 ** (fall * octave)
    total = (total - total.mean()) / (total.std() + 1e-6) * rng.uniform(15, 60) + rng.integers(30, 220, 3)
    image: np.ndarray = np.clip(total, 0, 255).astype(np.uint8)
    return image


def graphics_sources(rng: np.random.Generator, count: int) -> Iterator[Source]:
    """Yield motion graphics: pages and shapes that slide, grow and scroll over a background."""
    for _ in range(count):
        height, width = 225, LONG_SIDE
        background = _page(rng, height * 3, width, lined=rng.random() < 0.5)
        sprites = [_Sprite(rng, width, height) for _ in range(int(rng.integers(2, 8)))]
        speed, at = (float(rng.uniform(0, 6)) if rng.random() < 0.4 else 0.0), 0.0
        frames = []
        for number in range(120):
            moving = number // 30 % 2 == 1
            at += speed if moving else 0
            first = int(abs((at + height * 2) % (height * 4) - height * 2))
            frame = background[first : first + height].copy()
            for sprite in sprites:
                sprite.paint(frame, number)
            frames.append(frame)
        yield np.stack(frames)


class _Sprite:
    """An image that moves between positions and sizes with easing, and rests in between."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self.image = _page(rng, 120, 160, lined=rng.random() < 0.6)
        largest = 0.85 if rng.random() < 0.3 else 0.4
        places = rng.uniform((-0.4, -0.4, 0.08), (1.2, 1.2, largest), (6, 3))
        times = np.cumsum(rng.integers(6, 40, 6))
        durations = rng.integers(4, 24, 6)
        self.places, self.times, self.durations = places * (width, height, width), times, durations

    def paint(self, frame: np.ndarray, number: int) -> None:
        """Paint the sprite at frame `number` onto a frame, uint8 BGR [h w 3], in place."""
        import cv2

        k = int(np.searchsorted(self.times, number, "right")) % len(self.times)
        share = min(1.0, max(0.0, (number - self.times[k - 1]) / self.durations[k])) if k else 1.0
        eased = share * share * (3 - 2 * share)
        x, y, wide = (1 - eased) * self.places[k - 1] + eased * self.places[k]
        high = wide * 0.75
        matrix = np.array([[wide / 160, 0, x - wide / 2], [0, high / 120, y - high / 2]])
        height, width = frame.shape[:2]
        cv2.warpAffine(self.image, matrix, (width, height), dst=frame, borderMode=cv2.BORDER_TRANSPARENT)


def _page(rng: np.random.Generator, height: int, width: int, *, lined: bool) -> np.ndarray:
    """Draw a colored page with shapes, and with lines of text if `lined`; uint8 BGR [h w 3]."""
    import cv2

    top, bottom = rng.integers(0, 256, (2, 3))
    if lined and rng.random() < 0.7:
        top = bottom = rng.integers(200, 256, 3)
    ramp = np.linspace(0, 1, height)[:, None, None]
    page = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3)).astype(np.uint8).copy()
    ink = tuple(int(v) for v in rng.integers(0, 256, 3))
    if lined:
        for y in range(12, height, int(rng.integers(10, 20))):
            words = " ".join("x" * int(n) for n in rng.integers(2, 10, 6))
            cv2.putText(page, words, (int(rng.integers(4, 20)), y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, ink, 1)
    for _ in range(int(rng.integers(2, 8))):
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(rng.integers(6, max(7, width // 4)))
        if rng.random() < 0.5:
            cv2.rectangle(page, (x, y), (x + size, y + size // 2), color, -1)
        else:
            cv2.circle(page, (x, y), size // 2, color, -1)
    return page
