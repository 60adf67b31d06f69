"""Augmentations within a shot, which are not boundaries: light, objects, captions, insets, held frames."""

import numpy as np

Frames = list[np.ndarray]


def augment(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Apply up to three random augmentations to the frames of a shot, in place.

    Args:
        frames: uint8 BGR [h w 3] each.
        rng: Source of all random choices.
        other: Frames of another source, uint8 BGR [n h2 w2 3], for the texture of objects and insets.
    """
    if len(frames) < 18:
        return
    kinds = [flash, overlay, overlay, inset, occlude, occlude, traffic, hold, hold]
    kinds += [change_light, switch_light, turn_hue]
    count = int(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1]))
    for kind in rng.permutation(len(kinds))[:count]:
        kinds[kind](frames, rng, other)


def flash(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Brighten one to three frames, everywhere or around one point; once or several times."""
    height, width = frames[0].shape[:2]
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        color = np.full(3, 255) if rng.random() < 0.8 else rng.integers(0, 256, 3)
        mask = _glow(rng, height, width) if rng.random() < 0.3 else np.ones((height, width, 1))
        first, length = int(rng.integers(4, len(frames) - 5)), int(rng.integers(1, 4))
        for k in range(length):
            share = mask * (rng.uniform(0.4, 1) if k == 0 else rng.uniform(0.15, 0.7))
            frames[first + k] = (frames[first + k] * (1 - share) + color * share).astype(np.uint8)


def overlay(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Show up to three boxes with text for a while, with or without fading."""
    import cv2

    height, width = frames[0].shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        is_lower_third = rng.random() < 0.3
        box_width = width if is_lower_third else int(width * rng.uniform(0.12, 0.9))
        box_height = int(height * rng.uniform(0.05, 0.35))
        color = rng.integers(0, 256, 3).astype(np.uint8)
        box = np.full((box_height, box_width, 3), color)
        for _ in range(int(rng.integers(0, 5))):
            at = int(rng.integers(0, box_width)), int(rng.integers(0, box_height + 5))
            cv2.putText(box, "AbcDefGhi", at, 0, rng.uniform(0.3, 0.8), tuple(int(255 - v) for v in color), 1)
        _show_box(frames, rng, [box], opacity=float(rng.choice([1, 1, 1, 0.7])))


def inset(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Show a small moving or still image of another source for a while, at most a third of the area."""
    import cv2

    height, width = frames[0].shape[:2]
    share = rng.uniform(0.2, 0.58)
    size = int(width * share), int(height * share * rng.uniform(0.5, 1))
    start = int(rng.integers(len(other)))
    numbers = range(start, start + (1 if rng.random() < 0.4 else 60))
    _show_box(frames, rng, [cv2.resize(other[n % len(other)], size) for n in numbers], opacity=1)


def occlude(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Let one to three close objects cross the frame, or one grow into it and stay."""
    height, width = frames[0].shape[:2]
    stays = rng.random() < 0.15
    for _ in range(1 if stays else int(rng.integers(1, 4))):
        first, length = int(rng.integers(2, len(frames) - 8)), int(rng.integers(4, 40))
        axes = np.array([width, height]) * rng.uniform(0.12, 0.9, 2) * (0.6 if stays else 1)
        across = rng.choice([-1, 1]) * (0.5 + axes[0] / width)
        middle = rng.uniform(0.1, 0.9, (2, 2))
        middle[:, 0] = 0.5 - across, 0.5 + across
        if rng.random() < 0.25:
            middle = middle[:, ::-1]
        if stays:
            middle[1] = rng.uniform(0.2, 0.8, 2)
        path = middle * (width, height)
        last = len(frames) if stays else min(first + length, len(frames))
        _move_object(frames, rng, other, axes, path, range(first, last), length, grows=stays)


def traffic(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Let two to six small objects cross the frame at a steady speed, as cars do before a fixed camera."""
    height, width = frames[0].shape[:2]
    for _ in range(int(rng.integers(2, 7))):
        axes = np.array([width, height]) * rng.uniform(0.04, 0.22, 2)
        length = int(rng.integers(12, 90))
        first = int(rng.integers(-length // 2, len(frames) - 8))
        y = rng.uniform(0.1, 0.95, 2)
        ends = np.array([[-0.2, y[0]], [1.2, y[1]]]) * (width, height)
        path = ends[:: int(rng.choice([-1, 1]))]
        span = range(first, min(first + length, len(frames)))
        _move_object(frames, rng, other, axes, path, span, length, grows=False)


def hold(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Repeat frames: in a fixed rhythm, at random, or one frame for long; the replaced frames are lost."""
    first = int(rng.integers(0, len(frames) // 2)) if rng.random() < 0.5 else 0
    last = int(rng.integers(first + 8, len(frames) + 1)) if rng.random() < 0.5 else len(frames)
    way, period = rng.random(), int(rng.choice([2, 3, 3, 4, 5, 6, 8, 10, 12]))
    if way < 0.25:
        last = min(last, first + int(rng.integers(4, 40)))
        kept = np.zeros(last - first, bool)
    elif way < 0.65:
        kept = np.arange(last - first) % period == 0
    else:
        kept = rng.random(last - first) < 1 / period
    for number in range(max(first, 1), last):
        if not kept[number - first]:
            frames[number] = frames[number - 1]


def change_light(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Change the brightness by up to a half, within 1 to 40 frames."""
    length, gain = int(rng.integers(1, 40)), float(np.exp(rng.normal(0, 0.3)))
    _change_tones(frames, rng, length, np.full(3, gain), np.ones(1))


def switch_light(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Switch a light on or off, once to four times, within three frames; everywhere or around one point."""
    height, width = frames[0].shape[:2]
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        gain = np.exp(rng.choice([-1, 1]) * rng.uniform(0.2, 1.1) + rng.normal(0, 0.1, 3))
        mask = _glow(rng, height, width) if rng.random() < 0.4 else np.ones(1)
        _change_tones(frames, rng, int(rng.integers(1, 4)), gain, mask)


def turn_hue(frames: Frames, rng: np.random.Generator, other: np.ndarray) -> None:
    """Turn the color of the light once or several times, within 10 to 120 frames each."""
    height, width = frames[0].shape[:2]
    mask = _glow(rng, height, width) if rng.random() < 0.4 else np.ones(1)
    for _ in range(int(rng.integers(1, 4))):
        _change_tones(frames, rng, int(rng.integers(10, 120)), np.exp(rng.normal(0, 0.45, 3)), mask)


def _change_tones(
    frames: Frames, rng: np.random.Generator, length: int, gain: np.ndarray, mask: np.ndarray
) -> None:
    """Multiply the channels by `gain` [3], reached after `length` frames, where `mask` is 1."""
    first = int(rng.integers(len(frames)))
    for number in range(first, len(frames)):
        share = min(1.0, (number - first + 1) / length)
        factor = 1 + (gain - 1) * share * mask
        frames[number] = np.clip(frames[number] * factor.astype(np.float32), 0, 255).astype(np.uint8)


def _glow(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a share that falls from 1 at a random point to 0, [h w 1]."""
    grid = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    share: np.ndarray = np.clip(1 - rng.uniform(0.7, 1.5) * np.hypot(*(grid - rng.random((2, 1, 1)))), 0, 1)
    return share[..., None]


def _show_box(frames: Frames, rng: np.random.Generator, box: Frames, opacity: float) -> None:
    """Show the images of `box`, one per frame and all of one size, at a random place and time."""
    import cv2

    height, width = frames[0].shape[:2]
    high, wide = box[0].shape[:2]
    x, y = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
    first = int(rng.integers(4, len(frames) - 8))
    length = int(rng.integers(5, max(6, len(frames) - first + 30)))
    fade = int(rng.choice([0, 0, 0, 4, 8]))
    for k in range(min(length, len(frames) - first)):
        share = opacity * (min(1.0, (k + 1) / fade, (length - k) / fade) if fade else 1.0)
        frame = frames[first + k].copy()
        under = frame[y : y + high, x : x + wide]
        mixed = cv2.addWeighted(under, 1 - share, box[k % len(box)], share, 0)
        frame[y : y + high, x : x + wide] = mixed
        frames[first + k] = frame


def _move_object(
    frames: Frames,
    rng: np.random.Generator,
    other: np.ndarray,
    axes: np.ndarray,
    path: np.ndarray,
    span: range,
    length: int,
    *,
    grows: bool,
) -> None:
    """Draw an object along a straight path, with a texture of another source or a blurred one.

    Args:
        axes: Half of the width and height, px.
        path: Its center at the first and at the last frame, px; [2 2].
        span: Frames in which it is drawn.
        length: Frames from one end of the path to the other.
        grows: Whether it starts at a third of its size.
    """
    import cv2

    height, width = frames[0].shape[:2]
    if rng.random() < 0.6:
        texture = cv2.resize(other[int(rng.integers(len(other)))], (width, height))
        texture = cv2.convertScaleAbs(texture, alpha=rng.uniform(0.3, 1.1))
    else:
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        texture = cv2.GaussianBlur(noise, (0, 0), rng.uniform(1, 12))
        texture = cv2.addWeighted(texture, 0.5, np.full_like(texture, rng.integers(0, 200, 3)), 0.5, 0)
    angle, is_box = float(rng.uniform(-20, 20)), rng.random() < 0.4
    outline = rng.uniform(0.75, 1.1, 12)
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    blur = int(rng.choice([0, 0, 3, 7]))
    for number in span:
        if number < 0:
            continue
        share = min(1.0, (number - span.start + 0.5) / length)
        x, y = path[0] * (1 - share) + path[1] * share
        size = axes * (0.3 + 0.9 * share) if grows else axes
        mask: np.ndarray = np.zeros((height, width), np.uint8)
        if is_box:
            points = cv2.boxPoints(((x, y), tuple(2 * size), angle))
        else:
            points = np.stack(
                [x + size[0] * outline * np.cos(turns), y + size[1] * outline * np.sin(turns)], 1
            )
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
        if blur:
            mask = cv2.blur(mask, (blur * 2 + 1, 3))
        moved = cv2.warpAffine(
            texture,
            np.array([[1, 0, x - width / 2], [0, 1, y - height / 2]]),
            (width, height),
            borderMode=cv2.BORDER_REFLECT,
        )
        weight = (mask.astype(np.float32) / 255)[..., None]
        frames[number] = (frames[number] * (1 - weight) + moved * weight).astype(np.uint8)
