"""Whether an object ends where an instruction says, by the region that the simulator recorded for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from training.evaluation.world.measure import Array, Candidate, Clip, Column, Measured
from training.evaluation.world.measures.places import ObjectPlaces

MIN_WAY = 0.1  # of the way to the region; an object that moved less has no direction


@dataclass(frozen=True)
class Instruction:
    """Success, distance and direction of an object that an instruction sends to a region.

    Attributes:
        places: Finds the objects.
    """

    name: ClassVar[str] = "instruction"
    reads_condition: ClassVar[bool] = True
    main: ClassVar[str] = "instruction_solved_share"
    places: ObjectPlaces

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        units = {self.places.unit(name) for name in self.places.colors}
        unit = units.pop() if len(units) == 1 else ""
        return (
            Column(self.main, "solved", ".2f", "higher", "share of films that end with the object there"),
            Column(
                "instruction_distance",
                f"distance {unit}".strip(),
                ".3f",
                "lower",
                "at the end, of the object from the region; where it was last found if it is not found",
            ),
            Column(
                "instruction_direction_deg",
                "direction deg",
                ".1f",
                "lower",
                "angle between the way of the object and the straight way to the region; 90 without an aim."
                f" Objects that move less than {MIN_WAY:.0%} of the way have none",
            ),
            Column("instruction_moved_share", "moved", ".2f", "", "share of films in which it moves more"),
            Column("instruction_found_share", "found", ".2f", "higher", "share with the object at the end"),
        )

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        name, region = clip.conditions.region_object, clip.conditions.region
        if region is None:
            return "its conditions have no instruction_region"
        if name not in self.places.colors:
            return f"its instruction is about {name}, whose color is unknown: add --object {name}=R,G,B"
        if name not in self.places.maps:
            return f"the states have no {name}_x and {name}_y, or its places in the films are on one line"
        truth = self.places.truth(name, clip).places
        if not _way(truth[clip.given_frames - 1], region).any():
            return f"{name} is in the region from the start"
        return self.places.missing(name, clip)

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`. The region is that of the conditions of the candidate."""
        region = candidate.conditions.region
        if region is None:
            return Measured({}, {}, "the other clip has no instruction_region")
        name, given = clip.conditions.region_object, clip.given_frames
        track = self.places.track(name, candidate, clip)
        start = self.places.truth(name, clip).places[given - 1]
        distances = np.array([np.linalg.norm(_way(place, region)) for place in track.places])
        distances[:given] = math.nan
        way, moved = _way(start, region), track.places[-1] - start
        length, found = float(np.linalg.norm(moved)), bool(track.found[-1])
        has_direction = length > MIN_WAY * float(np.linalg.norm(way)) > 0
        values = {
            self.main: float(found and distances[-1] == 0),
            "instruction_distance": float(distances[-1]),
            "instruction_direction_deg": _angle_deg(moved, way) if has_direction else math.nan,
            "instruction_moved_share": float(has_direction),
            "instruction_found_share": float(found),
        }
        return Measured(values, {"instruction_distance": distances})

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {"min_way": MIN_WAY, "residuals": dict(self.places.residuals)}


def _way(place: Array, region: Array) -> Array:
    """From a place [2] to the nearest point of a region x_min, y_min, x_max, y_max; 0 in it."""
    way: Array = np.clip(place, region[:2], region[2:]) - place
    return way


def _angle_deg(first: Array, second: Array) -> float:
    cosine = float(first @ second) / float(np.linalg.norm(first) * np.linalg.norm(second))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
