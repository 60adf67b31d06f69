"""Position of colored objects in a film against their true positions, and whether they are in it at all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from training.evaluation.world.measure import Candidate, Clip, Column, Measured
from training.evaluation.world.measures.places import ObjectPlaces


@dataclass(frozen=True)
class Objects:
    """Distance of objects from where they are in the reference, over the horizon, and their permanence.

    Attributes:
        places: Finds the objects.
    """

    name: ClassVar[str] = "objects"
    reads_condition: ClassVar[bool] = False
    places: ObjectPlaces

    @property
    def main(self) -> str:
        """See `Measure`."""
        return self._key(next(iter(self.places.colors)))

    @property
    def columns(self) -> Sequence[Column]:
        """See `Measure`."""
        columns = []
        for name in self.places.colors:
            unit = self.places.unit(name)
            form = ".2f" if unit == "px" else ".4f"
            meaning = (
                "mean distance from the true position; where it is not found, from where it was last found"
            )
            columns.append(Column(self._key(name), f"{name} {unit}", form, "lower", meaning))
            meaning = "error of the last frame"
            columns.append(Column(f"{name}_last_error", f"{name} last {unit}", form, "lower", meaning))
            meaning = "object permanence: of the frames in which the reference shows it, the share with it"
            columns.append(Column(f"{name}_found_share", f"{name} found", ".2f", "higher", meaning))
        return columns

    def missing(self, clip: Clip) -> str:
        """See `Measure`."""
        return "; ".join(filter(None, (self.places.missing(name, clip) for name in self.places.colors)))

    def measure(self, candidate: Candidate, clip: Clip) -> Measured:
        """See `Measure`."""
        values, curves = {}, {}
        first = clip.given_frames
        for name in self.places.colors:
            truth = self.places.truth(name, clip)
            track = self.places.track(name, candidate, clip)
            error = np.linalg.norm(track.places - truth.places, axis=1)
            error[:first] = math.nan
            found = track.found[first:][truth.found[first:]]
            values[self._key(name)] = float(np.nanmean(error))
            values[f"{name}_last_error"] = float(error[-1])
            values[f"{name}_found_share"] = float(found.mean()) if len(found) else math.nan
            curves[self._key(name)] = error
        return Measured(values, curves)

    def notes(self) -> Mapping[str, Any]:
        """See `Measure`."""
        return {
            "colors": {name: list(color) for name, color in self.places.colors.items()},
            "units": {name: self.places.unit(name) for name in self.places.colors},
            "residuals": dict(self.places.residuals),
        }

    def _key(self, name: str) -> str:
        return f"{name}_error_{self.places.unit(name)}"
