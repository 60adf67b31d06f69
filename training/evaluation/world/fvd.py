"""The Fréchet video distance of each row of a table from the reference."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from training.evaluation.world.measure import CONDITION_ROWS, OTHER, TRUTH, Candidate
from training.metrics.fvd import MIN_FRAMES, VideoFeatures, frechet_distance


class FvdRows:
    """Collects features of the films of all clips.

    Args:
        features: The extractor.
    """

    def __init__(self, features: VideoFeatures) -> None:
        self.features = features
        self._rows: dict[str, list[Tensor]] = {}
        self._short = 0

    def add(self, candidates: Mapping[str, Sequence[Candidate]]) -> None:
        """Add the films of a clip; films of fewer than 10 frames have no features."""
        for row, films in candidates.items():
            if row in (*CONDITION_ROWS, OTHER):
                continue
            for film in films:
                if len(film.footage.frames) < MIN_FRAMES:
                    self._short += 1
                    continue
                video = torch.from_numpy(film.footage.frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
                self._rows.setdefault(row, []).append(self.features(video))

    def distances(self) -> dict[str, Any]:
        """FVD from the ground truth by row, the extractor, and the numbers of films; null: fewer than two."""
        truth = self._rows.get(TRUTH, [])
        found: dict[str, Any] = {"extractor": self.features.extractor, "rows": {}, "note": ""}
        if self._short:
            found["note"] = f"{self._short} films have fewer than {MIN_FRAMES} frames, and are not counted"
        for row, features in self._rows.items():
            if row == TRUTH:
                continue
            distance = math.nan
            if min(len(features), len(truth)) >= 2:
                distance = frechet_distance(torch.cat(features), torch.cat(truth))
            value = None if math.isnan(distance) else distance
            found["rows"][row] = {"fvd": value, "films": len(features), "reference_films": len(truth)}
        return found
