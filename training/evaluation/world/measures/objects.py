"""Position of colored objects in a film against their true positions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from training.evaluation.world.measure import VELOCITY, Array, Candidate, Clip, Column, Measured
from training.metrics.world.objects import apply_affine, find_object, fit_affine, hold_last

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Objects:
    """Distance of objects from where they are in the reference, over the horizon.

    If the states of all clips have NAME_x and NAME_y and no NAME_z, positions are theirs: an affine map from
    px to their unit is fitted to the films of the reference. Else they are those that are found in the
    reference, in px.

    Attributes:
        colors: Color of each object by name, R, G, B in 0..255.
        maps: The affine maps by name, [2 3]; see `fit`.
        residuals: Root mean square error of each map on the reference, in the unit of the state.
    """

    name: ClassVar[str] = "objects"
    reads_condition: ClassVar[bool] = False
    colors: Mapping[str, Color]
    maps: dict[str, Array] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """See `Measure`."""
        return self._key(next(iter(self.colors)))

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        columns = []
        for name in self.colors:
            unit = self.units.get(name, "px")
            form = ".2f" if unit == "px" else ".4f"
            meaning = (
                "mean distance from the true position; where it is not found, from where it was last found"
            )
            columns.append(Column(self._key(name), f"{name} {unit}", form, "lower", meaning))
            meaning = "error of the last frame"
            columns.append(Column(f"{name}_last_error", f"{name} last {unit}", form, "lower", meaning))
            meaning = "share of the frames in which it is found"
            columns.append(Column(f"{name}_found_share", f"{name} found", ".2f", "higher", meaning))
        return columns

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

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        lost = [name for name in self.colors if math.isnan(self._found(name, clip)[0][0, 0])]
        if lost:
            return f"its first frame has nothing of the color of {', '.join(lost)}"
        return ""

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        values, curves = {}, {}
        first = clip.given_frames
        for name, color in self.colors.items():
            _, truth = self._found(name, clip)
            if candidate.row == VELOCITY:
                found = _constant_velocity(truth, first)
                share = 1.0
            else:
                places = find_object(candidate.footage.frames, color)
                share = float((~np.isnan(places[first:, 0])).mean())
                found = hold_last(self._mapped(name, places), truth[0])
            error = np.linalg.norm(found - truth, axis=1)
            error[:first] = math.nan
            values[self._key(name)] = float(np.nanmean(error))
            values[f"{name}_last_error"] = float(error[-1])
            values[f"{name}_found_share"] = share
            curves[self._key(name)] = error
        return Measured(values, curves)

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {
            "colors": {name: list(color) for name, color in self.colors.items()},
            "units": {name: self.units.get(name, "px") for name in self.colors},
            "residuals": dict(self.residuals),
        }

    def _key(self, name: str) -> str:
        return f"{name}_error_{self.units.get(name, 'px')}"

    def _mapped(self, name: str, places: Array) -> Array:
        return apply_affine(self.maps[name], places) if name in self.maps else places

    def _found(self, name: str, clip: Clip) -> tuple[Array, Array]:
        """Places in px in the reference, and the true positions, [t 2] each."""
        memo = clip.footage.memo
        if f"object/{name}" not in memo:
            memo[f"object/{name}"] = find_object(clip.footage.frames, self.colors[name])
        places: Array = memo[f"object/{name}"]
        columns = _state_columns(name, clip)
        if name in self.maps and columns is not None and clip.conditions.state is not None:
            return places, clip.conditions.state[:, columns]
        return places, hold_last(places, places[0])


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
