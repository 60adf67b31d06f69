"""Where one shot may end and the next begin, and which of these places are taken for boundaries."""

from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from manifests import ClipmillError
from manifests.wording import listed, nearest
from stages.shots.network import KINDS

FLOOR = 0.05  # a place that scores less is not kept
APART = 2  # frames: two cuts are further apart, and a cut is further from a transition


class Boundary(NamedTuple):
    """Frames start … end - 1 belong to neither shot; a cut has none, and `start` is the new shot's first."""

    start: int
    end: int
    kind: str  # "cut", or one of KINDS
    score: float  # 0 … 1


def known(detector: str, detectors: Collection[str]) -> None:
    """
    Raises:
        ClipmillError: there is no such detector.
    """
    if detector not in detectors:
        raise ClipmillError(
            f"there is no detector {detector!r}; there are {listed(detectors)}",
            remedy=f"did you mean {nearest(detector, detectors) or next(iter(detectors))!r}?",
        )


def candidates(chances: np.ndarray) -> list[Boundary]:
    """All places whose score is at least `FLOOR`, in order of time.

    Args:
        chances: of a cut, of a mixture, and the shares of `KINDS`, float [n 5].
    """
    return sorted([*_cuts(chances[:, 0]), *_transitions(chances[:, 1], chances[:, 2:])])


def taken(places: Iterable[Boundary], cut: float, transition: float) -> list[Boundary]:
    """The boundaries among the candidates: cuts and transitions that score as much, the higher first;
    what touches one that scores higher is not taken."""
    found: list[Boundary] = []  # in order of time, apart from each other: only neighbours can touch
    for place in sorted(places, key=lambda b: (-b.score, b.start)):
        if place.score >= (cut if place.kind == "cut" else transition):
            at = bisect(found, place)
            if not any(_touch(place, other) for other in found[max(0, at - 1) : at + 1]):
                found.insert(at, place)
    return found


def _touch(one: Boundary, other: Boundary) -> bool:
    return one.start <= other.end + APART and other.start <= one.end + APART


def _cuts(chance: np.ndarray) -> Iterator[Boundary]:
    """The highest frames of their neighbourhoods."""
    around = np.pad(chance, APART)
    highest = np.max([around[k : k + len(chance)] for k in range(2 * APART + 1)], axis=0)
    for frame in np.flatnonzero((chance >= FLOOR) & (chance == highest)):
        if frame:
            yield Boundary(int(frame), int(frame), "cut", _rounded(chance[frame]))


def _transitions(chance: np.ndarray, kinds: np.ndarray) -> Iterator[Boundary]:
    """Runs around the highest frames, as far as the chance is at least half of theirs."""
    left = chance.copy()
    for first, last in _runs(chance >= FLOOR):
        while left[first:last].max() >= FLOOR:
            top = first + int(left[first:last].argmax())
            held = left >= left[top] / 2
            start = top - int(np.argmin(np.append(held[first : top + 1][::-1], False))) + 1
            end = top + int(np.argmin(np.append(held[top:last], False)))
            if end - start > 2:
                kind = KINDS[int(kinds[start:end].mean(0).argmax())]
                yield Boundary(start, end, kind, _rounded(chance[top]))
            left[start:end] = 0


def _runs(true: np.ndarray) -> Sequence[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true.astype(np.int8), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _rounded(score: float) -> float:
    """To a thousandth: what is stored says no more than is known, and is the same on every machine."""
    return round(float(score), 3)
