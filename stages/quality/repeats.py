"""Which frames repeat the one before, as far as coding lets them be alike."""

import numpy as np

REFRESHED = (4, 1.0)  # times `below`, and mean change: what coding a picture at rest anew comes to, at most
RESTS = 3  # frames at rest before and after it
STAYS = 0.2  # of the change beside it, at most, is the change of a frame that was shown before


def repeated(largest: np.ndarray, mean: np.ndarray, below: float) -> np.ndarray:
    """Whether each frame but the first repeats the one before it, from the changes of a clip's frames.

    It does where no pixel changed by more than `below` of 255; or where the whole changed by a fifth of what
    it did both before and after, as a doubled frame does that was coded anew; or where it changed by little
    and stands alone in a stretch at rest, as a key frame does.

    Args:
        largest: largest change of any pixel to the frame before; the first is not looked at.
        mean: mean change of the pixels.
    """
    change = mean[1:].astype(float)
    beside = np.full(len(change), -1.0)
    beside[1:-1] = np.minimum(change[:-2], change[2:])
    same = (largest[1:] <= below) | (change <= STAYS * beside)
    runs = np.cumsum(np.concatenate([np.zeros(RESTS + 1, int), same, np.zeros(RESTS, int)]))
    at = np.arange(len(same)) + RESTS + 1  # of each frame in `runs`
    alone = (runs[at - 1] - runs[at - 1 - RESTS] == RESTS) & (runs[at + RESTS] - runs[at] == RESTS)
    times, little = REFRESHED
    return same | (alone & (largest[1:] <= times * below) & (change <= little))
