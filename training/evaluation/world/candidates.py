"""The rows of a clip: the generated films, and the controls that every table has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.evaluation.world.conditions import Conditions
from training.evaluation.world.films import Footage
from training.evaluation.world.measure import (
    FROZEN,
    LAST,
    MODEL,
    OTHER,
    TRUTH,
    TRUTH_WRONG,
    VELOCITY,
    WRONG,
    Candidate,
    Clip,
)
from training.metrics.world.epipolar import Array, relative_pose
from training.metrics.world.flow import extrapolate
from training.metrics.world.matches import Frames
from training.metrics.world.trajectory import rotation_angles_deg

MIN_TURN_DEG, MIN_DIRECTION_DEG = 3.0, 20.0  # by which the paths of two clips differ at least


@dataclass(frozen=True)
class Partner:
    """Another clip, whose film and conditions are controls.

    Attributes:
        name: Its name.
        frames: A film that was generated for it, at the size of this clip; None if it has another size.
        conditions: Its conditions; None if they do not differ.
    """

    name: str
    frames: Frames | None
    conditions: Conditions | None


def make_candidates(
    clip: Clip, films: Mapping[str, Sequence[Footage]], partner: Partner | None
) -> dict[str, list[Candidate]]:
    """The films of each row, measured against the conditions of the clip, or of its partner.

    Args:
        clip: The reference.
        films: The films of `MODEL`, one per seed, and of further rows.
        partner: Another clip; None leaves out the rows that need one.
    """
    frames, given = clip.footage.frames, clip.given_frames
    count = len(frames)
    rows = {row: list(footage) for row, footage in films.items()}
    controls: dict[str, Frames] = {FROZEN: np.repeat(frames[:1], count, 0)}
    if given > 1:
        held = np.repeat(frames[given - 1 : given], count - given, 0)
        controls[LAST] = np.concatenate([frames[:given], held])
    last = max(1, given - 1)
    moved = extrapolate(frames[last - 1], frames[last], range(1, count - last))
    controls[VELOCITY] = np.concatenate([frames[: last + 1], moved])
    if partner is not None and partner.frames is not None and len(partner.frames) >= count:
        controls[OTHER] = partner.frames[:count]
    rows[TRUTH] = [clip.footage]
    rows |= {row: [Footage(video)] for row, video in controls.items()}
    candidates = {
        row: [Candidate(row, footage, clip.conditions) for footage in films] for row, films in rows.items()
    }
    if partner is not None and partner.conditions is not None:
        wrong = replace(clip.conditions, poses=partner.conditions.poses, region=partner.conditions.region)
        candidates[WRONG] = [Candidate(WRONG, footage, wrong) for footage in rows[MODEL]]
        candidates[TRUTH_WRONG] = [Candidate(TRUTH_WRONG, clip.footage, wrong)]
    return candidates


def is_other_condition(first: Conditions, second: Conditions) -> bool:
    """Whether two clips differ in their camera paths or, without cameras, in where an object must go."""
    if first.poses is not None and second.poses is not None:
        return is_other_path(first.poses, second.poses)
    if first.region is None or second.region is None or first.region_object != second.region_object:
        return False
    return not np.array_equal(first.region, second.region)


def is_other_path(first: Array, second: Array) -> bool:
    """Whether two camera paths [t 3 4], each relative to its first pose, end differently.

    They do if the rotations differ by 3 degrees, or the directions of translation by 20 degrees, or if only
    one of them moves.
    """
    count = min(len(first), len(second))
    ends = [relative_pose(path[count - 1], path[0]) for path in (first, second)]
    (rotation0, t0), (rotation1, t1) = ends
    if float(rotation_angles_deg(rotation0[None], rotation1[None])[0]) >= MIN_TURN_DEG:
        return True
    lengths = float(np.linalg.norm(t0)), float(np.linalg.norm(t1))
    if min(lengths) < 0.05 * max(lengths):
        return True
    if max(lengths) == 0:
        return False
    cosine = float(t0 @ t1) / (lengths[0] * lengths[1])
    return bool(np.degrees(np.arccos(np.clip(cosine, -1, 1))) >= MIN_DIRECTION_DEG)


def order_partners(names: Sequence[str], seed: int) -> dict[str, list[str]]:
    """For each clip the others, in a seeded order: the first that fits is its partner."""
    rng = np.random.default_rng(seed)
    shuffled = [names[number] for number in rng.permutation(len(names))]
    return {name: shuffled[place + 1 :] + shuffled[:place] for place, name in enumerate(shuffled)}
