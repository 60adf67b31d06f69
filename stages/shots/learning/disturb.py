"""What happens within a shot and is no boundary: flashes, plates, things in the way, frozen frames."""

import numpy as np

Frames = list[np.ndarray]


def disturb(frames: Frames, rng: np.random.Generator) -> None:
    """Do one of these things, or nothing, to the frames of a shot, in place."""
    if len(frames) < 18:
        return
    done = (flash, flash, overlay, overlay, pass_by, pass_by, freeze, turn_light, None, None, None)
    act = done[int(rng.integers(len(done)))]
    if act is not None:
        act(frames, rng)


def flash(frames: Frames, rng: np.random.Generator) -> None:
    """One to three frames of light, of all the picture or from one place; once, or some times."""
    height, width = frames[0].shape[:2]
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        colour = np.full(3, 255) if rng.random() < 0.8 else rng.integers(0, 256, 3)
        where = np.ones((height, width, 1))
        if rng.random() < 0.3:
            grid = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
            where = np.clip(1 - 1.1 * np.hypot(*(grid - rng.random((2, 1, 1)))), 0, 1)[..., None]
        first, long = int(rng.integers(4, len(frames) - 5)), int(rng.integers(1, 4))
        for k in range(long):
            share = where * (rng.uniform(0.4, 1) if k == 0 else rng.uniform(0.15, 0.7))
            frames[first + k] = (frames[first + k] * (1 - share) + colour * share).astype(np.uint8)


def overlay(frames: Frames, rng: np.random.Generator) -> None:
    """A plate with writing that comes and goes, at once or fading."""
    import cv2

    height, width = frames[0].shape[:2]
    wide, high = int(width * rng.uniform(0.15, 0.75)), int(height * rng.uniform(0.06, 0.35))
    x, y = int(rng.integers(0, width - wide)), int(rng.integers(0, height - high))
    colour = rng.integers(0, 256, 3).astype(np.uint8)
    plate = np.full((high, wide, 3), colour)
    for _ in range(int(rng.integers(0, 4))):
        at = int(rng.integers(0, wide)), int(rng.integers(0, high + 5))
        cv2.putText(plate, "AbcDefGhi", at, 0, rng.uniform(0.3, 0.8), tuple(int(255 - v) for v in colour), 1)
    first = int(rng.integers(4, len(frames) - 8))
    long = int(rng.integers(5, max(6, len(frames) - first)))
    fade, most = int(rng.choice([0, 0, 4, 8])), float(rng.choice([1, 1, 0.7]))
    for k in range(min(long, len(frames) - first)):
        share = most * (min(1.0, (k + 1) / fade, (long - k) / fade) if fade else 1.0)
        frame = frames[first + k].copy()
        under = frame[y : y + high, x : x + wide]
        frame[y : y + high, x : x + wide] = cv2.addWeighted(under, 1 - share, plate, share, 0)
        frames[first + k] = frame


def pass_by(frames: Frames, rng: np.random.Generator) -> None:
    """Something close to the lens crosses the picture, or grows into it and stays."""
    import cv2

    height, width = frames[0].shape[:2]
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    skin = cv2.GaussianBlur(noise, (0, 0), rng.uniform(2, 12))
    skin = cv2.addWeighted(skin, 0.3, np.full_like(skin, rng.integers(0, 200, 3)), 0.7, 0)
    first, long = int(rng.integers(2, len(frames) - 8)), int(rng.integers(5, 40))
    axes = np.array([width, height]) * rng.uniform(0.15, 0.5, 2)
    path = np.array([width, height]) * rng.uniform((-0.4, 0.2), (1.4, 1.1), (2, 2))
    stays = rng.random() < 0.3
    for number in range(first, len(frames) if stays else min(first + long, len(frames))):
        share = min(1.0, (number - first + 0.5) / long)
        x, y = path[0] * (1 - share) + path[1] * share
        size = axes * (0.3 + 0.9 * share) if stays else axes
        mask = np.zeros((height, width, 1), np.uint8)
        cv2.ellipse(mask, (int(x), int(y)), (int(size[0]), int(size[1])), 0, 0, 360, 1, -1)
        frames[number] = np.where(mask, skin, frames[number])


def freeze(frames: Frames, rng: np.random.Generator) -> None:
    """The picture stands still for a while, and what was missed is missed."""
    first = int(rng.integers(3, len(frames) - 4))
    for number in range(first + 1, min(len(frames), first + int(rng.integers(3, 20)))):
        frames[number] = frames[first]


def turn_light(frames: Frames, rng: np.random.Generator) -> None:
    """The light changes by a quarter at most, within some frames."""
    first, long, gain = int(rng.integers(len(frames))), int(rng.integers(1, 20)), rng.uniform(0.75, 1.25)
    for number in range(first, len(frames)):
        share = min(1.0, (number - first + 1) / long)
        frames[number] = np.clip(frames[number] * (1 + (gain - 1) * share), 0, 255).astype(np.uint8)
