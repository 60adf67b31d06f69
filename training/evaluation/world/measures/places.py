"""Where colored objects are in films, in px or in the unit of the states of the reference."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.evaluation.world.measure import VELOCITY, Array, Candidate, Clip
from training.metrics.world.objects import apply_affine, find_object, fit_affine, hold_last

Color = tuple[float, float, float]


class Track(NamedTuple):
    """An object in a film.

    Attributes:
        places: x and y of each frame, [t 2]; where it is not found, those where it was last found.
        found: The frames in which it is found, bool [t].
    """

    places: Array
    found: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ObjectPlaces:
    """Finds objects by their colors.

    If the states of all clips have NAME_x and NAME_y and no NAME_z, positions are theirs: an affine map from
    px to their unit is fitted to the films of the reference. Else they are those that are found in the
    reference, in px.

    Attributes:
        colors: Color of each object by name, R, G, B in 0..255.
        maps: The affine maps by name, [2 3]; see `fit`.
        residuals: Root mean square error of each map on the reference, in the unit of the state.
        units: Unit of the states by name; those of other objects are px.
    """

    colors: Mapping[str, Color]
    maps: dict[str, Array] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def fit(self, clips: Iterable[Clip]) -> None:
        """Find the map of each object from px to the unit of the states, if the states have its position."""
        places: dict[str, list[tuple[Array, Array]]] = {name: [] for name in self.colors}
        for clip in clips:
            for name in list(places):
                columns = _state_columns(name, clip)
                if columns is None or clip.conditions.state is None:
                    del places[name]
                    continue
                found = find_object(clip.footage.frames, self.colors[name])
                places[name].append((found, clip.conditions.state[:, columns]))
                units = clip.conditions.state_units
                self.units[name] = units[columns[0]] if columns[0] < len(units) else "units"
        for name, pairs in places.items():
            try:
                source, target = (np.concatenate(each) for each in zip(*pairs, strict=True))
                self.maps[name], self.residuals[name] = fit_affine(source, target)
            except ValueError:
                continue
        for name in {*self.units} - {*self.maps}:
            del self.units[name]

    def unit(self, name: str) -> str:
        """The unit of the positions of an object."""
        return self.units.get(name, "px")

    def missing(self, name: str, clip: Clip) -> str:
        """What the reference lacks of an object, or ""."""
        is_seen = not math.isnan(self._found(name, clip)[0, 0])
        return "" if is_seen else f"its first frame has nothing of the color of {name}"

    def truth(self, name: str, clip: Clip) -> Track:
        """An object in the reference; `found` says in which frames the film shows it."""
        seen = self._found(name, clip)
        columns = _state_columns(name, clip)
        shown = ~np.isnan(seen[:, 0])
        if name in self.maps and columns is not None and clip.conditions.state is not None:
            return Track(clip.conditions.state[:, columns], shown)
        return Track(hold_last(seen, seen[0]), shown)

    def track(self, name: str, candidate: Candidate, clip: Clip) -> Track:
        """An object in a film. In the row of constant velocity it continues its true motion."""
        truth = self.truth(name, clip).places
        if candidate.row == VELOCITY:
            return Track(_constant_velocity(truth, clip.given_frames), np.ones(len(truth), bool))
        places = find_object(candidate.footage.frames, self.colors[name])
        mapped = apply_affine(self.maps[name], places) if name in self.maps else places
        return Track(hold_last(mapped, truth[0]), ~np.isnan(places[:, 0]))

    def _found(self, name: str, clip: Clip) -> Array:
        """Places in px in the reference, [t 2]; NaN where it is not found."""
        memo = clip.footage.memo
        if f"object/{name}" not in memo:
            memo[f"object/{name}"] = find_object(clip.footage.frames, self.colors[name])
        places: Array = memo[f"object/{name}"]
        return places


def _state_columns(name: str, clip: Clip) -> list[int] | None:
    """Where a state has x and y of an object in a plane, or None."""
    names = list(clip.conditions.state_names)
    if f"{name}_z" in names or not {f"{name}_x", f"{name}_y"} <= {*names}:
        return None
    return [names.index(f"{name}_x"), names.index(f"{name}_y")]


def _constant_velocity(truth: Array, given_frames: int) -> Array:
    """Positions that continue the motion between the last two given frames, or with one, that to the next."""
    last = max(1, given_frames - 1)
    velocity = truth[last] - truth[last - 1]
    continued: Array = truth[last] + (np.arange(len(truth)) - last)[:, None] * velocity
    continued[: last + 1] = truth[: last + 1]
    return continued
