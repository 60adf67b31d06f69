"""Compares the frames of two clips over time: in copies the same changes follow each other.

Other moments of one take look alike, but change differently. A signature holds up to `SAMPLES` frames of a
clip, evenly spread, averaged over the time between them and scaled to `SIDE` x `SIDE` cells of luma with mean
0. Two signatures are aligned by offset and speed. The copy similarity is the correlation of what changes: of
all cells, less their mean over the common time. So logos, subtitles, tints and bars have little influence. If
one clip may be a crop of the other, parts of its frames are compared with the whole frames of the other. If
there is only one kind of change, such as a slow pan, disagreement counts up to twice.

Where nothing changes in either clip, each shows one frame. Then the copy similarity falls with the difference
of these frames, and is near 0 for other pictures of one scene.
"""

from functools import lru_cache

import numpy as np

KIND = "signature 1"  # raise the number when the same frames give another signature
SAMPLES = 64  # of a clip, at most
RATE = 6.0  # samples per second, at most
SIDE = 12  # cells per axis that are stored
_COMPARED_SIDE = 8  # cells per axis that are compared
_STEPS = 40  # steps per unit of normalized luma
_MIN_STD = 3.0  # levels of luma that are added to the standard deviation of a frame
_HEADER = 4  # bytes: the samples per second as a little-endian float32
_SPEEDS = np.exp(np.linspace(-np.log(1.36), np.log(1.36), 41))  # of one clip relative to the other
_MIN_OVERLAP = 0.75  # of the shorter clip
_LINES = 3  # alignments that are compared in full
_CROPS = (0.95, 0.9, 0.85)  # shares of the width and height
_NOISE = 1e-4  # variance of the changes that codecs cause
_STILL = 4e-4  # variance of the changes below which a clip shows one frame
_SAME_PICTURE = 0.02  # mean squared difference of two still frames at which the similarity is 1 / e
_HOPELESS = 0.3  # correlation of whole frames below which an alignment is not compared in full
_MIN_KINDS = 2.0  # of change: with fewer, the same agreement is more often a coincidence
_SPEED_PENALTY = 0.7  # per unit of the logarithm of the speed, where the mean frames differ


def signature_of(luma: np.ndarray, times_s: np.ndarray, start_s: float, end_s: float) -> bytes:
    """The signature of a clip; empty without frames.

    Args:
        luma: thumbnails of the frames of the clip, uint8 [n h w].
        times_s: their times, ascending, float64 [n].
        start_s, end_s: the span of the clip.
    """
    import cv2

    if not len(luma):
        return b""
    duration_s = max(end_s - start_s, 1e-3)
    rate = np.float32(min(RATE, SAMPLES / duration_s))
    count = int(np.clip(np.floor(duration_s * rate + 1e-3), 1, SAMPLES))
    frames = [cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in luma.astype(np.float32)]
    cells = np.stack(frames).reshape(len(frames), -1).astype(np.float64)
    # each frame lasts until the next one: the integral over time is linear between their times
    edges = np.append(times_s, max(end_s, times_s[-1] + 1e-3))
    integral = np.concatenate(
        [np.zeros((1, cells.shape[1])), np.cumsum(cells * np.diff(edges)[:, None], axis=0)]
    )
    middle_s = (start_s + end_s) / 2
    bounds = np.clip(middle_s + (np.arange(count + 1) - count / 2) / float(rate), edges[0], edges[-1])
    after = np.clip(np.searchsorted(edges, bounds, side="right"), 1, len(cells))
    share = ((bounds - edges[after - 1]) / (edges[after] - edges[after - 1]))[:, None]
    at_bounds = integral[after - 1] * (1 - share) + integral[after] * share
    means = np.diff(at_bounds, axis=0) / np.maximum(np.diff(bounds), 1e-9)[:, None]
    means -= means.mean(axis=1, keepdims=True)
    means /= means.std(axis=1, keepdims=True) + _MIN_STD
    steps = np.clip(np.rint(means * _STEPS), -127, 127).astype(np.int8)
    return bytes(rate.astype("<f4").tobytes() + steps.tobytes())


def copy_similarity(one: bytes, other: bytes) -> float:
    """How well the frames of two clips agree over time, 0 to 1, from their signatures."""
    from stages.duplicates.kernels import best_alignments

    (rate, first), (other_rate, second) = _decode(one), _decode(other)
    if len(first) == len(second) == 1:  # two images
        return _still_similarity(first, second)
    if min(len(first), len(second)) < 2:
        return 0.0
    whole = _crop_weights()[0]
    a, b = first @ whole.T, second @ whole.T
    centered_a, centered_b = a - a.mean(axis=0), b - b.mean(axis=0)
    if max((centered_a**2).mean(), (centered_b**2).mean()) < _STILL:
        return _still_similarity(first, second)
    lines = np.empty((_LINES, 3))
    best_alignments(
        centered_a @ centered_b.T, (centered_a**2).sum(axis=1), (centered_b**2).sum(axis=1),
        _SPEEDS * (other_rate / rate), _MIN_OVERLAP, lines,
    )  # fmt: skip
    highest = 0.0
    for score, speed, offset in lines:
        if score > _HOPELESS:
            frames = _align(first, second, speed, offset)
            agreement, mismatch, kinds = _agreement(*frames)
            change = abs(np.log(speed * rate / other_rate)) * min(mismatch, 1.0)
            similarity = agreement - _SPEED_PENALTY * float(change)
            highest = max(highest, 1 - (1 - similarity) * max(1.0, _MIN_KINDS / kinds))
    return round(min(highest, 1.0), 6)


def _still_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """How much two clips that show one picture each are alike, 0 to 1."""
    difference = _find_crop(first.mean(axis=0), second.mean(axis=0))[2]
    return round(float(np.exp(-difference / _SAME_PICTURE)), 6)


def mirror(signature: bytes) -> bytes:
    """The signature of the mirror image of a clip."""
    cells = np.frombuffer(signature, np.int8, offset=min(_HEADER, len(signature)))
    return signature[:_HEADER] + cells.reshape(-1, SIDE, SIDE)[:, :, ::-1].tobytes()


def _decode(signature: bytes) -> tuple[float, np.ndarray]:
    """Samples per second, and the samples, float32 [n, SIDE * SIDE]."""
    if not signature:
        return 1.0, np.zeros((0, SIDE * SIDE), np.float32)
    samples = np.frombuffer(signature, np.int8, offset=_HEADER).reshape(-1, SIDE * SIDE)
    return float(np.frombuffer(signature[:_HEADER], "<f4")[0]), samples.astype(np.float32) / _STEPS


def _align(
    first: np.ndarray, second: np.ndarray, speed: float, offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """The common samples of both clips: sample i of the first is sample speed * i + offset of the second."""
    start = max(0, int(np.ceil(-offset / speed - 1e-9)))
    end = min(len(first) - 1, int(np.floor((len(second) - 1 - offset) / speed + 1e-9)))
    places = np.arange(start, end + 1)
    positions = np.clip(speed * places + offset, 0, len(second) - 1)
    before = np.minimum(positions.astype(int), len(second) - 2)
    share = (positions - before)[:, None].astype(np.float32)
    return first[places], second[before] * (1 - share) + second[before + 1] * share


def _agreement(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """The correlation of the changes in aligned frames, the difference of their mean frames, and the number
    of kinds of change.

    The mean frames decide whether one clip is a crop of the other. The difference is relative to the changes.
    """
    crop, is_first, difference = _find_crop(first.mean(axis=0), second.mean(axis=0))
    weights = _crop_weights()
    a = first @ weights[crop if is_first else 0].T
    b = second @ weights[0 if is_first else crop].T
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    energy, other = float((a**2).mean()) + _NOISE, float((b**2).mean()) + _NOISE
    scale = (energy * other) ** 0.5
    return float((a * b).mean()) / scale, difference / scale, min(_kinds_of_change(a), _kinds_of_change(b))


def _kinds_of_change(changes: np.ndarray) -> float:
    """The participation ratio of the principal components of changes [n cells]: 1 if all are alike."""
    products = changes @ changes.T
    return float(np.trace(products) ** 2 / ((products**2).sum() + 1e-12)) or 1.0


def _find_crop(first: np.ndarray, second: np.ndarray) -> tuple[int, bool, float]:
    """The crop of one frame that is most like the other frame: its number, whether it is a crop of the first
    frame, and the mean squared difference. A quarter of the cells may differ: a logo.
    """
    weights = _crop_weights()
    found = (0, True, np.inf)
    for is_first, part, frame in ((True, first, second), (False, second, first)):
        squares = np.sort((weights @ part - weights[0] @ frame) ** 2, axis=1)
        differences = squares[:, : squares.shape[1] * 3 // 4].mean(axis=1)
        crop = int(differences.argmin())
        if differences[crop] < found[2]:
            found = (crop, is_first, float(differences[crop]))
    return found


@lru_cache(maxsize=1)
def _crop_weights() -> np.ndarray:
    """How each compared cell is averaged from the stored cells of a crop, float32 [crops, cells, stored].

    The first one is the whole frame. The others remove the sides, or two sides at a corner.
    """
    axes = [(_axis_weights(1.0, 0.0), _axis_weights(1.0, 0.0))]
    for share in _CROPS:
        sides = [_axis_weights(share, removed_before) for removed_before in (0.0, 0.5, 1.0)]
        axes += [(down, across) for down in sides for across in sides]
    return np.stack([np.kron(down, across) for down, across in axes]).astype(np.float32)


def _axis_weights(share: float, removed_before: float) -> np.ndarray:
    """The overlap of compared cells with stored cells along an axis, as shares of a compared cell."""
    edges = ((1 - share) * removed_before + share * np.arange(_COMPARED_SIDE + 1) / _COMPARED_SIDE) * SIDE
    stored = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], stored + 1) - np.maximum(edges[:-1, None], stored)
    weights: np.ndarray = np.maximum(overlap, 0) / np.diff(edges)[:, None]
    return weights
