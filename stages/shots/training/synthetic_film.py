"""Synthetic training films: shots joined by cuts, jump cuts, dissolves, fades and wipes at known frames."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.shots.training.augment import Frames, augment
from stages.shots.training.sources import Source
from stages.shots.training.virtual_camera import VirtualCamera

SIZES: tuple[tuple[int, int], ...] = (  # width and height in px; repeated sizes are drawn more often
    *((256, 144),) * 5,
    *((256, 192),) * 2,
    *((144, 256),) * 2,
    *((256, 110), (256, 136), (256, 256), (192, 256), (176, 144), (240, 128)),
)
JOINS = {"cut": 0.46, "jump": 0.11, "dissolve": 0.17, "fade": 0.14, "wipe": 0.12}  # probabilities


@dataclass
class SyntheticFilm:
    """Frames with their ground truth.

    Attributes:
        frames: uint8 BGR [h w 3] each.
        cuts: The first frame after each cut.
        transitions: First frame, frame after the last, and kind of each transition.
        ignored: Spans of frames that count for nothing: fades at the ends of the film.
    """

    frames: Frames = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    transitions: list[tuple[int, int, str]] = field(default_factory=list)
    ignored: list[tuple[int, int]] = field(default_factory=list)


def synthesize_film(rng: np.random.Generator, sources: Sequence[Source]) -> SyntheticFilm:
    """Make a film of about ten shots."""
    film, size = SyntheticFilm(), SIZES[int(rng.integers(len(SIZES)))]
    fast_cut = rng.random() < 0.15
    camera, clean = None, 0  # of the last shot: its camera, and its first frame that is not mixed
    for _ in range(int(rng.integers(6, 14))):
        is_short = rng.random() < (0.7 if fast_cut else 0.15)
        length = int(rng.integers(4, 18) if is_short else rng.integers(20, 110))
        join = str(rng.choice(list(JOINS), p=list(JOINS.values()))) if not fast_cut else "cut"
        is_jump = camera is not None and join == "jump"
        jump = camera.jump(rng, len(film.frames) - clean) if camera is not None and is_jump else None
        source = sources[int(rng.integers(len(sources)))]
        new = jump or VirtualCamera.sample(rng, source, size, length)
        if jump is None and camera is not None and new.source is camera.source:
            continue
        spare = len(film.frames) - clean - 5  # frames of the last shot that a transition may use
        other = sources[int(rng.integers(len(sources)))]
        if camera is None:
            film.frames += _shot(new, length, rng, other)
        elif join in ("dissolve", "wipe") and spare >= 4:
            mixed = min(int(rng.integers(4, 46) if rng.random() < 0.4 else rng.integers(6, 31)), spare)
            clean = _append_mixed(
                film, _shot(new, max(length, mixed + 6), rng, other, mixed), mixed, join, rng
            )
        elif join == "fade" and spare >= 4 and length > 8:
            clean = _append_faded(film, _shot(new, length, rng, other), spare, rng)
        else:
            clean = _append_cut(film, _shot(new, length, rng, other), spare, rng)
        camera = new
    _finish(film, rng)
    return film


def synthesize_slide_show(rng: np.random.Generator, sources: Sequence[Source]) -> SyntheticFilm:
    """Make a film of about twenty still pictures, mostly joined by cuts: frames of sources, and plain pages.

    A picture that is replaced by another one is a boundary, although nothing moves before and after.
    """
    film, size = SyntheticFilm(), SIZES[int(rng.integers(len(SIZES)))]
    is_steady, held = rng.random() < 0.4, int(rng.integers(4, 50))
    for number in range(int(rng.integers(12, 26))):
        length = held if is_steady else int(rng.integers(4, 60))
        if rng.random() < 0.45:
            picture = _plain_page(rng, size)
        else:
            camera = VirtualCamera.sample(rng, sources[int(rng.integers(len(sources)))], size, length)
            picture = camera.frame(0, rng)
        shot = [picture] * length
        mixed = int(rng.integers(4, 20)) if number and rng.random() < 0.15 else 0
        if mixed and mixed + 4 < min(length, len(film.frames)):
            _append_mixed(film, shot, mixed, "dissolve", rng)
        else:
            if number:
                film.cuts.append(len(film.frames))
            film.frames += shot
    return film


def _plain_page(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw a page of one color with a few words and shapes; uint8 BGR [h w 3]."""
    import cv2

    width, height = size
    page = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    ink = tuple(int(v) for v in rng.integers(0, 256, 3))
    for _ in range(int(rng.integers(0, 5))):
        at = int(rng.integers(0, width // 2)), int(rng.integers(height // 4, height))
        words = str(int(rng.integers(1000))) if rng.random() < 0.5 else "Abc defg hi"
        cv2.putText(page, words, at, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.4, 2)), ink, 2)
    for _ in range(int(rng.integers(0, 4))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        wide, high = int(rng.integers(8, width // 2)), int(rng.integers(8, height // 2))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.rectangle(page, (x, y), (x + wide, y + high), color, -1)
    return page


def _shot(
    camera: VirtualCamera, frames: int, rng: np.random.Generator, other: Source, mixed: int = 0
) -> Frames:
    """Render a shot; the augmentation spares its first `mixed` frames."""
    shot = [camera.frame(number, rng) for number in range(frames)]
    clean = shot[mixed:]
    augment(clean, rng, other)
    return shot[:mixed] + clean


def _append_cut(film: SyntheticFilm, shot: Frames, spare: int, rng: np.random.Generator) -> int:
    """Append a shot by a cut, at times through one to three mixed frames; return the first clean frame."""
    mixed = int(rng.integers(1, 4)) if rng.random() < 0.2 and spare > 4 and len(shot) > 6 else 0
    start = len(film.frames) - mixed
    for k in range(mixed):
        share = (k + rng.uniform(0.6, 1.4)) / (mixed + 1)
        film.frames[start + k] = _mix(film.frames[start + k], shot[k], share)
    film.cuts.append(start + (mixed + 1) // 2)
    film.frames += shot[mixed:]
    return start + mixed


def _append_mixed(film: SyntheticFilm, shot: Frames, mixed: int, kind: str, rng: np.random.Generator) -> int:
    """Append a shot by a dissolve or wipe of `mixed` frames; return the first frame after it."""
    start, end = len(film.frames) - mixed, len(film.frames)
    eased = rng.random() < 0.25
    height, width = shot[0].shape[:2]
    order, softness = _wipe_order(rng, height, width), float(rng.choice([0, 0, 0, 0.03, 0.1, 0.2]))
    push, leftwards = kind == "wipe" and rng.random() < 0.15, rng.random() < 0.5
    for k in range(mixed):
        share = (k + 1) / (mixed + 1)
        share = share * share * (3 - 2 * share) if eased else share
        old, new = film.frames[start + k], shot[k]
        if push:
            across = int(old.shape[1] * share)
            pair = [old, new] if leftwards else [np.flip(old, 1), np.flip(new, 1)]
            both = np.concatenate([pair[0][:, across:], pair[1][:, :across]], 1)
            film.frames[start + k] = both if leftwards else np.flip(both, 1)
        elif kind == "wipe":
            mask = np.clip((share * (1 + softness) - order) / max(softness, 1e-6), 0, 1)[..., None]
            film.frames[start + k] = (old * (1 - mask) + new * mask).astype(np.uint8)
        else:
            film.frames[start + k] = _mix(old, new, share)
    film.frames += shot[mixed:]
    film.transitions.append((start, end, kind))
    return end


def _append_faded(film: SyntheticFilm, shot: Frames, spare: int, rng: np.random.Generator) -> int:
    """Append a shot by a fade through a gray level, mostly black; return the first frame after it.

    The fade-out or the fade-in may be missing.
    """
    fade_out, held, fade_in = (int(n) for n in rng.integers((4, 0, 4), (24, 14, 24)))
    one_sided = rng.random()
    fade_out = min(fade_out if one_sided > 0.1 else 0, spare)
    fade_in = min(fade_in if one_sided < 0.9 else 0, len(shot) - 4)
    level = int(rng.choice([0, 0, 0, 0, 255, 255, int(rng.integers(0, 256))]))
    blank = np.full_like(shot[0], level)
    start, end = len(film.frames) - fade_out, len(film.frames) + held + fade_in
    for k in range(fade_out):
        film.frames[start + k] = _mix(film.frames[start + k], blank, (k + 1) / (fade_out + 1))
    for k in range(fade_in):
        shot[k] = _mix(blank, shot[k], (k + 1) / (fade_in + 1))
    film.frames += [blank] * held + shot
    film.transitions.append((start, max(end, start + 1), "fade"))
    return end


def _finish(film: SyntheticFilm, rng: np.random.Generator) -> None:
    """Add fades at the ends, black bars and a logo to the whole film, each with some probability."""
    import cv2

    frames = film.frames
    black = np.zeros_like(frames[0])
    for at_end in (False, True):
        if rng.random() < 0.15:
            length = int(rng.integers(5, 20))
            for k in range(min(length, len(frames))):
                at = len(frames) - 1 - k if at_end else k
                frames[at] = _mix(black, frames[at], (k + 1) / (length + 1))
            film.ignored.append((len(frames) - length - 2, len(frames)) if at_end else (0, length + 2))
    bars, is_pillarbox = rng.uniform(0.04, 0.15) if rng.random() < 0.15 else 0, rng.random() < 0.3
    height, width = black.shape[:2]
    bar_y, bar_x = (0, int(width * bars)) if is_pillarbox else (int(height * bars), 0)
    logo = (int(rng.integers(0, width - 40)), int(rng.integers(16, height))) if rng.random() < 0.3 else None
    for number, frame in enumerate(frames):
        frame = frame.copy()
        frame[:bar_y] = frame[height - bar_y :] = frame[:, :bar_x] = frame[:, width - bar_x :] = 0
        if logo:
            cv2.putText(frame, "LOGO", logo, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230), 1)
        frames[number] = frame


def _wipe_order(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the share of the wipe, 0 to 1, at which it replaces each pixel; [h w]."""
    down, across = np.mgrid[:height, :width] / np.array([height - 1, width - 1]).reshape(2, 1, 1)
    usual = (across, 1 - across, across, 1 - across, down, 1 - down, (across + down) / 2)
    rare = (
        np.hypot(across - 0.5, down - 0.5) / 0.71,
        (np.arctan2(down - 0.5, across - 0.5) / np.pi + 1) / 2,
        abs(across - 0.5) * 2,
        across * 4 % 1,
    )
    pool = usual if rng.random() < 0.85 else rare
    order = pool[rng.integers(len(pool))]
    reversed_or_not: np.ndarray = 1 - order if rng.random() < 0.5 else order
    return reversed_or_not


def _mix(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    import cv2

    mixed: np.ndarray = cv2.addWeighted(one, 1 - share, other, share, 0)
    return mixed
