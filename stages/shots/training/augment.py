"""Augmentations within a shot, which are not boundaries: flashes, text, occlusions, frozen frames, light."""

import numpy as np

Frames = list[np.ndarray]


def augment(frames: Frames, rng: np.random.Generator) -> None:
    """Apply one random augmentation, or none, to the frames of a shot, in place."""
    if len(frames) < 18:
        return
    choices = (flash, flash, overlay, overlay, occlude, occlude, freeze, change_light, None, None, None)
    augmentation = choices[int(rng.integers(len(choices)))]
    if augmentation is not None:
        augmentation(frames, rng)


def flash(frames: Frames, rng: np.random.Generator) -> None:
    """Brighten one to three frames, everywhere or around one point; once or several times."""
    height, width = frames[0].shape[:2]
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        color = np.full(3, 255) if rng.random() < 0.8 else rng.integers(0, 256, 3)
        mask = np.ones((height, width, 1))
        if rng.random() < 0.3:
            grid = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
            mask = np.clip(1 - 1.1 * np.hypot(*(grid - rng.random((2, 1, 1)))), 0, 1)[..., None]
        first, length = int(rng.integers(4, len(frames) - 5)), int(rng.integers(1, 4))
        for k in range(length):
            share = mask * (rng.uniform(0.4, 1) if k == 0 else rng.uniform(0.15, 0.7))
            frames[first + k] = (frames[first + k] * (1 - share) + color * share).astype(np.uint8)


def overlay(frames: Frames, rng: np.random.Generator) -> None:
    """Show a box with text for a while, with or without fading."""
    import cv2

    height, width = frames[0].shape[:2]
    box_width, box_height = int(width * rng.uniform(0.15, 0.75)), int(height * rng.uniform(0.06, 0.35))
    x, y = int(rng.integers(0, width - box_width)), int(rng.integers(0, height - box_height))
    color = rng.integers(0, 256, 3).astype(np.uint8)
    box = np.full((box_height, box_width, 3), color)
    for _ in range(int(rng.integers(0, 4))):
        at = int(rng.integers(0, box_width)), int(rng.integers(0, box_height + 5))
        cv2.putText(box, "AbcDefGhi", at, 0, rng.uniform(0.3, 0.8), tuple(int(255 - v) for v in color), 1)
    first = int(rng.integers(4, len(frames) - 8))
    length = int(rng.integers(5, max(6, len(frames) - first)))
    fade, opacity = int(rng.choice([0, 0, 4, 8])), float(rng.choice([1, 1, 0.7]))
    for k in range(min(length, len(frames) - first)):
        share = opacity * (min(1.0, (k + 1) / fade, (length - k) / fade) if fade else 1.0)
        frame = frames[first + k].copy()
        under = frame[y : y + box_height, x : x + box_width]
        frame[y : y + box_height, x : x + box_width] = cv2.addWeighted(under, 1 - share, box, share, 0)
        frames[first + k] = frame


def occlude(frames: Frames, rng: np.random.Generator) -> None:
    """Let a close object cross the frame, or grow into it and stay."""
    import cv2

    height, width = frames[0].shape[:2]
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), rng.uniform(2, 12))
    texture = cv2.addWeighted(texture, 0.3, np.full_like(texture, rng.integers(0, 200, 3)), 0.7, 0)
    first, length = int(rng.integers(2, len(frames) - 8)), int(rng.integers(5, 40))
    axes = np.array([width, height]) * rng.uniform(0.15, 0.5, 2)
    path = np.array([width, height]) * rng.uniform((-0.4, 0.2), (1.4, 1.1), (2, 2))
    stays = rng.random() < 0.3
    for number in range(first, len(frames) if stays else min(first + length, len(frames))):
        share = min(1.0, (number - first + 0.5) / length)
        x, y = path[0] * (1 - share) + path[1] * share
        size = axes * (0.3 + 0.9 * share) if stays else axes
        mask = np.zeros((height, width, 1), np.uint8)
        cv2.ellipse(mask, (int(x), int(y)), (int(size[0]), int(size[1])), 0, 0, 360, 1, -1)
        frames[number] = np.where(mask, texture, frames[number])


def freeze(frames: Frames, rng: np.random.Generator) -> None:
    """Repeat one frame for a while; the replaced frames are lost."""
    first = int(rng.integers(3, len(frames) - 4))
    for number in range(first + 1, min(len(frames), first + int(rng.integers(3, 20)))):
        frames[number] = frames[first]


def change_light(frames: Frames, rng: np.random.Generator) -> None:
    """Change the brightness by at most a quarter, within 1 to 19 frames."""
    first, length, gain = int(rng.integers(len(frames))), int(rng.integers(1, 20)), rng.uniform(0.75, 1.25)
    for number in range(first, len(frames)):
        share = min(1.0, (number - first + 1) / length)
        frames[number] = np.clip(frames[number] * (1 + (gain - 1) * share), 0, 255).astype(np.uint8)
