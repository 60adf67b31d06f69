"""The shots of many videos at once: what `FindShots.expand` says of each, as columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.shots.boundary import APART, Boundary, taken
from stages.shots.shot import Shot

EXACT = 2.0**53  # whole numbers up to this one are floats
NEAR = 1 - 1e-9  # of the longest shot: what comes so near is reckoned in whole numbers, by `expand`


def shots_of_many(rows: pa.Table, cut: float, transition: float, max_duration_s: float) -> pa.Table:
    """The shots of the videos whose signals are not needed for it: `row`, the video, and `Shot`'s columns.

    Left out are videos with a shot that is to be split, or with numbers that no float holds.
    """
    lists = {name: rows.column(f"boundary_{name}").combine_chunks() for name in _LISTS}
    count = pc.list_value_length(lists["starts"]).to_numpy()
    kinds = lists["kinds"].flatten().dictionary_encode()
    names = [*kinds.dictionary.to_pylist(), "shot"]
    places = {name: column.flatten().to_numpy() for name, column in lists.items() if name != "kinds"}
    places |= {"kinds": kinds.indices.to_numpy(), "row": np.repeat(np.arange(len(count)), count)}
    chosen = _chosen(places, names, cut, transition)
    places = {name: column[chosen] for name, column in places.items()}
    films = {name: rows.column(name).to_numpy() for name in _FILM}
    return _told(_slots(places, films, len(names) - 1), films, names, max_duration_s)


_LISTS = ("starts", "ends", "start_pts", "end_pts", "kinds", "scores")
_FILM = ("scanned_frames", "scanned_end_pts", "first_pts", "time_base_num", "time_base_den")


def _chosen(places: dict[str, np.ndarray], names: Sequence[str], cut: float, transition: float) -> np.ndarray:
    """Which places are boundaries; where some touch, `taken` decides."""
    least = np.array([cut if name == "cut" else transition for name in names])
    chosen = np.flatnonzero(places["scores"] >= least[places["kinds"]])
    row, start, end = (places[name][chosen] for name in ("row", "starts", "ends"))
    near = (row[1:] == row[:-1]) & (start[1:] <= np.maximum(end, start)[:-1] + APART)
    touched = np.isin(row, row[1:][near])
    kept = [chosen[~touched]]
    for video in np.unique(row[touched]):
        here = chosen[slice(*np.searchsorted(row, [video, video + 1]))].tolist()
        values = (places[name][here].tolist() for name in ("starts", "ends", "kinds", "scores"))
        of = {
            Boundary(s, e, names[kind], score): at
            for at, s, e, kind, score in zip(here, *values, strict=True)
        }
        kept.append(np.array([of[boundary] for boundary in taken(of, cut, transition)], np.int64))
    return np.sort(np.concatenate(kept))


def _slots(places: dict[str, np.ndarray], films: dict[str, np.ndarray], shot: int) -> dict[str, np.ndarray]:
    """A shot, a transition, a shot … of each video, be they empty: `row`, `kind`, and both ends."""
    videos, row = len(films["first_pts"]), places["row"]
    count = np.bincount(row, minlength=videos)
    first = np.concatenate([[0], np.cumsum(2 * count + 1)])
    last = first[1:] - 1
    between = 2 * np.arange(len(row)) + row + 1
    total = int(first[-1])
    slots = {name: np.empty(total, np.int64) for name in ("start", "end", "start_pts", "end_pts")}
    slots |= {"row": np.repeat(np.arange(videos), 2 * count + 1), "kind": np.full(total, shot)}
    slots["kind"][between] = places["kinds"]
    for what, begin, start, end, foot in (
        ("", np.zeros(videos, np.int64), "starts", "ends", "scanned_frames"),
        ("_pts", films["first_pts"], "start_pts", "end_pts", "scanned_end_pts"),
    ):
        starts, ends = slots[f"start{what}"], slots[f"end{what}"]
        starts[first[:-1]], ends[last] = begin, films[foot]
        ends[between - 1] = starts[between] = places[start]
        ends[between] = starts[between + 1] = places[end]
    return slots


def _told(
    slots: dict[str, np.ndarray], films: dict[str, np.ndarray], names: Sequence[str], max_duration_s: float
) -> pa.Table:
    row, is_shot = slots["row"], slots["kind"] == len(names) - 1
    per, den = (films[name].astype(float)[row] for name in ("time_base_num", "time_base_den"))
    origin = films["first_pts"][row]
    ticks = [slots["start_pts"] - origin, slots["end_pts"] - origin, slots["end_pts"] - slots["start_pts"]]
    seconds = [each * per / den for each in ticks]
    there = slots["end"] > slots["start"]
    odd = slots["end"] < slots["start"]
    odd |= (np.abs(ticks).max(axis=0) * per >= EXACT) | (den >= EXACT)
    odd |= is_shot & (seconds[2] > max_duration_s * NEAR) if max_duration_s else False
    number = np.cumsum(is_shot & there)
    begun = np.concatenate([[0], number])[np.searchsorted(row, row)]  # of the videos before
    number = np.maximum(number - begun - 1, 0)
    kept = there & ~np.isin(row, row[odd])
    zeros = np.zeros(int(kept.sum()), np.int64)
    frames = [slots["start"], slots["end"], slots["end"] - slots["start"]]
    kinds = pa.DictionaryArray.from_arrays(pa.array(slots["kind"][kept]), pa.array(names)).cast(pa.string())
    told = [row, slots["start_pts"], slots["end_pts"], *frames, *seconds]
    return pa.table(
        [
            *(pa.array(column[kept]) for column in told),
            kinds,
            pa.array(number[kept]),
            pa.array(zeros),
            pa.array(zeros + 1),
        ],
        names=["row", *Shot.names()],
    )
