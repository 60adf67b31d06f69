"""Shot boundaries: candidate places with a score, and the selection of boundaries among them."""

from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from manifests import ClipmillError
from manifests.messages import closest_name, join_names
from stages.shots.network import KINDS

MIN_SCORE = 0.05  # candidates with a lower score are not stored
MIN_DISTANCE = 2  # frames: two boundaries that are not farther apart touch each other


class Boundary(NamedTuple):
    """Frames start to end - 1 belong to neither shot. A cut has none: `start` is the first new frame."""

    start: int
    end: int
    kind: str  # "cut", or one of KINDS
    score: float  # 0 to 1


def check_detector(detector: str, detectors: Collection[str]) -> None:
    """Check that a detector exists.

    Raises:
        ClipmillError: No detector has this name.
    """
    if detector not in detectors:
        raise ClipmillError(
            f"there is no detector {detector!r}; there are {join_names(detectors)}",
            remedy=f"did you mean {closest_name(detector, detectors) or next(iter(detectors))!r}?",
        )


def find_candidates(probabilities: np.ndarray) -> list[Boundary]:
    """Return all places with a score of at least `MIN_SCORE`, in order of time.

    Args:
        probabilities: Per frame: of a cut, of being part of a transition, and of each of `KINDS`; [n 5].
    """
    return sorted([*_cuts(probabilities[:, 0]), *_transitions(probabilities[:, 1], probabilities[:, 2:])])


def select_boundaries(
    candidates: Iterable[Boundary], min_cut_score: float, min_transition_score: float
) -> list[Boundary]:
    """Select the candidates that reach their minimum score, in order of time.

    Of candidates that touch each other, only the one with the highest score is selected.
    """
    selected: list[Boundary] = []  # in order of time, without touching: only neighbors can touch a new one
    for candidate in sorted(candidates, key=lambda b: (-b.score, b.start)):
        if candidate.score >= (min_cut_score if candidate.kind == "cut" else min_transition_score):
            at = bisect(selected, candidate)
            if not any(_touch(candidate, other) for other in selected[max(0, at - 1) : at + 1]):
                selected.insert(at, candidate)
    return selected


def add_certain_cuts(candidates: Iterable[Boundary], frames: Iterable[int]) -> list[Boundary]:
    """Return the candidates and a cut of score 1 at each of the frames, in order of time.

    Candidates that touch such a cut are left out.
    """
    certain = [Boundary(frame, frame, "cut", 1.0) for frame in frames if frame]
    others = [place for place in candidates if not any(_touch(place, cut) for cut in certain)]
    return sorted([*others, *certain])


def _touch(one: Boundary, other: Boundary) -> bool:
    return one.start <= other.end + MIN_DISTANCE and other.start <= one.end + MIN_DISTANCE


def _cuts(probability: np.ndarray) -> Iterator[Boundary]:
    """Yield a cut at each local maximum."""
    padded = np.pad(probability, MIN_DISTANCE)
    highest = np.max([padded[k : k + len(probability)] for k in range(2 * MIN_DISTANCE + 1)], axis=0)
    for frame in np.flatnonzero((probability >= MIN_SCORE) & (probability == highest)):
        if frame:
            yield Boundary(int(frame), int(frame), "cut", _rounded(probability[frame]))


def _transitions(probability: np.ndarray, kinds: np.ndarray) -> Iterator[Boundary]:
    """Yield a transition around each maximum, as far as the probability is at least half of it."""
    remaining = probability.copy()
    for first, last in _runs(probability >= MIN_SCORE):
        shortest = 2
        while remaining[first:last].max() >= MIN_SCORE:
            top = first + int(remaining[first:last].argmax())
            high = remaining >= remaining[top] / 2
            start = top - int(np.argmin(np.append(high[first : top + 1][::-1], False))) + 1
            end = top + int(np.argmin(np.append(high[top:last], False)))
            if end - start >= shortest:
                kind = KINDS[int(kinds[start:end].mean(0).argmax())]
                yield Boundary(start, end, kind, _rounded(probability[top]))
            remaining[start:end] = 0
            shortest = 3  # what remains beside a transition is rarely another one


def _runs(mask: np.ndarray) -> Sequence[tuple[int, int]]:
    """Return the runs of true values, each as first index and index after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _rounded(score: float) -> float:
    """Round to 1/1000, so that the stored score is the same on every machine."""
    return round(float(score), 3)
