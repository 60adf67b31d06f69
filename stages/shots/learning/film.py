"""Films to learn from: takes joined by cuts, jumps, dissolves, fades and wipes, all at known frames."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.shots.learning.disturb import Frames, disturb
from stages.shots.learning.sources import Source
from stages.shots.learning.take import Take

SIZES = ((256, 144),) * 5 + ((256, 192),) * 2 + ((144, 256),) * 2
SIZES += ((256, 110), (256, 136), (256, 256), (192, 256), (176, 144), (240, 128))
JOINS = {"cut": 0.46, "jump": 0.11, "dissolve": 0.17, "fade": 0.14, "wipe": 0.12}


@dataclass
class Made:
    """Frames, and the truth: the first frames after cuts, and (start, end, kind) of transitions."""

    frames: Frames = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    transitions: list[tuple[int, int, str]] = field(default_factory=list)
    unsure: list[tuple[int, int]] = field(default_factory=list)  # fades at the ends: no say either way


def film(rng: np.random.Generator, sources: Sequence[Source]) -> Made:
    """Some ten shots."""
    made, size = Made(), SIZES[rng.integers(len(SIZES))]
    hasty = rng.random() < 0.15
    take, clean = None, 0  # of the last shot: its take, its first frame that is not mixed
    for _ in range(int(rng.integers(6, 14))):
        long = int(rng.integers(4, 18) if rng.random() < (0.7 if hasty else 0.15) else rng.integers(20, 110))
        how = str(rng.choice(list(JOINS), p=list(JOINS.values()))) if not hasty else "cut"
        again = take.later(rng, len(made.frames) - clean) if take is not None and how == "jump" else None
        fresh = sources[rng.integers(len(sources))]
        new = again or Take.drawn(rng, fresh, size, long)
        if again is None and take is not None and new.source is take.source:
            continue
        spare = len(made.frames) - clean - 5  # frames of the last shot that a transition may take
        if take is None:
            shot = _shot(new, long, rng)
            made.frames += shot
        elif how in ("dissolve", "wipe") and spare >= 4:
            mixed = min(int(rng.integers(4, 46) if rng.random() < 0.4 else rng.integers(6, 31)), spare)
            shot = _shot(new, max(long, mixed + 6), rng, mixed)
            clean = _blend(made, shot, mixed, how, rng)
        elif how == "fade" and spare >= 4 and long > 8:
            clean = _fade(made, _shot(new, long, rng), spare, rng)
        else:
            clean = len(made.frames)
            made.cuts.append(clean)
            made.frames += _shot(new, long, rng)
        take = new
    _finish(made, rng)
    return made


def _shot(take: Take, frames: int, rng: np.random.Generator, mixed: int = 0) -> Frames:
    shot = [take.frame(number, rng) for number in range(frames)]
    clean = shot[mixed:]
    disturb(clean, rng)
    return shot[:mixed] + clean


def _blend(made: Made, shot: Frames, mixed: int, how: str, rng: np.random.Generator) -> int:
    """Let the last `mixed` frames go over into the first of the shot; returns the first clean frame."""
    start, end = len(made.frames) - mixed, len(made.frames)
    eased = rng.random() < 0.25
    order, soft = _order(rng, *shot[0].shape[:2]), float(rng.choice([0, 0, 0, 0.03, 0.1, 0.2]))
    pushed, leftwards = how == "wipe" and rng.random() < 0.15, rng.random() < 0.5
    for k in range(mixed):
        share = (k + 1) / (mixed + 1)
        share = share * share * (3 - 2 * share) if eased else share
        old, new = made.frames[start + k], shot[k]
        if pushed:
            across = int(old.shape[1] * share)
            pair = [old, new] if leftwards else [np.flip(old, 1), np.flip(new, 1)]
            both = np.concatenate([pair[0][:, across:], pair[1][:, :across]], 1)
            made.frames[start + k] = both if leftwards else np.flip(both, 1)
        elif how == "wipe":
            done = np.clip((share * (1 + soft) - order) / max(soft, 1e-6), 0, 1)[..., None]
            made.frames[start + k] = (old * (1 - done) + new * done).astype(np.uint8)
        else:
            made.frames[start + k] = _mix(old, new, share)
    made.frames += shot[mixed:]
    made.transitions.append((start, end, how))
    return end


def _fade(made: Made, shot: Frames, spare: int, rng: np.random.Generator) -> int:
    """Out into a colour, mostly black, hold it, and into the shot; one of the ways may be at once."""
    out, held, into = (int(n) for n in rng.integers((4, 0, 4), (24, 14, 24)))
    once = rng.random()
    out, into = min(out if once > 0.1 else 0, spare), min(into if once < 0.9 else 0, len(shot) - 4)
    level = int(rng.choice([0, 0, 0, 0, 255, 255, rng.integers(0, 256)]))
    ground = np.full_like(shot[0], level)
    start, end = len(made.frames) - out, len(made.frames) + held + into
    for k in range(out):
        made.frames[start + k] = _mix(made.frames[start + k], ground, (k + 1) / (out + 1))
    for k in range(into):
        shot[k] = _mix(ground, shot[k], (k + 1) / (into + 1))
    made.frames += [ground] * held + shot
    made.transitions.append((start, max(end, start + 1), "fade"))
    return end


def _finish(made: Made, rng: np.random.Generator) -> None:
    """Fades at the ends, black bars, a maker's mark: of the whole film."""
    import cv2

    frames = made.frames
    black = np.zeros_like(frames[0])
    for last in (False, True):
        if rng.random() < 0.15:
            long = int(rng.integers(5, 20))
            for k in range(min(long, len(frames))):
                at = len(frames) - 1 - k if last else k
                frames[at] = _mix(black, frames[at], (k + 1) / (long + 1))
            made.unsure.append((len(frames) - long - 2, len(frames)) if last else (0, long + 2))
    bars, upright = rng.uniform(0.04, 0.15) if rng.random() < 0.15 else 0, rng.random() < 0.3
    height, width = black.shape[:2]
    high, wide = (0, int(width * bars)) if upright else (int(height * bars), 0)
    mark = (int(rng.integers(0, width - 40)), int(rng.integers(16, height))) if rng.random() < 0.3 else None
    for number, frame in enumerate(frames):
        frame = frame.copy()
        frame[:high] = frame[height - high :] = frame[:, :wide] = frame[:, width - wide :] = 0
        if mark:
            cv2.putText(frame, "LOGO", mark, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230), 1)
        frames[number] = frame


def _order(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """When a wipe takes each pixel, from 0 to 1, [h w]."""
    down, across = np.mgrid[:height, :width] / np.array([height - 1, width - 1]).reshape(2, 1, 1)
    ways = (across, 1 - across, across, 1 - across, down, 1 - down, (across + down) / 2)
    rare = (
        np.hypot(across - 0.5, down - 0.5) / 0.71,
        (np.arctan2(down - 0.5, across - 0.5) / np.pi + 1) / 2,
        abs(across - 0.5) * 2,
        across * 4 % 1,
    )
    pool = ways if rng.random() < 0.85 else rare
    order = pool[rng.integers(len(pool))]
    made: np.ndarray = 1 - order if rng.random() < 0.5 else order
    return made


def _mix(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    import cv2

    made: np.ndarray = cv2.addWeighted(one, 1 - share, other, share, 0)
    return made
